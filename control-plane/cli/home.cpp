#include "control-plane/cli/home.h"

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/status.h"

namespace millrace::cli {
namespace {

constexpr char kDefaultEndpoint[] = "127.0.0.1:7443";

std::string Environment(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
}

}  // namespace

std::filesystem::path HomeFolder() {
    if (const std::string home = Environment("MILLRACE_HOME"); !home.empty()) {
        return home;
    }
    if (std::error_code none; std::filesystem::is_directory(".millrace", none)) {
        return ".millrace";
    }
    const std::string user = Environment("HOME");
    return std::filesystem::path(user.empty() ? "/" : user) / ".millrace";
}

absl::StatusOr<Credentials> FindCredentials(const std::string& endpoint_flag) {
    Credentials found{.endpoint = endpoint_flag, .token = base::Secret(Environment("MILLRACE_TOKEN"))};
    if (found.endpoint.empty()) {
        found.endpoint = Environment("MILLRACE_ENDPOINT");
    }
    const std::filesystem::path file = HomeFolder() / "credentials";
    if (found.endpoint.empty() || found.token.empty()) {
        absl::StatusOr<std::string> content = base::ReadFile(file);
        if (content.ok()) {
            const auto json = nlohmann::json::parse(*content, nullptr, false);
            if (json.is_object()) {
                if (found.endpoint.empty()) {
                    found.endpoint = json.value("endpoint", "");
                }
                if (found.token.empty()) {
                    found.token = base::Secret(json.value("token", ""));
                }
            }
        }
    }
    if (found.endpoint.empty()) {
        found.endpoint = kDefaultEndpoint;
    }
    if (found.token.empty()) {
        return base::MakeError(absl::StatusCode::kUnauthenticated, "TOKEN_MISSING",
                               "no API token: MILLRACE_TOKEN is not set and " + file.string() + " holds none",
                               "Set MILLRACE_TOKEN, or point MILLRACE_HOME at the folder of the local stack");
    }
    return found;
}

absl::Status PinPlaneKey(const std::string& endpoint, const std::string& plane,
                         const std::string& fingerprint, bool& first_use) {
    const std::filesystem::path file = HomeFolder() / "known_planes.json";
    nlohmann::json known = nlohmann::json::object();
    if (absl::StatusOr<std::string> content = base::ReadFile(file); content.ok()) {
        known = nlohmann::json::parse(*content, nullptr, false);
        if (!known.is_object()) {
            return base::MakeError(absl::StatusCode::kFailedPrecondition, "PINS_DAMAGED",
                                   file.string() + " is not a JSON object", "Repair or delete it");
        }
    }
    const std::string key = endpoint + " " + plane;
    first_use = !known.contains(key);
    if (!first_use) {
        if (known[key] == fingerprint) {
            return absl::OkStatus();
        }
        return base::MakeError(
            absl::StatusCode::kFailedPrecondition, "PLANE_KEY_CHANGED",
            "the key of " + plane + " is not the one seen before (now " + fingerprint + ")",
            "If its key was changed on purpose, remove the entry '" + key + "' from " + file.string());
    }
    known[key] = fingerprint;
    std::error_code error;
    std::filesystem::create_directories(HomeFolder(), error);
    return base::WriteFileAtomically(file, known.dump(2) + "\n", 0600);
}

}  // namespace millrace::cli
