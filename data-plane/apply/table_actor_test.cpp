#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "data-plane/apply/table_actor_fixture.h"

namespace millrace::apply {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;

TEST_F(TableActorTest, TakesOverReadsFromTheCheckpointAndApplies) {
    ProduceInserts(0, 5);
    ASSERT_TRUE(store_
                    .Transact(kTopic,
                              [this](MemoryTable& table) {
                                  MoveCheckpoint(table, 2);
                                  return absl::OkStatus();
                              })
                    .ok());
    Start();
    EXPECT_EQ(Facts().state, TableState::kWaiting);
    EXPECT_EQ(Run(), std::nullopt);
    EXPECT_EQ(Facts().state, TableState::kLive);
    EXPECT_THAT(bus_.subscriptions, ElementsAre(1)) << "the record before tells whether the topic is the same";
    EXPECT_EQ(Table().rows.size(), 3U);
    EXPECT_EQ(Table().checkpoint.next_offset, 5);
    EXPECT_THAT(bus_.committed, ElementsAre(5));
    const TableFacts facts = Facts();
    EXPECT_EQ(facts.schema, "public");
    EXPECT_EQ(facts.table, "orders");
    EXPECT_EQ(facts.rows_applied, 3);
    EXPECT_EQ(facts.batches, 1);
    EXPECT_EQ(facts.records_waiting, 0);
    EXPECT_EQ(facts.lag_seconds, 0);
    EXPECT_EQ(facts.last_commit_time_us, 5'000'000);
    EXPECT_EQ(facts.last_applied_time_us, clock_.WallMicros());
    EXPECT_EQ(total_bytes_, 0);
    EXPECT_NE(
        metrics_.Render().find("millrace_rows_applied_total{pipeline=\"shop\",table=\"public.orders\"} 3"),
        std::string::npos);
}

TEST_F(TableActorTest, ChangesThatShareARecordAreAppliedWithItsOffset) {
    ProduceInserts(0, 2);
    ProducePack({make_.Insert({"2", "new", kNull, kNull}), make_.Insert({"3", "new", kNull, kNull}),
                 make_.Update({"2", "paid", kNull, kNull})});
    ProduceInserts(4, 5);
    Start();
    EXPECT_EQ(Run(), std::nullopt);
    EXPECT_EQ(Table().rows.size(), 5U);
    EXPECT_EQ(Table().checkpoint.next_offset, 4);
    EXPECT_THAT(bus_.committed, ElementsAre(4));
    EXPECT_EQ(Facts().rows_applied, 6);
    EXPECT_EQ(Facts().records_waiting, 0);
    EXPECT_EQ(total_bytes_, 0);
}

TEST_F(TableActorTest, ACheckpointBehindARecordOfSeveralChangesIsFoundAgain) {
    ProducePack({make_.Insert({"1", "new", kNull, kNull}), make_.Insert({"2", "new", kNull, kNull})});
    Start();
    Run();
    Produce(make_.Insert({"3", "new", kNull, kNull}));
    Start();
    EXPECT_EQ(Run(), std::nullopt);
    EXPECT_EQ(Facts().state, TableState::kLive);
    EXPECT_EQ(Facts().rows_applied, 1) << "what the record holds is not applied again";
    EXPECT_EQ(Table().rows.size(), 3U);
}

TEST_F(TableActorTest, DeadLettersAreAskedForAndShown) {
    ASSERT_TRUE(store_
                    .Transact(kTopic,
                              [](MemoryTable& table) {
                                  table.checkpoint.dead_letters = 3;
                                  return absl::OkStatus();
                              })
                    .ok());
    Start();
    Run();
    EXPECT_EQ(Facts().dead_letters, 3);
    ProduceInserts(0, 1);
    Run();
    EXPECT_THAT(refused_, ElementsAre(sdk::RefusedValues::kDeadLetter));
    EXPECT_EQ(Facts().dead_letters, 3);
    ApplyMetrics metrics(metrics_, "shop");
    metrics.NameTable("public.orders");
    metrics.DeadLettered({{"", 1}, {"total", 2}});
    const std::string text = metrics_.Render();
    for (const char* line :
         {"millrace_dead_letters_total{column=\"\",pipeline=\"shop\",table=\"public.orders\"} 1",
          "millrace_dead_letters_total{column=\"total\",pipeline=\"shop\",table=\"public.orders\"} 2"}) {
        EXPECT_NE(text.find(line), std::string::npos) << text;
    }
}

TEST_F(TableActorTest, ASchemaChangeEndsTheBatch) {
    const sdk::SchemaPtr wider = OrdersSchema(1);
    Know(wider);
    Start();
    ProduceInserts(0, 3);
    make_.Use(wider);
    Produce(make_.Insert({"3", "a", "b", "c", "d"}));
    Run();
    EXPECT_THAT(tried_, ElementsAre(std::pair(0, 3), std::pair(3, 4)));
    EXPECT_EQ(Table().rows.size(), 4U);
}

TEST_F(TableActorTest, APausedTableAppliesNothingAndGoesOnFromItsCheckpoint) {
    limits_.interval = seconds(10);
    Start();
    ProduceInserts(0, 3);
    Run();
    EXPECT_EQ(Facts().records_waiting, 3);
    const uint64_t session = actor_->inbox().session();
    actor_->RequestPause(true);
    EXPECT_EQ(Run(), std::nullopt);
    EXPECT_EQ(Facts().state, TableState::kPaused);
    EXPECT_EQ(Facts().records_waiting, 0);
    EXPECT_EQ(total_bytes_, 0);
    // Fetched before the reader heard of it: it must not stand before what is read again.
    std::vector<bus::Record> late{{2, 0, "k", "v", nullptr}};
    EXPECT_FALSE(actor_->inbox().Put(late));
    EXPECT_FALSE(actor_->inbox().Open(session));
    actor_->RequestPause(false);
    RunFor(seconds(11));
    EXPECT_EQ(Facts().state, TableState::kLive);
    EXPECT_EQ(Table().rows.size(), 3U);
}

TEST_F(TableActorTest, AStoppedTableBeginsNoBatch) {
    limits_.interval = seconds(10);
    Start();
    ProduceInserts(0, 3);
    Run();
    actor_->RequestStop();
    clock_.elapsed += seconds(20);
    EXPECT_EQ(Run(), std::nullopt);
    EXPECT_EQ(Facts().state, TableState::kStopped);
    EXPECT_TRUE(tried_.empty());
}

TEST_F(TableActorTest, ChangesWaitForTheirAgeUnlessMemoryIsShort) {
    limits_.interval = seconds(10);
    Start();
    ProduceInserts(0, 1);
    const TimePoint first = clock_.Now();
    EXPECT_EQ(Run(), first + seconds(10));
    clock_.elapsed += seconds(4);
    ProduceInserts(1, 2);
    bus_.Deliver(*actor_);
    EXPECT_EQ(Run(), first + seconds(10));
    clock_.elapsed += seconds(6);
    Run();
    EXPECT_THAT(tried_, ElementsAre(std::pair(0, 2)));
    ProduceInserts(2, 3);
    bus_.pressure = true;
    bus_.Deliver(*actor_);
    Run();
    EXPECT_EQ(Table().rows.size(), 3U);
}

TEST_F(TableActorTest, TheRowLimitEndsABatch) {
    limits_.rows = 10;
    Start();
    ProduceInserts(0, 25);
    Run();
    EXPECT_THAT(tried_, ElementsAre(std::pair(0, 10), std::pair(10, 20), std::pair(20, 25)));
}

TEST_F(TableActorTest, TheNextBatchIsFoldedWhileALargeOneIsWritten) {
    const sdk::SchemaPtr wider = OrdersSchema(1);
    Know(wider);
    ProduceInserts(0, 200);
    make_.Use(wider);
    for (int i = 200; i < 300; ++i) {
        Produce(make_.Insert({std::to_string(i), "a", "b", "c", "d"}));
    }
    before_apply_ = [this, id = wider->id, first = true]() mutable {
        if (std::exchange(first, false)) {
            for (int i = 0; i < 5000 && !HasLookedUp(id); ++i) {
                std::this_thread::sleep_for(std::chrono::milliseconds(1));
            }
            EXPECT_TRUE(HasLookedUp(id)) << "nothing of the next batch was read while the first was written";
        }
    };
    Start();
    Run();
    EXPECT_EQ(Table().rows.size(), 300U);
    EXPECT_THAT(tried_, ElementsAre(std::pair(0, 200), std::pair(200, 300)));
    EXPECT_EQ(bus_.committed.back(), 300);
    EXPECT_EQ(Facts().records_waiting, 0);
}

TEST_F(TableActorTest, WhatWasFoldedBesideABatchThatFailsIsAppliedOnceAfterIt) {
    limits_.rows = 150;
    ProduceInserts(0, 400);
    Fail(Moment::kBeforeApply, absl::UnavailableError("away"), 2);
    Fail(Moment::kAfterCommit, absl::UnavailableError("the answer is lost"));
    Fail(Moment::kBeforeApply, absl::ResourceExhaustedError("too much"));
    Start();
    RunFor(std::chrono::minutes(1));
    EXPECT_EQ(Table().rows.size(), 400U);
    EXPECT_EQ(Table().checkpoint.next_offset, 400);
    EXPECT_EQ(bus_.committed.back(), 400);
    EXPECT_EQ(Facts().records_waiting, 0);
    EXPECT_EQ(total_bytes_, 0);
}

TEST_F(TableActorTest, TheEndIsAppliedOnlyWhenNothingIsLeft) {
    limits_.interval = seconds(10);
    Start();
    Run();
    bus_.DeliverEnd(*actor_, 0);
    EXPECT_THAT(bus_.committed, ElementsAre(0));
    ProduceInserts(0, 3);
    bus_.Deliver(*actor_);
    Run();
    // The marker of the transaction occupies offset 3.
    bus_.DeliverEnd(*actor_, 4);
    EXPECT_THAT(bus_.committed, ElementsAre(0));
    RunFor(seconds(11));
    EXPECT_THAT(bus_.committed, ElementsAre(0, 4));
}

TEST_F(TableActorTest, AFirstCopyIntoAnEmptyTableIsAppendedUntilTheFirstChange) {
    limits_.rows = 2;
    Start();
    for (int i = 0; i < 4; ++i) {
        Produce(make_.Read({std::to_string(i), "old", kNull, kNull}));
    }
    Produce(make_.Update({"1", "new", kNull, "~"}));
    Produce(make_.Read({"9", "old", kNull, kNull}));
    Produce(make_.Read({"10", "old", kNull, kNull}));
    Produce(make_.Read({"11", "old", kNull, kNull}));
    Run();
    EXPECT_THAT(append_, ElementsAre(true, true, false, false));
    EXPECT_EQ(Table().rows.size(), 7U);
}

TEST_F(TableActorTest, AFirstCopyThatWasInterruptedIsMerged) {
    limits_.rows = 2;
    Start();
    Produce(make_.Read({"0", "old", kNull, kNull}));
    Run();
    Start();
    Produce(make_.Read({"1", "old", kNull, kNull}));
    Run();
    EXPECT_THAT(append_, ElementsAre(true, false));
    // Begun anew behind a truncate, it can be appended again.
    make_.set_generation(2);
    Produce(make_.Truncate());
    bus_.Deliver(*actor_);
    Run();
    Produce(make_.Read({"0", "old", kNull, kNull}));
    bus_.Deliver(*actor_);
    Run();
    EXPECT_THAT(append_, ElementsAre(true, false, false, true));
    EXPECT_EQ(Table().rows.size(), 1U);
}

TEST_F(TableActorTest, LagIsTheAgeOfTheOldestChangeThatIsNotApplied) {
    limits_.interval = seconds(10);
    Start();
    ProduceInserts(0, 2);
    Run();
    // The first commit was at second 1, now is second 1000.
    EXPECT_DOUBLE_EQ(Facts().lag_seconds, 999);
    RunFor(seconds(10));
    EXPECT_EQ(Facts().lag_seconds, 0);
}

}  // namespace
}  // namespace millrace::apply
