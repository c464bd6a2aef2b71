/// Small files read and written whole, atomically and durably. Not for: streaming.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace millrace::base {

/// NotFound, PermissionDenied or Internal, each naming the path.
absl::StatusOr<std::string> ReadFile(const std::filesystem::path& path);

/// Writes `<path>.new`, fsyncs, renames over `path`, fsyncs the folder. `mode` e.g. 0600.
absl::Status WriteFileAtomically(const std::filesystem::path& path, std::string_view content, unsigned mode = 0644);

}  // namespace millrace::base
