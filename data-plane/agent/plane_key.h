/// The data plane's key pair, the worker's stored id, and the lock on its state folder: small files that
/// outlive the process. Not for: sealing (base/seal), configuration (last_good).
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/seal.h"

namespace millrace::agent {

/// Reads the private key (PEM) at `path`, or generates one when the file is absent (mode 0600; the public key
/// beside it as `<path>.pub`). Workers that start together on one path agree on one key. InvalidArgument: the
/// file holds no private key. PermissionDenied (KEY_MODE): others than its owner may read it.
absl::StatusOr<base::KeyPair> LoadOrMakeKeys(const std::filesystem::path& path);

/// The id stored in `<state_dir>/worker-id`, made at the first start: host name and a random suffix.
absl::StatusOr<std::string> LoadOrMakeWorkerId(const std::filesystem::path& state_dir);

/// 16 random hex digits.
std::string RandomHex();

/// Holds `<state_dir>/lock` as long as it lives.
class StateLock final {
 public:
    /// Creates the folder (mode 0700) when absent. A worker that was killed holds it until its last thread has gone, which is
    /// after it looks dead: so it is waited for. FailedPrecondition (STATE_DIR_IN_USE): another worker holds it for longer.
    static absl::StatusOr<std::unique_ptr<StateLock>> Acquire(const std::filesystem::path& state_dir,
                                                              std::chrono::milliseconds patience = std::chrono::seconds(5));
    ~StateLock();
    StateLock(const StateLock&) = delete;
    StateLock& operator=(const StateLock&) = delete;

 private:
    explicit StateLock(int fd) : fd_(fd) {}
    int fd_;
};

}  // namespace millrace::agent
