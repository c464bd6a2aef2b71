#include "data-plane/agent/last_good.h"

#include <cstdint>
#include <cstdio>
#include <string_view>
#include <utility>

#include "base/file.h"
#include "base/status.h"
#include "millrace/v1/link.pb.h"

namespace millrace::agent {
namespace {

constexpr std::string_view kMagic = "millrace-last-good-1";

// Guards against a damaged disk, not against a person; protobuf would read many damaged files as shorter
// ones.
uint64_t Fnv1a(std::string_view bytes) {
    uint64_t hash = 0xcbf29ce484222325;
    for (const char c : bytes) {
        hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    }
    return hash;
}

std::string Header(const std::string& data_plane, std::string_view body) {
    char hex[17];
    std::snprintf(hex, sizeof(hex), "%016llx", static_cast<unsigned long long>(Fnv1a(body)));
    return std::string(kMagic) + "\n" + data_plane + "\n" + hex + "\n";
}

}  // namespace

LastGood::LastGood(std::filesystem::path path, std::string data_plane)
    : path_(std::move(path)), data_plane_(std::move(data_plane)) {}

absl::Status LastGood::Save(const v1::ConfigSnapshot& snapshot) const {
    const std::string body = snapshot.SerializeAsString();
    return base::WriteFileAtomically(path_, Header(data_plane_, body) + body, 0600);
}

absl::Status LastGood::Load(v1::ConfigSnapshot* snapshot) const {
    ASSIGN_OR_RETURN(const std::string bytes, base::ReadFile(path_));
    const auto broken = [this] {
        return base::MakeError(absl::StatusCode::kDataLoss, "LAST_GOOD_BROKEN",
                               "the last-good configuration " + path_.string() + " is damaged",
                               "It is written anew once the control plane has answered.");
    };
    const std::string prefix = std::string(kMagic) + "\n";
    const size_t plane_end = bytes.find('\n', prefix.size());
    if (bytes.compare(0, prefix.size(), prefix) != 0 || plane_end == std::string::npos) {
        return broken();
    }
    const std::string plane = bytes.substr(prefix.size(), plane_end - prefix.size());
    if (plane != data_plane_) {
        return base::MakeError(absl::StatusCode::kFailedPrecondition, "LAST_GOOD_FOREIGN",
                               "the last-good configuration " + path_.string() + " belongs to " + plane,
                               "Give each data plane a state folder of its own.");
    }
    const std::string body = bytes.substr(std::min(bytes.size(), plane_end + 1 + 17));
    if (bytes != Header(data_plane_, body) + body || !snapshot->ParseFromString(body)) {
        return broken();
    }
    return absl::OkStatus();
}

}  // namespace millrace::agent
