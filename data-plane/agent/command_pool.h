/// Runs the control plane's commands beside the link, each with a deadline. Not for: what commands do
/// (commands.h).
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <stop_token>
#include <thread>
#include <vector>

#include "absl/status/status.h"

namespace millrace::agent {

/// Thread-safe. Every job is answered exactly once, in time: by its work, by DeadlineExceeded, or by
/// ResourceExhausted when the queue is full. Work that outlives its deadline keeps its thread until it
/// returns; its result is dropped.
class CommandPool final {
 public:
    /// Does the work and returns what sends its result.
    using Work = std::function<std::function<void()>()>;
    /// Sends an error instead.
    using Fail = std::function<void(const absl::Status&)>;

    CommandPool(int threads, size_t max_queued);
    /// Answers nothing any more; waits for the work that runs.
    ~CommandPool();

    /// Never blocks.
    void Submit(std::chrono::milliseconds deadline, Work work, Fail fail);

 private:
    struct Job;
    void RunJobs(const std::stop_token& stop);
    void WatchDeadlines(const std::stop_token& stop);

    const size_t max_queued_;
    std::mutex mutex_;
    std::condition_variable_any queued_changed_;
    std::condition_variable_any submitted_changed_;
    uint64_t submitted_ = 0;
    std::deque<std::shared_ptr<Job>> queued_;
    /// Not answered yet, queued or running.
    std::list<std::shared_ptr<Job>> open_;
    std::vector<std::jthread> threads_;
};

}  // namespace millrace::agent
