#include "connectors/duckdb/database_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <thread>
#include <utility>

#include "base/status.h"
#include "base/text.h"
#include "connectors/duckdb/path_check.h"

namespace millrace::duckdb {
namespace {

constexpr std::chrono::milliseconds kLockPoll{5};
/// DuckDB's own default.
constexpr int kClearingTasks = 100;

std::string Quoted(std::string_view text) {
    std::string quoted = "'";
    for (const char c : text) {
        quoted.append(c == '\'' ? 2 : 1, c);
    }
    return quoted + "'";
}

std::pair<uint64_t, uint64_t> Identity(const std::string& path) {
    struct stat found{};
    return stat(path.c_str(), &found) == 0 ? std::pair<uint64_t, uint64_t>(found.st_dev, found.st_ino)
                                           : std::pair<uint64_t, uint64_t>();
}

std::string AttachStatement(std::string_view path) {
    return base::Concat("ATTACH ", Quoted(path), " AS ", kCatalog);
}

}  // namespace

DatabaseFile::Lease::Lease(std::shared_ptr<DatabaseFile> file, std::unique_ptr<Connection> connection,
                           bool has_json)
    : file_(std::move(file)), connection_(std::move(connection)), has_json_(has_json) {}

DatabaseFile::Lease::~Lease() {
    const bool broken = connection_->broken();
    connection_.reset();
    file_->Release(broken);
}

DatabaseFile::DatabaseFile(std::string path, Engine::Limits limits, LeasePolicy policy)
    : path_(std::move(path)), limits_(std::move(limits)), policy_(policy) {
    limits_.spill_folder = path_ + ".tmp";
}

DatabaseFile::~DatabaseFile() = default;

absl::StatusOr<std::unique_ptr<DatabaseFile::Lease>> DatabaseFile::Acquire() {
    {
        std::unique_lock lock(mutex_);
        RETURN_IF_ERROR(AwaitOpen(lock));
        ++leases_;
    }
    auto connection = engine_->Connect();
    absl::Status status = connection.status();
    if (status.ok()) {
        status = (*connection)->Execute(base::Concat("USE ", kCatalog)).status();
    }
    if (!status.ok()) {
        const bool broken = !connection.ok() || (*connection)->broken();
        connection = absl::CancelledError();
        Release(broken);
        return status;
    }
    return std::unique_ptr<Lease>(new Lease(shared_from_this(), std::move(*connection), engine_->has_json()));
}

absl::Status DatabaseFile::AwaitOpen(std::unique_lock<std::mutex>& lock) {
    for (;;) {
        const Clock::time_point now = Clock::now();
        if (state_ == State::kOpen && !broken_ && now < open_until_) {
            if (leases_ > 0 || StillThere()) {
                return absl::OkStatus();
            }
            // Somebody has taken the file away while it was kept for nobody: what is written to it now would be lost.
            open_until_ = now;
            changed_.notify_all();
        }
        if (state_ == State::kClosed) {
            const Clock::time_point gap_end = closed_at_ + policy_.gap;
            // Closed for lack of work, and opened again before anybody else had a fair chance: the same turn
            // goes on.
            if (now >= gap_end || now < open_until_) {
                return OpenNow(lock);
            }
            changed_.wait_until(lock, gap_end);
            continue;
        }
        const uint64_t awaited = state_ == State::kOpening ? openings_ : 0;
        changed_.wait(lock);
        if (awaited != 0 && failed_opening_ == awaited) {
            return failure_;
        }
    }
}

absl::Status DatabaseFile::OpenNow(std::unique_lock<std::mutex>& lock) {
    state_ = State::kOpening;
    const uint64_t opening = ++openings_;
    lock.unlock();
    const absl::Status status = Open();
    lock.lock();
    if (status.ok()) {
        const Clock::time_point now = Clock::now();
        if (now >= open_until_ || now >= closed_at_ + policy_.gap) {
            open_until_ = now + policy_.open_for;
        }
        state_ = State::kOpen;
        released_at_ = now;
        if (!closer_.joinable()) {
            closer_ = std::jthread([this](const std::stop_token& stopped) { CloseWhenDue(stopped); });
        }
    } else {
        state_ = State::kClosed;
        failed_opening_ = opening;
        failure_ = status;
    }
    changed_.notify_all();
    return status;
}

absl::Status DatabaseFile::Open() {
    RETURN_IF_ERROR(CheckPath(path_));
    if (engine_ == nullptr) {
        ASSIGN_OR_RETURN(engine_, Engine::Create(limits_));
    }
    if (control_ == nullptr) {
        ASSIGN_OR_RETURN(control_, engine_->Connect());
    }
    const Clock::time_point deadline = Clock::now() + policy_.lock_wait;
    for (;;) {
        const absl::Status status = Attach();
        if (control_ == nullptr || status.ok() || base::ReasonOf(status) != "FILE_LOCKED" ||
            Clock::now() >= deadline) {
            return status;
        }
        std::this_thread::sleep_for(kLockPoll);
    }
}

absl::Status DatabaseFile::Attach() {
    std::error_code error;
    if (!std::filesystem::exists(path_, error)) {
        RETURN_IF_ERROR(Make());
    }
    const absl::Status status = control_->Execute(AttachStatement(path_)).status();
    if (!status.ok() && control_->broken()) {
        control_.reset();
        engine_.reset();
    }
    opened_ = Identity(path_);
    return status;
}

bool DatabaseFile::StillThere() const {
    return opened_.second != 0 && Identity(path_) == opened_;
}

// Under another name first: a process killed in the middle would leave a file that DuckDB takes for a foreign
// one.
absl::Status DatabaseFile::Make() {
    const std::string draft = path_ + ".new";
    absl::Status status = control_->Execute(AttachStatement(draft)).status();
    if (base::ReasonOf(status) == "NOT_A_DUCKDB_FILE") {
        unlink(draft.c_str());
        status = control_->Execute(AttachStatement(draft)).status();
    }
    RETURN_IF_ERROR(status);
    RETURN_IF_ERROR(control_->Execute(base::Concat("CHECKPOINT ", kCatalog)).status());
    RETURN_IF_ERROR(control_->Execute(base::Concat("DETACH ", kCatalog)).status());
    // Unlike rename, link never replaces a file that somebody else has made meanwhile; some file systems lack
    // it.
    const bool made = link(draft.c_str(), path_.c_str()) == 0 || errno == EEXIST ||
                      ((errno == EPERM || errno == EOPNOTSUPP) && rename(draft.c_str(), path_.c_str()) == 0);
    if (!made) {
        const int cause = errno;
        unlink(draft.c_str());
        return base::MakeError(
            absl::StatusCode::kUnavailable, "DUCKDB_IO",
            base::Concat("cannot make ", path_, ": ", std::generic_category().message(cause)));
    }
    unlink(draft.c_str());
    return absl::OkStatus();
}

void DatabaseFile::Release(bool broken) {
    const std::lock_guard lock(mutex_);
    broken_ = broken_ || broken;
    if (--leases_ > 0) {
        return;
    }
    released_at_ = Clock::now();
    changed_.notify_all();
}

void DatabaseFile::CloseWhenDue(const std::stop_token& stopped) {
    std::unique_lock lock(mutex_);
    while (!stopped.stop_requested()) {
        if (state_ != State::kOpen || leases_ > 0) {
            changed_.wait(lock, stopped, [this] { return state_ == State::kOpen && leases_ == 0; });
            continue;
        }
        const Clock::time_point due = broken_ ? released_at_ : std::min(released_at_ + policy_.linger, open_until_);
        if (Clock::now() >= due) {
            CloseNow(lock);
        } else {
            changed_.wait_until(lock, stopped, due, [this, seen = released_at_, until = open_until_] {
                return leases_ > 0 || released_at_ != seen || open_until_ != until;
            });
        }
    }
    if (state_ == State::kOpen) {
        CloseNow(lock);
    }
}

bool DatabaseFile::closed() const {
    const std::lock_guard lock(mutex_);
    return state_ == State::kClosed;
}

void DatabaseFile::AwaitClosed() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return state_ == State::kClosed; });
}

