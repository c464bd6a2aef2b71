#include "data-plane/agent/command_pool.h"

#include <atomic>
#include <utility>

#include "base/status.h"

namespace millrace::agent {

using Clock = std::chrono::steady_clock;

struct CommandPool::Job {
    Clock::time_point deadline;
    Work work;
    Fail fail;
    std::atomic<bool> answered{false};

    /// True for the one who may answer.
    bool Claim() { return !answered.exchange(true); }
};

CommandPool::CommandPool(int threads, size_t max_queued) : max_queued_(max_queued) {
    for (int i = 0; i < threads; ++i) {
        threads_.emplace_back([this](const std::stop_token& stop) { RunJobs(stop); });
    }
    threads_.emplace_back([this](const std::stop_token& stop) { WatchDeadlines(stop); });
}

CommandPool::~CommandPool() {
    {
        const std::lock_guard lock(mutex_);
        for (const auto& job : open_) {
            job->Claim();
        }
        queued_.clear();
    }
    for (std::jthread& thread : threads_) {
        thread.request_stop();
    }
    threads_.clear();
}

void CommandPool::Submit(std::chrono::milliseconds deadline, Work work, Fail fail) {
    auto job = std::make_shared<Job>();
    job->deadline = Clock::now() + deadline;
    job->work = std::move(work);
    job->fail = std::move(fail);
    {
        const std::lock_guard lock(mutex_);
        if (queued_.size() < max_queued_) {
            queued_.push_back(job);
            open_.push_back(job);
            ++submitted_;
            queued_changed_.notify_one();
            submitted_changed_.notify_one();
            return;
        }
    }
    job->fail(base::MakeError(absl::StatusCode::kResourceExhausted, "COMMANDS_BUSY",
                              "this worker has too many commands waiting", "Try again in some seconds."));
}

void CommandPool::RunJobs(const std::stop_token& stop) {
    while (true) {
        std::shared_ptr<Job> job;
        {
            std::unique_lock lock(mutex_);
            if (!queued_changed_.wait(lock, stop, [this] { return !queued_.empty(); })) {
                return;
            }
            job = queued_.front();
            queued_.pop_front();
        }
        if (job->answered) {
            continue;
        }
        const std::function<void()> answer = job->work();
        if (job->Claim()) {
            answer();
        }
        const std::lock_guard lock(mutex_);
        open_.remove(job);
    }
}

void CommandPool::WatchDeadlines(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    while (!stop.stop_requested()) {
        const Clock::time_point now = Clock::now();
        Clock::time_point next = now + std::chrono::hours(1);
        std::vector<std::shared_ptr<Job>> late;
        for (auto it = open_.begin(); it != open_.end();) {
            if ((*it)->deadline <= now) {
                late.push_back(*it);
                it = open_.erase(it);
            } else {
                next = std::min(next, (*it)->deadline);
                ++it;
            }
        }
        if (!late.empty()) {
            lock.unlock();
            for (const auto& job : late) {
                if (job->Claim()) {
                    job->fail(
                        base::MakeError(absl::StatusCode::kDeadlineExceeded, "COMMAND_DEADLINE",
                                        "the worker did not finish in time",
                                        "See whether the source, the destination and Kafka answer it."));
                }
            }
            lock.lock();
            continue;
        }
        const uint64_t seen = submitted_;
        submitted_changed_.wait_until(lock, stop, next, [&] { return submitted_ != seen; });
    }
}

}  // namespace millrace::agent
