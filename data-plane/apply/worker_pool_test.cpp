#include "data-plane/apply/worker_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <future>

namespace millrace::apply {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::seconds kLong{60};

class FunctionJob final : public WorkerPool::Job {
 public:
    explicit FunctionJob(std::function<std::optional<TimePoint>()> step) : step_(std::move(step)) {}
    std::optional<TimePoint> Step() override { return step_(); }

 private:
    std::function<std::optional<TimePoint>()> step_;
};

TEST(WorkerPool, RunsAWokenJobOnce) {
    WorkerPool pool(2);
    std::atomic<int> runs{0};
    std::promise<void> ran;
    FunctionJob job([&] {
        if (++runs == 1) {
            ran.set_value();
        }
        return std::nullopt;
    });
    pool.Wake(job);
    ran.get_future().wait();
    EXPECT_TRUE(pool.Retire(job, steady_clock::now() + kLong));
    EXPECT_EQ(runs, 1);
}

TEST(WorkerPool, RunsAJobOnOneThreadAtATimeAndAgainWhenWokenMeanwhile) {
    WorkerPool pool(4);
    std::atomic<int> inside{0};
    std::atomic<int> runs{0};
    std::promise<void> enough;
    FunctionJob* self = nullptr;
    FunctionJob job([&]() -> std::optional<TimePoint> {
        EXPECT_EQ(++inside, 1);
        pool.Wake(*self);
        std::this_thread::yield();
        --inside;
        if (++runs == 1000) {
            enough.set_value();
        }
        return std::nullopt;
    });
    self = &job;
    pool.Wake(job);
    enough.get_future().wait();
    EXPECT_TRUE(pool.Retire(job, steady_clock::now() + kLong));
}

TEST(WorkerPool, RunsAJobAgainAtItsTime) {
    WorkerPool pool(1);
    std::promise<TimePoint> second;
    TimePoint due;
    int runs = 0;
    FunctionJob job([&]() -> std::optional<TimePoint> {
        if (++runs == 1) {
            due = steady_clock::now() + std::chrono::milliseconds(20);
            return due;
        }
        second.set_value(steady_clock::now());
        return std::nullopt;
    });
    pool.Wake(job);
    EXPECT_GE(second.get_future().get(), due);
    EXPECT_TRUE(pool.Retire(job, steady_clock::now() + kLong));
}

TEST(WorkerPool, AnEarlierTimerIsNotHiddenByALaterOne) {
    WorkerPool pool(2);
    std::promise<void> done;
    FunctionJob late([] { return std::optional(steady_clock::now() + kLong); });
    int runs = 0;
    FunctionJob early([&]() -> std::optional<TimePoint> {
        if (++runs == 1) {
            return steady_clock::now() + std::chrono::milliseconds(5);
        }
        done.set_value();
        return std::nullopt;
    });
    pool.Wake(late);
    pool.Wake(early);
    EXPECT_EQ(done.get_future().wait_for(kLong / 2), std::future_status::ready);
    EXPECT_TRUE(pool.Retire(late, steady_clock::now() + kLong));
    EXPECT_TRUE(pool.Retire(early, steady_clock::now() + kLong));
}

TEST(WorkerPool, RetireAwaitsARunningStepUntilItsDeadline) {
    WorkerPool pool(1);
    std::promise<void> entered;
    std::promise<void> release;
    std::future<void> released = release.get_future();
    int runs = 0;
    FunctionJob job([&]() -> std::optional<TimePoint> {
        ++runs;
        entered.set_value();
        released.wait();
        return TimePoint();
    });
    pool.Wake(job);
    entered.get_future().wait();
    EXPECT_FALSE(pool.Retire(job, steady_clock::now()));
    pool.Wake(job);
    release.set_value();
    EXPECT_TRUE(pool.Retire(job, steady_clock::now() + kLong));
    EXPECT_EQ(runs, 1);
}

TEST(WorkerPool, ABlockedJobDoesNotStopTheOthers) {
    WorkerPool pool(2);
    std::promise<void> release;
    std::shared_future<void> released = release.get_future().share();
    FunctionJob blocked([&]() -> std::optional<TimePoint> {
        released.wait();
        return std::nullopt;
    });
    std::promise<void> ran;
    FunctionJob other([&]() -> std::optional<TimePoint> {
        ran.set_value();
        return std::nullopt;
    });
    pool.Wake(blocked);
    pool.Wake(other);
    ran.get_future().wait();
    release.set_value();
    EXPECT_TRUE(pool.Retire(blocked, steady_clock::now() + kLong));
    EXPECT_TRUE(pool.Retire(other, steady_clock::now() + kLong));
}

}  // namespace
}  // namespace millrace::apply
