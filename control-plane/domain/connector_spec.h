/// Whether a connector's spec fits what its data plane said about connectors. Not for: whether it works (the
/// plane's checks say that), what is inside sealed secrets (only the plane can open them).
#pragma once

#include <google/protobuf/repeated_ptr_field.h>

#include <string>

#include "absl/status/status.h"
#include "millrace/v1/resources.pb.h"

namespace millrace::domain {

using Descriptors = google::protobuf::RepeatedPtrField<v1::ConnectorDescriptor>;

/// nullptr when the type is unknown.
const v1::ConnectorDescriptor* FindDescriptor(const Descriptors& descriptors, const std::string& type);

/// All problems of the spec in one error, whose reason is the first one's:
///   FailedPrecondition PLANE_NEVER_CONNECTED: the plane has sent no descriptors yet;
///   InvalidArgument CONNECTOR_TYPE_UNKNOWN | OPTION_UNKNOWN | OPTION_MISSING | OPTION_INVALID |
///   SECRET_IN_CLEAR |
///     SECRETS_NOT_SEALED | SEALED_SECRETS_INVALID;
///   FailedPrecondition SEALED_TO_OTHER_KEY: the plane's key is another one now.
/// No value of an option is ever in the message.
absl::Status CheckConnectorSpec(const v1::ConnectorSpec& spec, const v1::DataPlane& plane);

}  // namespace millrace::domain
