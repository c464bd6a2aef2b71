/// Applying an update's field mask to a stored resource. Not for: judging the result (connector_spec.h,
/// pipeline_spec.h).
#pragma once

#include <google/protobuf/field_mask.pb.h>

#include "absl/status/status.h"
#include "millrace/v1/resources.pb.h"

namespace millrace::domain {

/// Copies the fields that `mask` names ("spec", "spec.options", "metadata.labels", …; "*" is all that users
/// write) from `update` to `stored`; without a mask, those that are set in `update`. InvalidArgument:
/// MASK_PATH_UNKNOWN, FIELD_READ_ONLY (metadata, status, desired_state: verbs write it), FIELD_IMMUTABLE
/// (type and plane of a connector).
absl::Status ApplyUpdate(const v1::Connector& update, const google::protobuf::FieldMask& mask,
                         v1::Connector& stored);
absl::Status ApplyUpdate(const v1::Pipeline& update, const google::protobuf::FieldMask& mask,
                         v1::Pipeline& stored);

}  // namespace millrace::domain
