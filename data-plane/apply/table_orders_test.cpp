// What verbs do to one table: pause, resume, resync and skip.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data-plane/apply/table_actor_fixture.h"

namespace millrace::apply {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;

class TableOrdersTest : public TableActorTest {
 protected:
    void Hold(int times = 1) {
        Fail(Moment::kBeforeApply, absl::FailedPreconditionError("a check refuses it"), times);
        Run();
        ASSERT_EQ(Facts().state, TableState::kHeld);
    }
    void Truncate() { Produce(make_.Truncate()); }
};

TEST_F(TableOrdersTest, APausedTableLetsGoOfEverythingAndGoesOnFromItsCheckpoint) {
    Start();
    actor_->Order({});
    ProduceInserts(0, 3);
    Run();
    actor_->Order({.paused = true});
    ProduceInserts(3, 6);
    EXPECT_EQ(Run(), std::nullopt);
    EXPECT_EQ(Facts().state, TableState::kPaused);
    EXPECT_FALSE(bus_.subscribed);
    EXPECT_EQ(total_bytes_, 0);
    EXPECT_EQ(Table().rows.size(), 3U);
    actor_->Order({.resume_counter = 1});
    Run();
    EXPECT_EQ(Facts().state, TableState::kLive);
    EXPECT_EQ(Table().rows.size(), 6U);
}

TEST_F(TableOrdersTest, ATablePausedFromItsStartIsNeverTakenOver) {
    Start();
    actor_->Order({.paused = true});
    ProduceInserts(0, 3);
    Run();
    EXPECT_EQ(Facts().state, TableState::kPaused);
    EXPECT_FALSE(Table().known);
}

TEST_F(TableOrdersTest, ResumeTriesAHeldTableAtOnceAndItsHeldRangeIsShown) {
    Start();
    actor_->Order({.resume_counter = 4});
    ProduceInserts(0, 3);
    Hold();
    EXPECT_EQ(Facts().held_first_offset, 0);
    EXPECT_EQ(Facts().held_next_offset, 3);
    actor_->Order({.resume_counter = 5});
    Run();
    EXPECT_EQ(Facts().state, TableState::kLive);
    EXPECT_EQ(Facts().held_next_offset, 0);
    EXPECT_EQ(Table().rows.size(), 3U);
}

TEST_F(TableOrdersTest, ASkipPassesOverExactlyItsRange) {
    Start();
    actor_->Order({});
    ProduceInserts(0, 2);
    Run();
    ProduceInserts(2, 5);
    Hold();
    ProduceInserts(5, 7);
    actor_->Order({.skip_first = 2, .skip_next = 5});
    Run();
    EXPECT_EQ(Facts().state, TableState::kLive);
    EXPECT_EQ(Table().rows.size(), 4U);
    EXPECT_EQ(Table().checkpoint.next_offset, 7);
    EXPECT_EQ(total_bytes_, 0);
}

TEST_F(TableOrdersTest, ASkipOfAnotherPlaceSkipsNothing) {
    Start();
    actor_->Order({.skip_first = 1, .skip_next = 3});
    ProduceInserts(0, 3);
    Run();
    EXPECT_EQ(Table().rows.size(), 3U);
}

TEST_F(TableOrdersTest, ASkipWithNothingBehindItEndsLiveAndHoldsAfterARestart) {
    Start();
    actor_->Order({});
    ProduceInserts(0, 3);
    Hold();
    actor_->Order({.skip_first = 0, .skip_next = 3});
    Run();
    bus_.DeliverEnd(*actor_, 3);
    Run();
    EXPECT_EQ(Facts().state, TableState::kLive);
    EXPECT_TRUE(Table().rows.empty());
    Start();
    actor_->Order({.skip_first = 0, .skip_next = 3});
    ProduceInserts(3, 4);
    Run();
    EXPECT_EQ(Table().rows.size(), 1U);
}

TEST_F(TableOrdersTest, AResyncPassesOverWhatAHeldTableIsHeldAt) {
    Start();
    actor_->Order({});
    ProduceInserts(0, 3);
    Hold(2);
    actor_->Order({.resync_counter = 1});
    ProduceInserts(3, 5);
    Run();
    EXPECT_EQ(Facts().state, TableState::kHeld) << "the copy has not come yet";
    EXPECT_TRUE(Table().rows.empty());
    Truncate();
    ProduceInserts(10, 12);
    bus_.Deliver(*actor_);
    Run();
    EXPECT_EQ(Facts().state, TableState::kLive);
    EXPECT_EQ(Table().rows.size(), 2U);
    EXPECT_EQ(total_bytes_, 0);
}

TEST_F(TableOrdersTest, ATopicMadeAnewThatEndsRightBeforeTheCheckpointIsNoticed) {
    ProduceInserts(0, 5);
    ASSERT_TRUE(store_.Transact(kTopic, [this](MemoryTable& table) {
        MoveCheckpoint(table, 5);
        return absl::OkStatus();
    }).ok());
    bus_.log.resize(4);
    Start();
    Run();
    bus_.DeliverEnd(*actor_, 4);
    RunFor(std::chrono::seconds(9));
    EXPECT_EQ(Facts().state, TableState::kLive) << "a broker that has just begun may show it later";
    RunFor(std::chrono::seconds(2));
    EXPECT_EQ(Facts().state, TableState::kHeld);
    EXPECT_EQ(Facts().reason, "OFFSET_GONE");
}

TEST_F(TableOrdersTest, TwoRecordsThatAreBrokenInTheirMiddleDoNotMakeASeekGoRound) {
    Start();
    actor_->Order({});
    const auto broken = [&] {
        ProducePack({make_.Insert({"1", "new", kNull, kNull}), make_.Insert({"2", "new", kNull, kNull})});
        bus_.log.back().value.pop_back();
    };
    broken();
    Run();
    ASSERT_EQ(Facts().state, TableState::kHeld);
    Truncate();
    ProduceInserts(10, 12);
    broken();
    actor_->Order({.resync_counter = 1});
    actor_->Kick();
    Run();
    EXPECT_EQ(Facts().state, TableState::kHeld) << "at the second one";
    EXPECT_EQ(Facts().held_first_offset, 4);
    EXPECT_EQ(Table().rows.size(), 2U) << "what stands between is applied";
}

TEST_F(TableOrdersTest, AWorkerThatComesLaterFindsTheCopyBehindThePoison) {
    ProduceInserts(0, 3);
    Truncate();
    ProduceInserts(10, 12);
    limits_.rows = 3;
    Start();
    actor_->Order({.resync_counter = 1});
    Fail(Moment::kBeforeApply, absl::FailedPreconditionError("a check refuses it"));
    Run();
    EXPECT_EQ(Facts().state, TableState::kLive);
    EXPECT_EQ(Table().rows.size(), 2U);
}

TEST_F(TableOrdersTest, WithoutACopyBehindItAHeldTableStaysHeld) {
    Start();
    actor_->Order({.resync_counter = 1});
    ProduceInserts(0, 3);
    Fail(Moment::kBeforeApply, absl::FailedPreconditionError("a check refuses it"), 2);
    Run();
    bus_.DeliverEnd(*actor_, 3);
    Run();
    EXPECT_EQ(Facts().state, TableState::kHeld);
    EXPECT_EQ(Facts().reason, "FAILED_PRECONDITION");
    EXPECT_GT(Facts().next_retry_time_us, 0);
    EXPECT_EQ(total_bytes_, 0);
    RunFor(seconds(31));
    bus_.DeliverEnd(*actor_, 3);
    Run();
    EXPECT_EQ(Facts().state, TableState::kHeld);
    RunFor(seconds(31));
    EXPECT_EQ(Facts().state, TableState::kLive);
    EXPECT_EQ(Table().rows.size(), 3U);
}

TEST_F(TableOrdersTest, ATakeOverLooksForWhatTheCheckpointStandsBehind) {
    ProduceInserts(0, 3);
    Start();
    Run();
    EXPECT_EQ(Table().checkpoint.next_offset, 3);
    Start();
    Run();
    ProduceInserts(3, 5);
    Run();
    EXPECT_EQ(bus_.subscriptions.back(), 2);
    EXPECT_EQ(Facts().state, TableState::kLive);
    EXPECT_EQ(Table().rows.size(), 5U);
    EXPECT_EQ(total_bytes_, 0);
}

TEST_F(TableOrdersTest, ATopicMadeAnewIsNoticedThoughItHasGrownPastTheCheckpoint) {
    ProduceInserts(0, 3);
    Start();
    Run();
    bus_.log.clear();
    ProduceInserts(10, 18);
    Start();
    actor_->Order({});
    Run();
    EXPECT_EQ(Facts().state, TableState::kHeld);
    EXPECT_EQ(Facts().reason, "OFFSET_GONE");
    EXPECT_EQ(Table().rows.size(), 3U) << "nothing of the other topic is applied";
    // The copy of a resync stands in the new topic below the old offset and behind changes that are worth nothing.
    bus_.log.clear();
    ProduceInserts(30, 31);
    Truncate();
    ProduceInserts(20, 22);
    actor_->Order({.resync_counter = 1});
    Run();
    EXPECT_EQ(Facts().state, TableState::kLive);
    EXPECT_EQ(Table().rows.size(), 2U);
    EXPECT_EQ(Table().checkpoint.next_offset, 4);
    EXPECT_EQ(bus_.subscriptions.back(), bus::kOldestOffset);
    ProduceInserts(22, 23);
    Run();
    EXPECT_EQ(Table().rows.size(), 3U);
    EXPECT_EQ(total_bytes_, 0);
}

TEST_F(TableOrdersTest, AnAnswerToARewindThatIsLostIsFoundOut) {
    ProduceInserts(0, 8);
    Start();
    Run();
    bus_.log.clear();
    ProduceInserts(10, 18);
    Truncate();
    ProduceInserts(20, 22);
    Start();
    actor_->Order({.resync_counter = 1});
    Fail(Moment::kAfterCommit, absl::UnavailableError("no answer to COMMIT"));
    RunFor(seconds(5));
    EXPECT_EQ(Facts().state, TableState::kLive);
    EXPECT_EQ(Table().rows.size(), 2U);
    EXPECT_EQ(Table().checkpoint.next_offset, 11);
}

TEST_F(TableOrdersTest, AReplayThatAnotherWorkerDiedOfIsDoneThoughNoRecordComes) {
    ProduceInserts(0, 3);
    Start();
    Run();
    Start();
    actor_->Order({.replay_counter = 1});
    Run();
    EXPECT_EQ(Facts().replay_counter, 1);
}

TEST_F(TableOrdersTest, ARecordThatHasLeftKafkaExactlyUpToTheCheckpointProvesNothing) {
    ProduceInserts(0, 3);
    Start();
    Run();
    Start();
    actor_->Step();
    actor_->inbox().PutError(base::MakeError(absl::StatusCode::kOutOfRange, "OFFSET_GONE", "offset 2 is gone"));
    Run();
    EXPECT_EQ(bus_.subscriptions.back(), 3);
    ProduceInserts(3, 4);
    Run();
    EXPECT_EQ(Facts().state, TableState::kLive);
    EXPECT_EQ(Table().rows.size(), 4U);
}

TEST_F(TableOrdersTest, AnEndWhereTheCheckpointsRecordShouldBeIsNoticed) {
    ProduceInserts(0, 3);
    Start();
    Run();
    bus_.log.clear();
    Start();
    actor_->Step();
    bus_.DeliverEnd(*actor_, 7);
    EXPECT_TRUE(actor_->awaits_end());
    Run();
    EXPECT_EQ(Facts().state, TableState::kHeld);
    EXPECT_EQ(Facts().reason, "OFFSET_GONE");
}

}  // namespace
}  // namespace millrace::apply
