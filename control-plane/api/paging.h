/// Pages of lists: sizes and tokens. Not for: reading them.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace millrace::api {

struct PageRequest final {
    size_t limit = 0;
    /// Name after which the page begins.
    std::string after;
};

/// 0 gives 50, more than 1000 gives 1000. InvalidArgument: PAGE_SIZE_INVALID when negative,
/// PAGE_TOKEN_INVALID for a token that another list gave.
absl::StatusOr<PageRequest> ReadPageRequest(const std::string& kind, const std::string& parent,
                                            int32_t page_size, const std::string& page_token);
/// The token of the page that follows `last_name`.
std::string MakePageToken(const std::string& kind, const std::string& parent, const std::string& last_name);

}  // namespace millrace::api
