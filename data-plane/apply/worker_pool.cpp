#include "data-plane/apply/worker_pool.h"

#include <algorithm>

namespace millrace::apply {

WorkerPool::WorkerPool(int threads) {
    for (int i = 0; i < std::max(1, threads); ++i) {
        threads_.emplace_back([this] { Run(); });
    }
}

WorkerPool::~WorkerPool() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    work_.notify_all();
    for (std::thread& thread : threads_) {
        thread.join();
    }
}

void WorkerPool::Wake(Job& job) {
    {
        const std::lock_guard lock(mutex_);
        switch (job.state_) {
            case Job::State::kIdle:
                job.state_ = Job::State::kQueued;
                queue_.push_back(&job);
                break;
            case Job::State::kRunning:
                job.state_ = Job::State::kRunningWoken;
                return;
            default:
                return;
        }
    }
    work_.notify_one();
}

bool WorkerPool::Retire(Job& job, TimePoint deadline) {
    std::unique_lock lock(mutex_);
    SetTimer(job, std::nullopt);
    switch (job.state_) {
        case Job::State::kQueued:
            std::erase(queue_, &job);
            job.state_ = Job::State::kRetired;
            break;
        case Job::State::kRunning:
        case Job::State::kRunningWoken:
            job.state_ = Job::State::kRetiredRunning;
            break;
        case Job::State::kIdle:
            job.state_ = Job::State::kRetired;
            break;
        default:
            break;
    }
    return finished_.wait_until(lock, deadline, [&job] { return job.state_ == Job::State::kRetired; });
}

void WorkerPool::SetTimer(Job& job, std::optional<TimePoint> due) {
    if (job.due_) {
        timers_.erase({*job.due_, &job});
    }
    job.due_ = due;
    if (due) {
        timers_.insert({*due, &job});
    }
}

void WorkerPool::MoveDueJobs(TimePoint now) {
    while (!timers_.empty() && timers_.begin()->first <= now) {
        Job& job = *timers_.begin()->second;
        SetTimer(job, std::nullopt);
        if (job.state_ == Job::State::kIdle) {
            job.state_ = Job::State::kQueued;
            queue_.push_back(&job);
        }
    }
}

void WorkerPool::Run() {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
        MoveDueJobs(std::chrono::steady_clock::now());
        if (!queue_.empty()) {
            Job& job = *queue_.front();
            queue_.pop_front();
            Execute(lock, job);
        } else if (timers_.empty()) {
            work_.wait(lock);
        } else {
            // A copy: the timer may be erased while we wait.
            const TimePoint due = timers_.begin()->first;
            work_.wait_until(lock, due);
        }
    }
}

void WorkerPool::Execute(std::unique_lock<std::mutex>& lock, Job& job) {
    SetTimer(job, std::nullopt);
    job.state_ = Job::State::kRunning;
    if (!queue_.empty()) {
        work_.notify_one();
    }
    lock.unlock();
    const std::optional<TimePoint> next = job.Step();
    lock.lock();
    if (job.state_ == Job::State::kRetiredRunning) {
        job.state_ = Job::State::kRetired;
        finished_.notify_all();
        return;
    }
    const bool again =
        job.state_ == Job::State::kRunningWoken || (next && *next <= std::chrono::steady_clock::now());
    if (again) {
        job.state_ = Job::State::kQueued;
        queue_.push_back(&job);
        return;
    }
    job.state_ = Job::State::kIdle;
    SetTimer(job, next);
    if (next) {
        // A thread that waits for a later timer, or for none, must look again.
        work_.notify_one();
    }
}

}  // namespace millrace::apply
