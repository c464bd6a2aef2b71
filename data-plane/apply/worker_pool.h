/// A bounded number of threads that run the steps of any number of jobs; a job that has nothing to do costs
/// nothing. Not for: polling Kafka, deciding what a step does.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "data-plane/apply/clock.h"

namespace millrace::apply {

/// A job blocks its thread while its destination works: give each destination a pool of its own, so that one
/// which hangs stops nobody else's. Every method from any thread. Retire every job before the pool or the job
/// dies.
class WorkerPool final {
 public:
    /// Run by one thread at a time.
    class Job {
     public:
        virtual ~Job() = default;
        /// Does some work; returns when it wants to run again without being woken (a past time: at once,
        /// after others).
        virtual std::optional<TimePoint> Step() = 0;

     private:
        friend class WorkerPool;
        enum class State : uint8_t { kIdle, kQueued, kRunning, kRunningWoken, kRetired, kRetiredRunning };
        State state_ = State::kIdle;
        std::optional<TimePoint> due_;
    };

    explicit WorkerPool(int threads);
    ~WorkerPool();
    WorkerPool(const WorkerPool&) = delete;
    WorkerPool& operator=(const WorkerPool&) = delete;

    /// Runs a step soon; one more if one is running.
    void Wake(Job& job);

    /// No step of `job` begins after this returns. True once none is running either, which is awaited until
    /// `deadline`; only then may the job be destroyed. Not from a step of the job itself.
    bool Retire(Job& job, TimePoint deadline);

 private:
    void Run();
    void Execute(std::unique_lock<std::mutex>& lock, Job& job);
    void SetTimer(Job& job, std::optional<TimePoint> due);
    void MoveDueJobs(TimePoint now);

    std::mutex mutex_;
    std::condition_variable work_;
    std::condition_variable finished_;
    std::deque<Job*> queue_;
    std::set<std::pair<TimePoint, Job*>> timers_;
    bool stopping_ = false;
    std::vector<std::thread> threads_;
};

}  // namespace millrace::apply
