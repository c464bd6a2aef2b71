// What a table does when its destination, its records or Kafka fail.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data-plane/apply/table_actor_fixture.h"

namespace millrace::apply {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;

TEST_F(TableActorTest, ASealedBatchIsTriedAgainAsItIsAndBeforeWhatCameLater) {
    Start();
    ProduceInserts(0, 3);
    Fail(Moment::kBeforeApply, absl::UnavailableError("no connection"), 2);
    EXPECT_NE(Run(), std::nullopt);
    EXPECT_EQ(Facts().state, TableState::kRetrying);
    EXPECT_EQ(Facts().reason, "UNAVAILABLE");
    EXPECT_EQ(Facts().attempts, 1);
    EXPECT_GT(Facts().next_retry_time_us, clock_.WallMicros());
    EXPECT_EQ(Facts().records_waiting, 3);
    ProduceInserts(3, 5);
    RunFor(seconds(5));
    EXPECT_THAT(tried_, ElementsAre(std::pair(0, 3), std::pair(0, 3), std::pair(0, 3), std::pair(3, 5)));
    EXPECT_EQ(Table().rows.size(), 5U);
    EXPECT_EQ(Facts().state, TableState::kLive);
    EXPECT_EQ(Facts().error, "");
    EXPECT_EQ(Facts().attempts, 0);
    EXPECT_THAT(bus_.subscriptions, ElementsAre(0));
}

TEST_F(TableActorTest, UnknownCommitOutcomeDoesNotApplyTwice) {
    const sdk::SchemaPtr keyless = OrdersSchema(0, true);
    Know(keyless);
    make_.Use(keyless);
    Start();
    ProduceInserts(0, 3);
    Fail(Moment::kAfterCommit, absl::UnavailableError("connection lost in COMMIT"));
    RunFor(seconds(5));
    EXPECT_EQ(Table().appended.size(), 3U);
    EXPECT_EQ(Table().batches, 1);
    EXPECT_TRUE(Facts().append_only);
    EXPECT_EQ(Facts().rows_applied, 3);
}

TEST_F(TableActorTest, AHeldTableLetsGoOfItsMemoryShowsTheRemedyAndLooksAgain) {
    Start();
    ProduceInserts(0, 3);
    Fail(Moment::kBeforeApply,
         base::MakeError(absl::StatusCode::kPermissionDenied, "PRIVILEGE", "may not write", "GRANT it"), 2);
    EXPECT_EQ(Run(), clock_.Now() + seconds(30));
    EXPECT_EQ(Facts().state, TableState::kHeld);
    EXPECT_EQ(Facts().remedy, "GRANT it");
    EXPECT_EQ(Facts().records_waiting, 0);
    EXPECT_EQ(total_bytes_, 0);
    EXPECT_FALSE(bus_.subscribed);
    EXPECT_GT(Facts().lag_seconds, 0);
    RunFor(seconds(31));
    EXPECT_EQ(Facts().state, TableState::kHeld);
    EXPECT_EQ(Facts().attempts, 2);
    RunFor(seconds(31));
    EXPECT_EQ(Facts().state, TableState::kLive);
    EXPECT_EQ(Facts().lag_seconds, 0);
    EXPECT_EQ(Table().rows.size(), 3U);
}

TEST_F(TableActorTest, AKickTriesAHeldTableAtOnce) {
    Start();
    ProduceInserts(0, 3);
    Fail(Moment::kBeforeApply, absl::FailedPreconditionError("no such schema"));
    Run();
    ASSERT_EQ(Facts().state, TableState::kHeld);
    actor_->Kick();
    Run();
    EXPECT_EQ(Facts().state, TableState::kLive);
    EXPECT_EQ(Table().rows.size(), 3U);
}

TEST_F(TableActorTest, AnErrorOfTakingOverIsRetried) {
    Start();
    ProduceInserts(0, 3);
    Fail(Moment::kTakeOver, absl::UnavailableError("no connection"), 3);
    EXPECT_NE(Run(), std::nullopt);
    EXPECT_EQ(Facts().state, TableState::kRetrying);
    RunFor(seconds(10));
    EXPECT_EQ(Table().rows.size(), 3U);
    EXPECT_EQ(Facts().state, TableState::kLive);
}

TEST_F(TableActorTest, AFencedTableIsTakenOverAgainFromTheCheckpoint) {
    Start();
    ProduceInserts(0, 2);
    Run();
    ProduceInserts(2, 5);
    ASSERT_TRUE(store_
                    .Transact(kTopic,
                              [this](MemoryTable& table) {
                                  ++table.checkpoint.epoch;
                                  MoveCheckpoint(table, 3);
                                  return absl::OkStatus();
                              })
                    .ok());
    EXPECT_GE(Run(), clock_.Now() + seconds(1));
    EXPECT_EQ(Facts().reason, "FENCED");
    EXPECT_EQ(Table().rows.size(), 2U);
    RunFor(seconds(5));
    EXPECT_THAT(bus_.subscriptions, ElementsAre(0, 2));
    EXPECT_EQ(Table().rows.size(), 4U);
    EXPECT_EQ(Facts().state, TableState::kLive);
}

TEST_F(TableActorTest, ATableFencedAgainAndAgainIsHeld) {
    Start();
    ProduceInserts(0, 2);
    Fail(Moment::kBeforeApply, base::MakeError(absl::StatusCode::kAborted, "FENCED", "a newer epoch"), 6);
    RunFor(seconds(25));
    EXPECT_EQ(Facts().state, TableState::kHeld);
    EXPECT_NE(Facts().remedy, "");
    EXPECT_EQ(bus_.subscriptions.size(), 6U);
    RunFor(seconds(31));
    EXPECT_EQ(Facts().state, TableState::kLive);
}

TEST_F(TableActorTest, ResourceExhaustionMakesSmallerBatchesInOrder) {
    const sdk::SchemaPtr keyless = OrdersSchema(0, true);
    Know(keyless);
    make_.Use(keyless);
    Start();
    ProduceInserts(0, 100);
    most_events_ = 9;
    RunFor(seconds(60));
    ASSERT_EQ(Table().appended.size(), 100U);
    for (size_t i = 0; i < 100; ++i) {
        EXPECT_EQ(Table().appended[i].at("id"), std::to_string(i));
    }
    EXPECT_EQ(Facts().state, TableState::kLive);
}

TEST_F(TableActorTest, ASingleRowThatIsTooMuchIsHeld) {
    Start();
    ProduceInserts(0, 1);
    Fail(Moment::kBeforeApply, absl::ResourceExhaustedError("too much"));
    EXPECT_EQ(Run(), clock_.Now() + seconds(30));
    EXPECT_EQ(Facts().state, TableState::kHeld);
}

TEST_F(TableActorTest, LostOffsetsHoldTheTableUntilSomebodySaysSo) {
    Start();
    ProduceInserts(0, 2);
    Run();
    actor_->inbox().PutError(
        base::MakeError(absl::StatusCode::kOutOfRange, "OFFSET_GONE", "offset 2 is gone"));
    EXPECT_EQ(Run(), std::nullopt);
    EXPECT_EQ(Facts().state, TableState::kHeld);
    EXPECT_EQ(Facts().reason, "OFFSET_GONE");
    EXPECT_NE(Facts().remedy, "");
    EXPECT_EQ(Facts().next_retry_time_us, 0);
    RunFor(std::chrono::hours(24));
    EXPECT_EQ(Facts().state, TableState::kHeld);
    EXPECT_THAT(bus_.subscriptions, ElementsAre(0));
    actor_->Kick();
    ProduceInserts(2, 3);
    Run();
    EXPECT_EQ(Facts().state, TableState::kLive);
    EXPECT_EQ(Table().rows.size(), 3U);
}

TEST_F(TableActorTest, WhatStandsBeforeABadRecordIsApplied) {
    Start();
    ProduceInserts(0, 3);
    bus_.log.push_back({"k", "\xff\xff not a record"});
    ProduceInserts(3, 4);
    EXPECT_EQ(Run(), std::nullopt);
    EXPECT_EQ(Facts().state, TableState::kHeld);
    EXPECT_EQ(Table().rows.size(), 3U);
    EXPECT_EQ(Table().checkpoint.next_offset, 3);
    EXPECT_THAT(Facts().error, testing::HasSubstr("offset 3"));
}

TEST_F(TableActorTest, ARecordThatIsBrokenInItsMiddleIsNotAppliedInPart) {
    // Without a key, so that a row that came twice would stand there twice.
    const sdk::SchemaPtr schema = OrdersSchema(0, true);
    Know(schema);
    make_.Use(schema);
    Start();
    ProduceInserts(0, 2);
    ProducePack({make_.Insert({"2", "new", kNull, kNull}), make_.Insert({"3", "new", kNull, kNull}), make_.Delete("2")});
    ProduceInserts(4, 5);
    EXPECT_EQ(Run(), std::nullopt);
    EXPECT_EQ(Facts().state, TableState::kHeld);
    EXPECT_EQ(Facts().reason, "APPEND_ONLY");
    EXPECT_THAT(Facts().error, testing::HasSubstr("offset 2"));
    EXPECT_EQ(Table().appended.size(), 2U);
    EXPECT_EQ(Table().checkpoint.next_offset, 2);
    EXPECT_EQ(Facts().held_first_offset, 2);
    EXPECT_EQ(Facts().held_next_offset, 3);
    actor_->Kick();
    Run();
    EXPECT_EQ(Facts().state, TableState::kHeld);
    EXPECT_EQ(Table().appended.size(), 2U);
    EXPECT_EQ(total_bytes_, 0);
}

TEST_F(TableActorTest, APackThatIsMalformedAtItsEndIsNotAppliedInPart) {
    Start();
    ProduceInserts(0, 1);
    ProducePack({make_.Insert({"1", "new", kNull, kNull}), make_.Insert({"2", "new", kNull, kNull})});
    bus_.log.back().value.pop_back();
    EXPECT_EQ(Run(), std::nullopt);
    EXPECT_EQ(Facts().state, TableState::kHeld);
    EXPECT_EQ(Facts().reason, "BAD_RECORD");
    EXPECT_EQ(Table().rows.size(), 1U);
}

TEST_F(TableActorTest, ASchemaThatCannotBeReadNowIsAskedForAgain) {
    Start();
    ProduceInserts(0, 3);
    lookup_error_ = absl::UnavailableError("Kafka does not answer");
    EXPECT_NE(Run(), std::nullopt);
    EXPECT_EQ(Facts().state, TableState::kRetrying);
    lookup_error_ = absl::OkStatus();
    RunFor(seconds(5));
    EXPECT_EQ(Table().rows.size(), 3U);
    EXPECT_THAT(bus_.subscriptions, ElementsAre(0));
}

TEST_F(TableActorTest, ATableThatWaitsToRetryGivesItsMemoryBackUnderPressure) {
    Start();
    ProduceInserts(0, 3);
    Fail(Moment::kBeforeApply, absl::UnavailableError("no connection"));
    Run();
    EXPECT_GT(total_bytes_, 0);
    bus_.pressure = true;
    Run();
    EXPECT_EQ(total_bytes_, 0);
    RunFor(seconds(5));
    EXPECT_EQ(Table().rows.size(), 3U);
}

}  // namespace
}  // namespace millrace::apply