void DatabaseFile::CloseNow(std::unique_lock<std::mutex>& lock) {
    state_ = State::kClosing;
    const bool start_over = std::exchange(broken_, false);
    lock.unlock();
    Close(start_over);
    lock.lock();
    closed_at_ = Clock::now();
    state_ = State::kClosed;
    changed_.notify_all();
}

bool DatabaseFile::ClearingIsDue() const {
    return deleted_rows_ > 0 && (deleted_rows_ >= policy_.clear_rows || !cleared_at_ || Clock::now() >= *cleared_at_ + policy_.clear_every);
}

void DatabaseFile::Close(bool broken) {
    if (!broken) {
        const bool clear = ClearingIsDue();
        // Where a DuckDB does not know the setting, each closing clears.
        (void)control_->Execute(base::Concat("SET GLOBAL max_vacuum_tasks = ", clear ? kClearingTasks : 0));
        if (clear) {
            deleted_rows_ = 0;
            cleared_at_ = Clock::now();
        }
    }
    const bool detached = !broken && control_->Execute(base::Concat("DETACH ", kCatalog)).ok();
    if (detached && weak_from_this().use_count() > 1) {
        return;
    }
    // Nobody but the register has the file any more, or it cannot be closed otherwise. Everything committed is in the file or in its log; ending the engine lets go of both whatever state it
    // is in.
    control_.reset();
    engine_.reset();
}

std::shared_ptr<DatabaseFile> DatabaseFiles::Get(const std::string& path, const Engine::Limits& limits) {
    std::error_code error;
    const std::filesystem::path absolute = std::filesystem::absolute(path, error);
    std::filesystem::path canonical = std::filesystem::weakly_canonical(absolute, error);
    if (error) {
        canonical = absolute.lexically_normal();
    }
    std::unique_lock lock(mutex_);
    for (;;) {
        std::erase_if(files_, [](const auto& entry) { return entry.second.use_count() == 1 && entry.second->closed(); });
        std::shared_ptr<DatabaseFile>& known = files_[canonical.string()];
        if (known == nullptr) {
            known = std::make_shared<DatabaseFile>(canonical.string(), limits, policy_);
            return known;
        }
        if (known.use_count() > 1) {
            return known;
        }
        // Kept for nobody: its limits go with it.
        std::shared_ptr<DatabaseFile> going = known;
        lock.unlock();
        going->AwaitClosed();
        lock.lock();
        going.reset();
    }
}

}  // namespace millrace::duckdb
