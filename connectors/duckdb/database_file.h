/// One DuckDB file as every table of every pipeline in this process shares it: attached while somebody
/// writes, released often enough that readers in other processes get in. Not for: what is written
/// (session.h).
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "connectors/duckdb/engine.h"

namespace millrace::duckdb {

/// When the file is given up.
struct LeasePolicy final {
    /// The file is closed when nobody uses it any more, and at the latest this long after it was opened: from
    /// then on new leases wait until those that are out have come back. Each closing makes DuckDB write what is
    /// new into the file, and its last row group once more: under load that costs more than the rows themselves.
    std::chrono::milliseconds open_for{300};
    /// How long it is kept for the next user when nobody uses it.
    std::chrono::milliseconds linger{20};
    /// How long it stays closed then.
    std::chrono::milliseconds gap{60};
    /// How long an opening waits for a lock of another process before it is an error.
    std::chrono::milliseconds lock_wait{2000};
    /// Rows that were replaced or deleted stay in the file, with those around them, until a closing clears them away.
    /// That costs more than all else of a closing, in memory too, so that not each does it: one does once so many rows were
    /// deleted, or so much time has passed, since the last that did; none where rows were only appended.
    int64_t clear_rows = 200'000;
    std::chrono::milliseconds clear_every{60'000};
};

/// Thread-safe. A file must be open at most once in a process (its lock is the process's): get it from
/// DatabaseFiles.
class DatabaseFile final : public std::enable_shared_from_this<DatabaseFile> {
 public:
    /// `path` is absolute. Does not open.
    DatabaseFile(std::string path, Engine::Limits limits, LeasePolicy policy);
    ~DatabaseFile();
    DatabaseFile(const DatabaseFile&) = delete;
    DatabaseFile& operator=(const DatabaseFile&) = delete;

    /// A connection whose default catalogue is the file. Keeps the file open: to be held for one transaction
    /// or so.
    class Lease final {
     public:
        ~Lease();
        Lease(const Lease&) = delete;
        Lease& operator=(const Lease&) = delete;
        [[nodiscard]] Connection& connection() const { return *connection_; }
        [[nodiscard]] bool has_json() const { return has_json_; }
        void NoteDeleted(int64_t rows) { file_->deleted_rows_ += rows; }

     private:
        friend class DatabaseFile;
        Lease(std::shared_ptr<DatabaseFile> file, std::unique_ptr<Connection> connection, bool has_json);
        std::shared_ptr<DatabaseFile> file_;
        std::unique_ptr<Connection> connection_;
        bool has_json_;
    };

    /// Opens the file if need be; makes it if there is none. Blocks while the file is being given up (as long
    /// as the longest transaction, then the gap): a thread that holds a lease must not ask for a second one.
    /// Unavailable, reason FILE_LOCKED: another process has the file; retry. FailedPrecondition,
    /// PermissionDenied: the path is no place for a file, or the file is not DuckDB's.
    absl::StatusOr<std::unique_ptr<Lease>> Acquire();

    /// Nobody has it open, and it is not kept for anybody.
    [[nodiscard]] bool closed() const;
    /// Only where nobody holds a lease any more: returns once it is closed.
    void AwaitClosed();

    [[nodiscard]] const std::string& path() const { return path_; }
    [[nodiscard]] const Engine::Limits& limits() const { return limits_; }

 private:
    using Clock = std::chrono::steady_clock;
    enum class State { kClosed, kOpening, kOpen, kClosing };

    absl::Status AwaitOpen(std::unique_lock<std::mutex>& lock);
    absl::Status OpenNow(std::unique_lock<std::mutex>& lock);
    absl::Status Open();
    absl::Status Attach();
    absl::Status Make();
    /// Whether the path still leads to what was opened.
    [[nodiscard]] bool StillThere() const;
    void Release(bool broken);
    void CloseNow(std::unique_lock<std::mutex>& lock);
    void Close(bool broken);
    [[nodiscard]] bool ClearingIsDue() const;
    /// Closes what is kept for nobody; the closing thread's.
    void CloseWhenDue(const std::stop_token& stopped);

    const std::string path_;
    Engine::Limits limits_;
    const LeasePolicy policy_;

    mutable std::mutex mutex_;
    std::condition_variable_any changed_;
    State state_ = State::kClosed;
    int leases_ = 0;
    bool broken_ = false;
    /// Counts openings, so that those who wait for one share its failure instead of each waiting out the lock
    /// anew.
    uint64_t openings_ = 0;
    uint64_t failed_opening_ = 0;
    absl::Status failure_;
    Clock::time_point open_until_{};
    Clock::time_point closed_at_{};
    Clock::time_point released_at_{};
    std::atomic<int64_t> deleted_rows_{0};
    std::optional<Clock::time_point> cleared_at_;

    /// Only touched in states kOpening and kClosing, by the thread that set the state; read-only in kOpen.
    std::unique_ptr<Engine> engine_;
    std::unique_ptr<Connection> control_;
    /// Device and inode of what is open.
    std::pair<uint64_t, uint64_t> opened_{};

    /// Begun with the first opening. Last: it uses everything above.
    std::jthread closer_;
};

/// All files of a process, one object per file however its path is spelled. Thread-safe.
class DatabaseFiles final {
 public:
    explicit DatabaseFiles(LeasePolicy policy = {}) : policy_(policy) {}
    /// A file that is in use already keeps its limits. Waits for one that is being closed: two openings in one process do not
    /// see each other's lock.
    std::shared_ptr<DatabaseFile> Get(const std::string& path, const Engine::Limits& limits);

 private:
    const LeasePolicy policy_;
    std::mutex mutex_;
    /// Held here until they are closed, however soon their users are gone.
    std::map<std::string, std::shared_ptr<DatabaseFile>> files_;
};

}  // namespace millrace::duckdb
