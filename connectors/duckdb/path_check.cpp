#include "connectors/duckdb/path_check.h"

#include <unistd.h>

#include <filesystem>
#include <system_error>

#include "base/status.h"
#include "base/text.h"

namespace millrace::duckdb {

absl::Status CheckPath(const std::string& path) {
    using absl::StatusCode;
    std::error_code error;
    const std::string folder = std::filesystem::path(path).parent_path().string();
    if (!std::filesystem::is_directory(folder, error)) {
        return base::MakeError(StatusCode::kFailedPrecondition, "FOLDER_MISSING",
                               base::Concat("the folder ", folder, " of the DuckDB file does not exist"),
                               base::Concat("On the machine of the worker: mkdir -p '", folder, "'"));
    }
    if (std::filesystem::is_directory(path, error)) {
        return base::MakeError(StatusCode::kFailedPrecondition, "PATH_IS_FOLDER",
                               base::Concat(path, " is a folder"), "Name a file in it.");
    }
    // DuckDB keeps its log beside the file.
    const bool file_writable =
        !std::filesystem::exists(path, error) || access(path.c_str(), R_OK | W_OK) == 0;
    if (!file_writable || access(folder.c_str(), W_OK | X_OK) != 0) {
        return base::MakeError(StatusCode::kPermissionDenied, "NOT_WRITABLE",
                               base::Concat("the worker may not write ", file_writable ? folder : path),
                               base::Concat("Run the worker as a user who may write ", path,
                                            " and its folder, or name another file."));
    }
    return absl::OkStatus();
}

}  // namespace millrace::duckdb
