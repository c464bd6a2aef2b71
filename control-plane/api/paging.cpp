#include "control-plane/api/paging.h"

#include <algorithm>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status.h"

namespace millrace::api {
namespace {

constexpr int32_t kDefaultPageSize = 50;
constexpr int32_t kMaxPageSize = 1000;
constexpr char kSeparator = '\n';

}  // namespace

absl::StatusOr<PageRequest> ReadPageRequest(const std::string& kind, const std::string& parent,
                                            int32_t page_size, const std::string& page_token) {
    if (page_size < 0) {
        return base::MakeError(absl::StatusCode::kInvalidArgument, "PAGE_SIZE_INVALID",
                               "page_size is negative.", "Use 0 for the default, or up to 1000.");
    }
    PageRequest request;
    request.limit =
        static_cast<size_t>(page_size == 0 ? kDefaultPageSize : std::min(page_size, kMaxPageSize));
    if (page_token.empty()) {
        return request;
    }
    std::string plain;
    std::vector<std::string> parts;
    if (absl::WebSafeBase64Unescape(page_token, &plain)) {
        parts = absl::StrSplit(plain, kSeparator);
    }
    if (parts.size() != 3 || parts[0] != kind || parts[1] != parent) {
        return base::MakeError(absl::StatusCode::kInvalidArgument, "PAGE_TOKEN_INVALID",
                               "page_token is none that this list gave.", "Begin again without page_token.");
    }
    request.after = parts[2];
    return request;
}

std::string MakePageToken(const std::string& kind, const std::string& parent, const std::string& last_name) {
    return absl::WebSafeBase64Escape(absl::StrCat(kind, "\n", parent, "\n", last_name));
}

}  // namespace millrace::api
