/// The CLI's folder: credentials that the local stack wrote, and data plane keys pinned on first use.
/// Not for: the planes' own state.
#pragma once

#include <filesystem>
#include <string>

#include "absl/status/statusor.h"
#include "base/secret.h"

namespace millrace::cli {

/// MILLRACE_HOME, else ./.millrace if it is there, else ~/.millrace.
std::filesystem::path HomeFolder();

struct Credentials final {
    std::string endpoint;
    base::Secret token;
};

/// Flag, then environment (MILLRACE_ENDPOINT, MILLRACE_TOKEN), then <home>/credentials. Unauthenticated when
/// there is no token anywhere.
absl::StatusOr<Credentials> FindCredentials(const std::string& endpoint_flag);

/// Remembers the key's fingerprint the first time; later FailedPrecondition (PLANE_KEY_CHANGED) when it
/// differs. Sets `first_use`.
absl::Status PinPlaneKey(const std::string& endpoint, const std::string& plane,
                         const std::string& fingerprint, bool& first_use);

}  // namespace millrace::cli
