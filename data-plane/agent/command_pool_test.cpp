#include "data-plane/agent/command_pool.h"

#include <gtest/gtest.h>

#include <future>
#include <latch>
#include <string>

#include "base/status.h"

namespace millrace::agent {
namespace {

using std::chrono::milliseconds;

CommandPool::Fail Refuse(std::promise<std::string>& answer) {
    return [&answer](const absl::Status& status) { answer.set_value(base::ReasonOf(status)); };
}

CommandPool::Work Answer(std::promise<std::string>& answer) {
    return [&answer]() -> std::function<void()> { return [&answer] { answer.set_value("done"); }; };
}

TEST(CommandPool, WorkIsAnswered) {
    std::promise<std::string> answer;
    CommandPool pool(2, 4);
    pool.Submit(milliseconds(60'000), Answer(answer), Refuse(answer));
    EXPECT_EQ(answer.get_future().get(), "done");
}

TEST(CommandPool, LateWorkIsAnsweredOnceByItsDeadline) {
    std::promise<std::string> answer;
    std::latch go(1);
    {
        CommandPool pool(1, 4);
        pool.Submit(
            milliseconds(1),
            [&]() -> std::function<void()> {
                go.wait();
                // A second answer would throw: the promise is satisfied already.
                return [&answer] { answer.set_value("late"); };
            },
            Refuse(answer));
        EXPECT_EQ(answer.get_future().get(), "COMMAND_DEADLINE");
        go.count_down();
    }
}

TEST(CommandPool, WhatWaitsBehindSlowWorkMeetsItsOwnDeadline) {
    std::promise<std::string> slow;
    std::promise<std::string> waiting;
    std::latch go(1);
    CommandPool pool(1, 4);
    pool.Submit(
        milliseconds(60'000),
        [&]() -> std::function<void()> {
            go.wait();
            return [&slow] { slow.set_value("done"); };
        },
        Refuse(slow));
    pool.Submit(milliseconds(1), Answer(waiting), Refuse(waiting));
    EXPECT_EQ(waiting.get_future().get(), "COMMAND_DEADLINE");
    go.count_down();
    EXPECT_EQ(slow.get_future().get(), "done");
}

TEST(CommandPool, AFullQueueRefusesAtOnce) {
    std::promise<std::string> running;
    std::promise<std::string> queued;
    std::promise<std::string> refused;
    std::latch started(1);
    std::latch go(1);
    CommandPool pool(1, 1);
    pool.Submit(
        milliseconds(60'000),
        [&]() -> std::function<void()> {
            started.count_down();
            go.wait();
            return [&running] { running.set_value("done"); };
        },
        Refuse(running));
    started.wait();
    pool.Submit(milliseconds(60'000), Answer(queued), Refuse(queued));
    pool.Submit(milliseconds(60'000), Answer(refused), Refuse(refused));
    EXPECT_EQ(refused.get_future().get(), "COMMANDS_BUSY");
    go.count_down();
    EXPECT_EQ(queued.get_future().get(), "done");
}

}  // namespace
}  // namespace millrace::agent
