/// Says of a path what is wrong with it before DuckDB tries to open it. Not for: locks and contents (DuckDB
/// says those).
#pragma once

#include <string>

#include "absl/status/status.h"

namespace millrace::duckdb {

/// FailedPrecondition: FOLDER_MISSING, PATH_IS_FOLDER. PermissionDenied: NOT_WRITABLE. Never opens the file:
/// closing it again would drop the lock that DuckDB may hold on it in this process.
absl::Status CheckPath(const std::string& path);

}  // namespace millrace::duckdb
