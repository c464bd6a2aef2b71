/// Whether a pipeline's spec is sound, and what its plane is sent. Not for: whether it works (the plane's
/// checks say that).
#pragma once

#include <string>

#include "absl/status/status.h"
#include "millrace/v1/link.pb.h"
#include "millrace/v1/resources.pb.h"

namespace millrace::domain {

/// What is written for the user where he wrote nothing: all tables, state draft.
void FillDefaults(v1::PipelineSpec& spec);

/// The spec alone: connectors named and distinct, globs of the form "schema.table", flush rules not negative.
/// InvalidArgument (reasons SOURCE_MISSING, DESTINATION_MISSING, SAME_CONNECTOR, TABLE_GLOB_INVALID,
/// FLUSH_INVALID, COLUMN_RULE_INVALID).
absl::Status CheckPipelineSpec(const v1::PipelineSpec& spec);

/// The spec against the connectors that it names and their plane. InvalidArgument (reasons NOT_A_SOURCE,
/// NOT_A_DESTINATION, DIFFERENT_PLANES).
absl::Status CheckPipelineConnectors(const v1::Connector& source, const v1::Connector& destination,
                                     const v1::DataPlane& plane);

/// What the plane's workers are sent for the pipeline as it stands.
v1::PipelineConfig MakePipelineConfig(const v1::Pipeline& pipeline, const v1::Connector& source,
                                      const v1::Connector& destination);

/// Whether the plane is to know of it: every state but draft.
[[nodiscard]] bool IsDeployed(const v1::Pipeline& pipeline);

}  // namespace millrace::domain
