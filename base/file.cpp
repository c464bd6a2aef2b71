#include "base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/status.h"
#include "base/text.h"

namespace millrace::base {
namespace {

class Descriptor final {
 public:
    explicit Descriptor(int fd) : fd_(fd) {}
    ~Descriptor() {
        if (fd_ >= 0) {
            ::close(fd_);
        }
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    [[nodiscard]] int get() const { return fd_; }

 private:
    int fd_;
};

absl::Status ErrnoStatus(int error, std::string_view verb, const std::filesystem::path& path) {
    const std::string message = Concat("cannot ", verb, " ", path.string(), ": ", std::strerror(error));
    switch (error) {
        case ENOENT:
        case ENOTDIR:
            return MakeError(absl::StatusCode::kNotFound, "FILE_MISSING", message, "Check the path.");
        case EACCES:
        case EPERM:
        case EROFS:
            return MakeError(absl::StatusCode::kPermissionDenied, "FILE_PERMISSION", message,
                             "Give this process's user access to it.");
        default:
            return MakeError(absl::StatusCode::kInternal, "FILE_ERROR", message);
    }
}

absl::Status WriteAll(int fd, std::string_view content, const std::filesystem::path& path) {
    while (!content.empty()) {
        const ssize_t n = ::write(fd, content.data(), content.size());
        if (n < 0) {
            if (errno == EINTR) {
                continue;
            }
            return ErrnoStatus(errno, "write", path);
        }
        content.remove_prefix(static_cast<size_t>(n));
    }
    return absl::OkStatus();
}

absl::Status WriteDurably(const std::filesystem::path& path, std::string_view content, unsigned mode) {
    // A left-over of a crash may have a wider mode than the one asked for.
    ::unlink(path.c_str());
    const Descriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
    if (file.get() < 0) {
        return ErrnoStatus(errno, "create", path);
    }
    // The umask does not narrow what the caller asked for.
    if (::fchmod(file.get(), mode) != 0) {
        return ErrnoStatus(errno, "set the mode of", path);
    }
    RETURN_IF_ERROR(WriteAll(file.get(), content, path));
    if (::fsync(file.get()) != 0) {
        return ErrnoStatus(errno, "sync", path);
    }
    return absl::OkStatus();
}

absl::Status SyncFolder(const std::filesystem::path& folder) {
    const Descriptor handle(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (handle.get() < 0) {
        return ErrnoStatus(errno, "open", folder);
    }
    if (::fsync(handle.get()) != 0) {
        return ErrnoStatus(errno, "sync", folder);
    }
    return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::filesystem::path& path) {
    const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (file.get() < 0) {
        return ErrnoStatus(errno, "open", path);
    }
    std::string content;
    char buffer[16 * 1024];
    while (true) {
        const ssize_t n = ::read(file.get(), buffer, sizeof(buffer));
        if (n == 0) {
            return content;
        }
        if (n < 0 && errno != EINTR) {
            return ErrnoStatus(errno, "read", path);
        }
        if (n > 0) {
            content.append(buffer, static_cast<size_t>(n));
        }
    }
}

absl::Status WriteFileAtomically(const std::filesystem::path& path, std::string_view content, unsigned mode) {
    std::filesystem::path fresh = path;
    fresh += ".new";
    absl::Status status = WriteDurably(fresh, content, mode);
    if (status.ok() && ::rename(fresh.c_str(), path.c_str()) != 0) {
        status = ErrnoStatus(errno, "replace", path);
    }
    if (!status.ok()) {
        ::unlink(fresh.c_str());
        return status;
    }
    const std::filesystem::path folder = path.parent_path();
    return SyncFolder(folder.empty() ? std::filesystem::path(".") : folder);
}

}  // namespace millrace::base
