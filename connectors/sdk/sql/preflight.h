/// Checks and clean-up that every SQL destination does alike. Not for: connecting (the connector reports that
/// itself).
#pragma once

#include <string>
#include <vector>

#include "connectors/sdk/destination.h"
#include "connectors/sdk/finding.h"
#include "connectors/sdk/sql/dialect.h"
#include "connectors/sdk/sql/session.h"

namespace millrace::sql {

/// Makes, fills and drops a probe in every schema that is needed, `_millrace` included, in transactions that
/// are rolled back (DST_WRITE); then looks at each target: one that holds rows and has no checkpoint of this
/// pipeline is critical (DST_NOT_EMPTY). Passed checks are findings of severity kOk.
sdk::Findings CheckDestination(SqlSession& session, const Dialect& dialect, const sdk::StreamId& stream,
                               const std::vector<sdk::TableTarget>& tables);

/// Deletes the pipeline's checkpoints; OK when there are none, or no checkpoint table.
absl::Status RemoveCheckpoints(SqlSession& session, const Dialect& dialect, const std::string& pipeline_uid);

}  // namespace millrace::sql
