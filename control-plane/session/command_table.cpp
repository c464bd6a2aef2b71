#include "control-plane/session/command_table.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace millrace::session {

absl::StatusOr<std::string> CommandTable::Add(int64_t session, absl::Time deadline, CommandDone done) {
    const std::lock_guard lock(mutex_);
    const auto count = std::count_if(open_.begin(), open_.end(),
                                     [&](const auto& entry) { return entry.second.session == session; });
    if (static_cast<size_t>(count) >= kMaxPerSession) {
        return base::MakeError(absl::StatusCode::kResourceExhausted, "TOO_MANY_COMMANDS",
                               "The data plane has too many requests that are not answered yet.",
                               "Wait some seconds and try again.");
    }
    std::string id = absl::StrCat("c", next_id_++);
    open_.emplace(id, Open{session, deadline, std::move(done)});
    return id;
}

void CommandTable::Complete(int64_t session, v1::CommandResult result) {
    CommandDone done;
    {
        const std::lock_guard lock(mutex_);
        const auto found = open_.find(result.id());
        if (found == open_.end() || found->second.session != session) {
            return;
        }
        done = std::move(found->second.done);
        open_.erase(found);
    }
    done(std::move(result));
}

std::vector<CommandDone> CommandTable::TakeIf(const std::function<bool(const Open&)>& condition) {
    const std::lock_guard lock(mutex_);
    std::vector<CommandDone> taken;
    for (auto at = open_.begin(); at != open_.end();) {
        if (condition(at->second)) {
            taken.push_back(std::move(at->second.done));
            at = open_.erase(at);
        } else {
            ++at;
        }
    }
    return taken;
}

void CommandTable::Fail(int64_t session, const absl::Status& status) {
    for (const CommandDone& done : TakeIf([&](const Open& open) { return open.session == session; })) {
        done(status);
    }
}

void CommandTable::Expire(absl::Time now) {
    const auto late = TakeIf([&](const Open& open) { return open.deadline < now; });
    for (const CommandDone& done : late) {
        done(base::MakeError(absl::StatusCode::kDeadlineExceeded, "WORKER_SILENT",
                             "The data plane's worker did not answer in time.",
                             "Try again; if it stays silent, look at the log of millrace-worker."));
    }
}

}  // namespace millrace::session
