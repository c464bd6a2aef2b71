#include "data-plane/agent/plane_key.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <random>
#include <system_error>
#include <thread>

#include "base/file.h"
#include "base/status.h"

namespace millrace::agent {
namespace {

constexpr std::chrono::milliseconds kLockInterval{20};

absl::Status CheckMode(const std::filesystem::path& path) {
    struct stat info {};
    if (::stat(path.c_str(), &info) == 0 && (info.st_mode & (S_IRWXO | S_IWGRP)) != 0) {
        return base::MakeError(absl::StatusCode::kPermissionDenied, "KEY_MODE",
                               "the key file " + path.string() + " is open to others than its owner",
                               "chmod 600 " + path.string());
    }
    return absl::OkStatus();
}

// link(2) fails when the name is taken, so of two workers that start together one key wins and both read it.
absl::Status PublishOnce(const std::filesystem::path& path, const base::Secret& content) {
    const std::filesystem::path mine = path.string() + "." + RandomHex();
    RETURN_IF_ERROR(base::WriteFileAtomically(mine, content.Reveal(), 0600));
    const int failed = ::link(mine.c_str(), path.c_str());
    const int error = errno;
    ::unlink(mine.c_str());
    if (failed != 0 && error != EEXIST) {
        return base::MakeError(absl::StatusCode::kInternal, "KEY_WRITE",
                               "cannot write the key file " + path.string() + ": " + std::strerror(error),
                               "Give a path in a folder that the worker may write.");
    }
    return absl::OkStatus();
}

absl::Status MakeFolder(const std::filesystem::path& folder) {
    std::error_code error;
    const bool made = std::filesystem::create_directories(folder, error);
    if (error) {
        return base::MakeError(absl::StatusCode::kPermissionDenied, "STATE_DIR",
                               "cannot make the folder " + folder.string() + ": " + error.message(),
                               "Create it, writable for the worker's user.");
    }
    if (made) {
        std::filesystem::permissions(folder, std::filesystem::perms::owner_all, error);
    }
    return absl::OkStatus();
}

}  // namespace

std::string RandomHex() {
    std::random_device device;
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string text;
    for (int i = 0; i < 16; ++i) {
        text += kDigits[device() % 16];
    }
    return text;
}

absl::StatusOr<base::KeyPair> LoadOrMakeKeys(const std::filesystem::path& path) {
    std::error_code ignored;
    if (!std::filesystem::exists(path, ignored)) {
        if (path.has_parent_path()) {
            RETURN_IF_ERROR(MakeFolder(path.parent_path()));
        }
        ASSIGN_OR_RETURN(const base::KeyPair made, base::GenerateKeyPair());
        RETURN_IF_ERROR(PublishOnce(path, made.private_pem));
    }
    RETURN_IF_ERROR(CheckMode(path));
    ASSIGN_OR_RETURN(std::string pem, base::ReadFile(path));
    auto keys = base::KeyPairFromPrivatePem(base::Secret(std::move(pem)));
    if (!keys.ok()) {
        return base::Annotate(keys.status(), "key file " + path.string());
    }
    const std::filesystem::path pub = path.string() + ".pub";
    if (!std::filesystem::exists(pub, ignored)) {
        // A mounted key's folder is read-only; the public half travels by the link anyway.
        base::WriteFileAtomically(pub, keys->public_pem, 0644).IgnoreError();
    }
    return keys;
}

absl::StatusOr<std::string> LoadOrMakeWorkerId(const std::filesystem::path& state_dir) {
    const std::filesystem::path path = state_dir / "worker-id";
    auto stored = base::ReadFile(path);
    if (stored.ok()) {
        std::string id = *std::move(stored);
        while (!id.empty() && (id.back() == '\n' || id.back() == ' ')) {
            id.pop_back();
        }
        if (!id.empty()) {
            return id;
        }
    } else if (stored.status().code() != absl::StatusCode::kNotFound) {
        return stored.status();
    }
    std::array<char, 256> host{};
    if (::gethostname(host.data(), host.size() - 1) != 0) {
        std::strncpy(host.data(), "worker", host.size() - 1);
    }
    const std::string id = std::string(host.data()) + "-" + RandomHex().substr(0, 6);
    RETURN_IF_ERROR(base::WriteFileAtomically(path, id + "\n", 0644));
    return id;
}

absl::StatusOr<std::unique_ptr<StateLock>> StateLock::Acquire(const std::filesystem::path& state_dir,
                                                              std::chrono::milliseconds patience) {
    RETURN_IF_ERROR(MakeFolder(state_dir));
    const std::filesystem::path path = state_dir / "lock";
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return base::MakeError(absl::StatusCode::kPermissionDenied, "STATE_DIR",
                               "cannot open " + path.string() + ": " + std::strerror(errno),
                               "Make the state folder writable for the worker's user.");
    }
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (std::chrono::steady_clock::now() < deadline) {
            std::this_thread::sleep_for(kLockInterval);
            continue;
        }
        ::close(fd);
        return base::MakeError(absl::StatusCode::kFailedPrecondition, "STATE_DIR_IN_USE",
                               "the state folder " + state_dir.string() + " is used by another worker",
                               "Stop that worker, or give this one a --state-dir of its own.");
    }
    return std::unique_ptr<StateLock>(new StateLock(fd));
}

StateLock::~StateLock() {
    ::close(fd_);
}

}  // namespace millrace::agent
