#include <unistd.h>

#include <cstdio>
#include <thread>

#include "base/status.h"
#include "control-plane/cli/commands.h"
#include "control-plane/cli/render.h"

namespace millrace::cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

/// One line that is rewritten on a terminal, and printed when it changes elsewhere.
class ProgressLine final {
 public:
    explicit ProgressLine(bool enabled) : enabled_(enabled), terminal_(isatty(STDERR_FILENO) == 1) {}
    ~ProgressLine() {
        if (enabled_ && terminal_ && !shown_.empty()) {
            std::fputs("\r\033[K", stderr);
        }
    }
    void Show(const std::string& text) {
        if (!enabled_ || text == shown_ ||
            (!terminal_ && steady_clock::now() - at_ < std::chrono::seconds(2))) {
            return;
        }
        shown_ = text;
        at_ = steady_clock::now();
        std::fprintf(stderr, terminal_ ? "\r\033[K  %s" : "  %s\n", text.c_str());
        std::fflush(stderr);
    }

 private:
    const bool enabled_;
    const bool terminal_;
    std::string shown_;
    steady_clock::time_point at_;
};

std::string Summary(const v1::Pipeline& pipeline) {
    const v1::PipelineStatus& status = pipeline.status();
    std::string text = StateWord(status.state());
    if (status.state() == v1::PipelineStatus::STATE_COPYING) {
        text += ": " + HumanCount(status.publisher().rows_copied()) + " rows of " +
                std::to_string(status.publisher().tables_copied()) + "/" +
                std::to_string(status.publisher().tables_total()) + " tables read";
    }
    int64_t applied = 0;
    int64_t waiting = 0;
    for (const v1::TableStatus& table : status.tables()) {
        applied += table.rows_applied();
        waiting += table.lag_records();
    }
    text += ", " + HumanCount(applied) + " rows written";
    if (waiting > 0) {
        text += ", " + HumanCount(waiting) + " waiting";
    }
    if (!status.message().empty()) {
        text += " (" + status.message() + ")";
    }
    return text;
}

/// Whether asking again can help.
bool Passing(const absl::Status& status) {
    return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) || absl::IsAborted(status);
}

bool Reached(const v1::Pipeline& pipeline, const std::string& goal) {
    const auto state = pipeline.status().state();
    return goal == "paused" ? state == v1::PipelineStatus::STATE_PAUSED
                            : state == v1::PipelineStatus::STATE_LIVE;
}

/// What is being waited for now; "" when the goal is reached.
class Attempt final {
 public:
    Attempt(Client& client, std::string name, std::string goal)
        : client_(client), name_(std::move(name)), goal_(std::move(goal)) {}

    absl::StatusOr<std::string> Step() {
        if (goal_ != "caught-up") {
            ASSIGN_OR_RETURN(const v1::Pipeline pipeline, client_.GetPipeline(name_));
            return Reached(pipeline, goal_) ? "" : "the pipeline is " + StateWord(pipeline.status().state());
        }
        if (position_.empty()) {
            ASSIGN_OR_RETURN(position_, client_.MarkSourcePosition(name_));
        }
        ASSIGN_OR_RETURN(const v1::GetCaughtUpResponse answer, client_.GetCaughtUp(name_, position_));
        if (answer.caught_up()) {
            return "";
        }
        return answer.waiting_for().empty() ? "the destination is behind" : answer.waiting_for(0);
    }

 private:
    Client& client_;
    const std::string name_;
    const std::string goal_;
    std::string position_;
};

}  // namespace

absl::Status WaitFor(Client& client, const Scope& scope, const std::string& id, const std::string& goal,
                     std::chrono::seconds timeout, bool show_progress) {
    const std::string name = scope.PipelineName(id);
    const auto deadline = steady_clock::now() + timeout;
    ProgressLine progress(show_progress);
    RETURN_IF_ERROR(client.GetPipeline(name).status());
    Attempt attempt(client, name, goal);
    std::string missing;
    while (true) {
        absl::StatusOr<std::string> step = attempt.Step();
        if (step.ok() && step->empty()) {
            return absl::OkStatus();
        }
        if (!step.ok() && !Passing(step.status())) {
            return step.status();
        }
        missing = step.ok() ? *step : std::string(step.status().message());
        const absl::StatusOr<v1::Pipeline> pipeline = client.GetPipeline(name);
        if (pipeline.ok()) {
            progress.Show(Summary(*pipeline));
            // Waiting for what only a person can mend would only hide it.
            if (goal == "live" && pipeline->status().state() == v1::PipelineStatus::STATE_BLOCKED) {
                missing = pipeline->status().message();
            }
        }
        if (steady_clock::now() >= deadline) {
            const std::string why = pipeline.ok() && !pipeline->status().message().empty()
                                        ? pipeline->status().message()
                                        : missing;
            return base::MakeError(absl::StatusCode::kDeadlineExceeded, "WAIT_TIMEOUT",
                                   "pipeline '" + id + "' is not " + goal + " after " +
                                       std::to_string(timeout.count()) + " s: " + why,
                                   "`millrace status " + id + "` shows every table");
        }
        std::this_thread::sleep_for(milliseconds(200));
    }
}

}  // namespace millrace::cli
