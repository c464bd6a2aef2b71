#include "control-plane/domain/resource_name.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status.h"

namespace millrace::domain {
namespace {

constexpr size_t kMaxIdLength = 40;

const char* Segment(Collection collection) {
    switch (collection) {
        case Collection::kDataPlanes:
            return "dataPlanes";
        case Collection::kConnectors:
            return "connectors";
        case Collection::kPipelines:
            return "pipelines";
    }
    return "";
}

bool IsId(const std::string& id) {
    const auto allowed = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; };
    return !id.empty() && id.size() <= kMaxIdLength && id.front() != '-' && id.back() != '-' &&
           std::all_of(id.begin(), id.end(), allowed);
}

/// What of a bad name may be shown: it comes from anywhere.
std::string Shown(const std::string& name) {
    return name.size() > 100 ? absl::StrCat(name.substr(0, 100), "…") : name;
}

absl::Status Invalid(const std::string& name, const std::string& form) {
    return base::MakeError(absl::StatusCode::kInvalidArgument, "NAME_INVALID",
                           absl::StrCat("\"", Shown(name), "\" is not a resource name."),
                           absl::StrCat("Use ", form, "."));
}

}  // namespace

absl::StatusOr<ResourceName> ParseName(Collection collection, const std::string& name) {
    const std::vector<std::string> parts = absl::StrSplit(name, '/');
    if (parts.size() != 4 || parts[0] != "tenants" || !IsId(parts[1]) || parts[2] != Segment(collection) ||
        !IsId(parts[3])) {
        return Invalid(name, absl::StrCat("tenants/TENANT/", Segment(collection), "/ID"));
    }
    return ResourceName{absl::StrCat("tenants/", parts[1]), parts[3]};
}

absl::Status CheckTenantName(const std::string& name) {
    const std::vector<std::string> parts = absl::StrSplit(name, '/');
    return parts.size() == 2 && parts[0] == "tenants" && IsId(parts[1]) ? absl::OkStatus()
                                                                        : Invalid(name, "tenants/TENANT");
}

std::string MakeName(Collection collection, const std::string& parent, const std::string& id) {
    return absl::StrCat(parent, "/", Segment(collection), "/", id);
}

absl::Status CheckId(const std::string& what, const std::string& id) {
    if (IsId(id)) {
        return absl::OkStatus();
    }
    return base::MakeError(
        absl::StatusCode::kInvalidArgument, "ID_INVALID",
        absl::StrCat("\"", Shown(id), "\" cannot be the name of a ", what, "."),
        "Use 1 to 40 lower-case letters, digits and '-', beginning and ending with a letter or digit.");
}

}  // namespace millrace::domain
