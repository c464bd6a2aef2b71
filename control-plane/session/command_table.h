/// Commands that workers have not answered yet, each with a deadline. Not for: choosing the worker, sending
/// (hub.h).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "millrace/v1/link.pb.h"

namespace millrace::session {

/// Called exactly once, on any thread, without locks held.
using CommandDone = std::function<void(absl::StatusOr<v1::CommandResult>)>;

/// Any thread.
class CommandTable final {
 public:
    /// Notes a command of the session and returns its id; ResourceExhausted (reason TOO_MANY_COMMANDS) when
    /// the session has kMaxPerSession open ones, and `done` is not called.
    absl::StatusOr<std::string> Add(int64_t session, absl::Time deadline, CommandDone done);
    /// An answer; one to a command that is not open, or of another session, is dropped.
    void Complete(int64_t session, v1::CommandResult result);
    /// The session has ended.
    void Fail(int64_t session, const absl::Status& status);
    /// DeadlineExceeded (reason WORKER_SILENT) for all whose deadline is before `now`.
    void Expire(absl::Time now);

    static constexpr size_t kMaxPerSession = 64;

 private:
    struct Open {
        int64_t session;
        absl::Time deadline;
        CommandDone done;
    };
    std::vector<CommandDone> TakeIf(const std::function<bool(const Open&)>& condition);

    std::mutex mutex_;
    std::map<std::string, Open> open_;
    int64_t next_id_ = 1;
};

}  // namespace millrace::session
