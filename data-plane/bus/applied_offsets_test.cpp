#include "data-plane/bus/applied_offsets.h"

#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace millrace::bus {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;
using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;

class AppliedOffsetsTest : public testing::Test {
 protected:
    AppliedOffsets offsets_{100ms};
    AppliedOffsets::Clock::time_point now_ = AppliedOffsets::Clock::time_point(std::chrono::hours(1));
};

TEST_F(AppliedOffsetsTest, LastOffsetOfEachTopicOnceAnInterval) {
    EXPECT_TRUE(offsets_.settled());
    offsets_.Set("a", 1);
    offsets_.Set("b", 7);
    offsets_.Set("a", 2);
    EXPECT_THAT(offsets_.Take(now_), UnorderedElementsAre(Pair("a", 2), Pair("b", 7)));
    offsets_.Finish({});
    EXPECT_TRUE(offsets_.settled());
    offsets_.Set("a", 3);
    EXPECT_THAT(offsets_.Take(now_ + 99ms), IsEmpty());
    EXPECT_THAT(offsets_.Take(now_ + 100ms), UnorderedElementsAre(Pair("a", 3)));
}

TEST_F(AppliedOffsetsTest, OneCommitAtATime) {
    offsets_.Set("a", 1);
    EXPECT_THAT(offsets_.Take(now_), UnorderedElementsAre(Pair("a", 1)));
    offsets_.Set("a", 2);
    EXPECT_THAT(offsets_.Take(now_ + 1000ms), IsEmpty());
    EXPECT_FALSE(offsets_.settled());
    offsets_.Finish({});
    EXPECT_THAT(offsets_.Take(now_ + 1000ms), UnorderedElementsAre(Pair("a", 2)));
}

TEST_F(AppliedOffsetsTest, WhatFailedIsSentAgainUnlessOvertaken) {
    offsets_.Set("a", 1);
    offsets_.Set("b", 1);
    offsets_.Set("fine", 1);
    EXPECT_THAT(offsets_.Take(now_), testing::SizeIs(3));
    offsets_.Set("a", 2);
    offsets_.Finish({"a", "b"});
    EXPECT_FALSE(offsets_.settled());
    EXPECT_THAT(offsets_.Take(now_ + 100ms), UnorderedElementsAre(Pair("a", 2), Pair("b", 1)));
}

TEST_F(AppliedOffsetsTest, TheLastOffsetOfATopicThatRestsIsSentAgainSomeTimes) {
    offsets_.Set("a", 1);
    EXPECT_THAT(offsets_.Take(now_), UnorderedElementsAre(Pair("a", 1)));
    offsets_.Finish({});
    offsets_.Set("a", 2);
    EXPECT_THAT(offsets_.Take(now_ + 2s), UnorderedElementsAre(Pair("a", 2)));
    offsets_.Finish({});
    EXPECT_TRUE(offsets_.settled());
    std::vector<int> sent;
    for (int second = 3; second < 1000; ++second) {
        if (const auto again = offsets_.Take(now_ + std::chrono::seconds(second)); !again.empty()) {
            EXPECT_THAT(again, UnorderedElementsAre(Pair("a", 2)));
            sent.push_back(second);
            offsets_.Finish({});
        }
    }
    EXPECT_THAT(sent, testing::ElementsAre(5, 20, 80));
}

TEST_F(AppliedOffsetsTest, OfATopicGivenAwayNothingIsSentAgain) {
    offsets_.Set("a", 1);
    offsets_.Set("b", 1);
    EXPECT_THAT(offsets_.Take(now_), testing::SizeIs(2));
    offsets_.Forget("a");
    offsets_.Finish({"a", "b"});
    EXPECT_THAT(offsets_.Take(now_ + 1s), UnorderedElementsAre(Pair("b", 1)));
    offsets_.Finish({});
    offsets_.Set("b", 2);
    offsets_.Forget("b");
    EXPECT_THAT(offsets_.Take(now_ + 2s), UnorderedElementsAre(Pair("b", 2))) << "the last one is sent, once";
    offsets_.Finish({"b"});
    EXPECT_THAT(offsets_.Take(now_ + 1000s), IsEmpty());
}

}  // namespace
}  // namespace millrace::bus
