/// One status per table out of what several workers said of it. Not for: the pipeline's state (status.h).
#pragma once

#include <vector>

#include "absl/time/time.h"
#include "control-plane/domain/status.h"

namespace millrace::domain {

/// Sorted by schema and table. A table belongs to the worker whose consumer reports it; the newest such facts
/// win. One that only a publisher names is WAITING; one whose last owner has gone silent since `fresh_after`,
/// and that nobody names any more, is UNKNOWN.
std::vector<v1::TableStatus> MergeTables(const std::vector<WorkerReport>& workers, absl::Time fresh_after);

}  // namespace millrace::domain
