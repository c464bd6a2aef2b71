#include "data-plane/bus/table_positions.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace millrace::bus {
namespace {

using std::chrono_literals::operator""s;
using testing::ElementsAre;
using testing::IsEmpty;
using Verdict = TablePositions::Verdict;

class TablePositionsTest : public testing::Test {
 protected:
    TablePositions positions_;
    TablePositions::Clock::time_point now_ = TablePositions::Clock::time_point(std::chrono::hours(1));
};

TEST_F(TablePositionsTest, OnlyAssignedTopicsFromTheirPositionOn) {
    EXPECT_EQ(TablePositions::Judge(positions_.Find("t"), 5, 0), Verdict::kDrop);
    auto& topic = positions_.Insert("t", 5);
    EXPECT_EQ(TablePositions::Judge(&topic, 5, positions_.changes()), Verdict::kDrop) << "not assigned yet";
    positions_.SetAssigned(topic, true);
    EXPECT_EQ(TablePositions::Judge(&topic, 4, positions_.changes()), Verdict::kDrop) << "delivered before";
    EXPECT_EQ(TablePositions::Judge(&topic, 5, positions_.changes()), Verdict::kDeliver);
    EXPECT_EQ(TablePositions::Judge(&topic, 9, positions_.changes()), Verdict::kDeliver)
        << "markers leave gaps";
}

TEST_F(TablePositionsTest, WhatWasFetchedAcrossARepositionIsFetchedAnew) {
    auto& topic = positions_.Insert("t", 5);
    positions_.SetAssigned(topic, true);
    const uint64_t before = positions_.changes();
    positions_.SetAssigned(topic, false);
    EXPECT_EQ(TablePositions::Judge(&topic, 7, before), Verdict::kDrop);
    positions_.SetAssigned(topic, true);
    EXPECT_EQ(TablePositions::Judge(&topic, 7, before), Verdict::kReassign);
    EXPECT_EQ(TablePositions::Judge(&topic, 7, positions_.changes()), Verdict::kDeliver);
}

TEST_F(TablePositionsTest, MissingIsRetriedAndInTheEndForGood) {
    auto& topic = positions_.Insert("t", 5);
    TablePositions::SetMissing(topic, now_);
    EXPECT_THAT(positions_.Due(now_), IsEmpty());
    EXPECT_THAT(positions_.Due(now_ + 1s), ElementsAre("t"));
    EXPECT_THAT(positions_.MissingForGood(now_ + 14s), IsEmpty());
    TablePositions::SetMissing(topic, now_ + 14s);
    EXPECT_THAT(positions_.MissingForGood(now_ + 15s), ElementsAre("t")) << "counted from the first time";
    topic.paused = true;
    EXPECT_THAT(positions_.MissingForGood(now_ + 15s), IsEmpty());
    EXPECT_THAT(positions_.Due(now_ + 15s), IsEmpty());
}

}  // namespace
}  // namespace millrace::bus
