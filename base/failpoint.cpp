#include "base/failpoint.h"

#ifdef MILLRACE_FAILPOINTS

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <thread>

#include "base/status.h"
#include "base/text.h"

namespace millrace::base {
namespace {

/// Of the whole process, because places are reached from anywhere; never destroyed, as threads may outlive
/// main.
struct Registry final {
    std::map<std::string, FailpointAction> actions;
    std::mutex mutex;
    std::map<std::string, const std::atomic<int64_t>*> hits;

    Registry() {
        const char* const text = std::getenv("MILLRACE_FAILPOINTS_ON");
        auto parsed = ParseFailpoints(text == nullptr ? "" : text);
        if (!parsed.ok()) {
            std::fprintf(stderr, "%s\n", Describe(parsed.status()).c_str());
            std::_Exit(2);
        }
        actions = *std::move(parsed);
    }
};

Registry& TheRegistry() {
    static Registry& registry = *new Registry();
    return registry;
}

bool ReadNumber(std::string_view& text, int64_t& number) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    return error == std::errc() && number > 0;
}

bool ReadAction(std::string_view text, FailpointAction& action) {
    using Kind = FailpointAction::Kind;
    if (text.starts_with("kill")) {
        action.kind = Kind::kKill;
        text.remove_prefix(4);
    } else if (text.starts_with("error")) {
        action.kind = Kind::kError;
        text.remove_prefix(5);
    } else if (text.starts_with("delay:")) {
        action.kind = Kind::kDelay;
        text.remove_prefix(6);
        int64_t number = 0;
        if (!ReadNumber(text, number) || !text.starts_with("ms")) {
            return false;
        }
        action.delay = std::chrono::milliseconds(number);
        text.remove_prefix(2);
    } else {
        return false;
    }
    if (text.starts_with("@")) {
        text.remove_prefix(1);
        return ReadNumber(text, action.at) && text.empty();
    }
    if (text.starts_with("%")) {
        text.remove_prefix(1);
        return ReadNumber(text, action.every) && text.empty();
    }
    return text.empty();
}

}  // namespace

absl::StatusOr<std::map<std::string, FailpointAction>> ParseFailpoints(std::string_view text) {
    std::map<std::string, FailpointAction> actions;
    while (!text.empty()) {
        const std::string_view part = text.substr(0, text.find(';'));
        text.remove_prefix(std::min(text.size(), part.size() + 1));
        const size_t equals = part.find('=');
        FailpointAction action;
        if (equals == 0 || equals == std::string_view::npos || !ReadAction(part.substr(equals + 1), action)) {
            return MakeError(absl::StatusCode::kInvalidArgument, "FAILPOINT",
                             Concat("'", part, "' in MILLRACE_FAILPOINTS_ON is no failpoint"),
                             "Write NAME=kill@3, NAME=error or NAME=delay:200ms.");
        }
        actions[std::string(part.substr(0, equals))] = action;
    }
    return actions;
}

void NoteFailpoint(const std::string& line) {
    const char* const file = std::getenv("MILLRACE_FAILPOINTS_LOG");
    if (file == nullptr) {
        return;
    }
    const int fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
        std::fprintf(stderr, "cannot write %s\n", file);
    }
    close(fd);
}

Failpoint::Failpoint(const char* name) : name_(name) {
    Registry& registry = TheRegistry();
    const auto found = registry.actions.find(name);
    if (found != registry.actions.end()) {
        action_ = found->second;
    }
    const std::lock_guard lock(registry.mutex);
    registry.hits[name] = &hits_;
}

absl::Status Failpoint::Hit() {
    const int64_t hit = hits_.fetch_add(1) + 1;
    if (hit == 1) {
        NoteFailpoint(Concat("hit ", name_, "\n"));
    }
    if ((action_.at != 0 && action_.at != hit) || (action_.every != 0 && hit % action_.every != 0)) {
        return absl::OkStatus();
    }
    switch (action_.kind) {
        case FailpointAction::Kind::kNone:
            break;
        case FailpointAction::Kind::kKill:
            NoteFailpoint(Concat("kill ", name_, " ", hit, "\n"));
            raise(SIGKILL);
            break;
        case FailpointAction::Kind::kError:
            return MakeError(absl::StatusCode::kUnavailable, "FAILPOINT", Concat("failpoint ", name_));
        case FailpointAction::Kind::kDelay:
            std::this_thread::sleep_for(action_.delay);
            break;
    }
    return absl::OkStatus();
}

std::string RenderFailpoints() {
    Registry& registry = TheRegistry();
    const std::lock_guard lock(registry.mutex);
    std::string text;
    for (const auto& [name, hits] : registry.hits) {
        Append(text, name, " ", hits->load(), "\n");
    }
    return text;
}

}  // namespace millrace::base

#endif
