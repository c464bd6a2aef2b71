#include "data-plane/agent/facts.h"

#include <gtest/gtest.h>

#include "base/status.h"
#include "millrace/v1/link.pb.h"

namespace millrace::agent {
namespace {

runtime::PipelineFacts Facts() {
    runtime::PipelineFacts facts;
    facts.name = "tenants/default/pipelines/shop";
    facts.generation = 4;
    return facts;
}

apply::TableFacts Table(const std::string& table, apply::TableState state) {
    apply::TableFacts facts;
    facts.topic = "millrace.shop.public." + table;
    facts.schema = "public";
    facts.table = table;
    facts.state = state;
    return facts;
}

v1::PipelineFacts Translate(const runtime::PipelineFacts& facts) {
    v1::PipelineFacts proto;
    TranslateFacts(facts, "w1", &proto);
    return proto;
}

TEST(Facts, ATableOfTheConsumerCarriesItsWorkerAndError) {
    runtime::PipelineFacts facts = Facts();
    apply::TableFacts table = Table("orders", apply::TableState::kHeld);
    table.rows_applied = 12;
    table.dead_letters = 5;
    table.records_waiting = 3;
    table.error = "column missing";
    table.reason = "SCHEMA";
    table.remedy = "Add it.";
    table.last_applied_time_us = 1'500'000;
    facts.tables = {table};
    const v1::PipelineFacts proto = Translate(facts);
    ASSERT_EQ(proto.tables_size(), 1);
    EXPECT_EQ(proto.tables(0).state(), v1::TableStatus::STATE_HELD);
    EXPECT_EQ(proto.tables(0).worker_id(), "w1");
    EXPECT_EQ(proto.tables(0).rows_applied(), 12);
    EXPECT_EQ(proto.tables(0).dead_letters(), 5);
    EXPECT_EQ(proto.tables(0).lag_records(), 3);
    EXPECT_EQ(proto.tables(0).error(), "column missing");
    EXPECT_EQ(proto.tables(0).error_reason(), "SCHEMA");
    EXPECT_EQ(proto.tables(0).remedy(), "Add it.");
    EXPECT_EQ(proto.tables(0).last_applied_time().seconds(), 1);
    EXPECT_FALSE(proto.has_publisher());
}

TEST(Facts, TheFirstCopyShowsUntilItIsWholeAndNeverHidesTrouble) {
    runtime::PipelineFacts facts = Facts();
    facts.tables = {Table("live", apply::TableState::kLive), Table("held", apply::TableState::kHeld)};
    facts.publisher.emplace();
    facts.publisher->state = publish::PublisherState::kCopying;
    facts.publisher->tables = {{"public", "live", "", false, false, 10},
                               {"public", "held", "", false, false, 0},
                               {"public", "elsewhere", "", true, true, 5}};
    const v1::PipelineFacts proto = Translate(facts);
    ASSERT_EQ(proto.tables_size(), 3);
    EXPECT_EQ(proto.tables(0).table(), "elsewhere");
    EXPECT_EQ(proto.tables(0).state(), v1::TableStatus::STATE_UNSPECIFIED);
    EXPECT_EQ(proto.tables(0).worker_id(), "");
    EXPECT_TRUE(proto.tables(0).append_only());
    EXPECT_EQ(proto.tables(1).state(), v1::TableStatus::STATE_HELD);
    EXPECT_EQ(proto.tables(2).state(), v1::TableStatus::STATE_COPYING);
    EXPECT_EQ(proto.publisher().rows_copied(), 15);
    EXPECT_EQ(proto.publisher().tables_copied(), 1);
    EXPECT_EQ(proto.publisher().tables_total(), 3);
    EXPECT_EQ(proto.publisher().worker_id(), "w1");
}

TEST(Facts, HowFarABackfillIsComesWithItsTable) {
    runtime::PipelineFacts facts = Facts();
    facts.publisher.emplace();
    facts.publisher->state = publish::PublisherState::kStreaming;
    publish::TableFacts table{"public", "orders", "", false, false, 10};
    EXPECT_FALSE(table.backfill.remaining.has_value());
    facts.publisher->tables = {table};
    EXPECT_FALSE(Translate(facts).tables(0).has_backfill());
    table.backfill = {.state = publish::BackfillFacts::State::kRunning,
                      .resync = true,
                      .chosen = false,
                      .rows = 10,
                      .bytes = 2'000,
                      .chunks = 3,
                      .rows_per_second = 2.5,
                      .remaining = std::pair(std::chrono::seconds(4), std::chrono::seconds(9))};
    facts.publisher->tables = {table};
    const v1::PipelineFacts proto = Translate(facts);
    const v1::BackfillStatus& backfill = proto.tables(0).backfill();
    EXPECT_EQ(backfill.state(), v1::BackfillStatus::STATE_RUNNING);
    EXPECT_TRUE(backfill.resync());
    EXPECT_EQ(backfill.rows_read(), 10);
    EXPECT_EQ(backfill.bytes_read(), 2'000);
    EXPECT_EQ(backfill.chunks(), 3);
    EXPECT_EQ(backfill.remaining_least().seconds(), 4);
    EXPECT_EQ(backfill.remaining_most().seconds(), 9);
}

TEST(Facts, AStandbySaysNothingOfTables) {
    runtime::PipelineFacts facts = Facts();
    facts.publisher.emplace();
    facts.publisher->state = publish::PublisherState::kStandby;
    facts.publisher->tables = {{"public", "orders", "", false, false, 10}};
    EXPECT_EQ(Translate(facts).tables_size(), 0);
}

TEST(Facts, AnErrorOfThePipelineCarriesReasonAndRemedy) {
    runtime::PipelineFacts facts = Facts();
    facts.error =
        base::MakeError(absl::StatusCode::kUnavailable, "KAFKA_UNREACHABLE", "no broker", "Start Kafka.");
    facts.removed = true;
    const v1::PipelineFacts proto = Translate(facts);
    EXPECT_EQ(proto.error(), "no broker");
    EXPECT_EQ(proto.error_reason(), "KAFKA_UNREACHABLE");
    EXPECT_EQ(proto.remedy(), "Start Kafka.");
    EXPECT_TRUE(proto.removed());
    EXPECT_EQ(proto.generation(), 4);
}

}  // namespace
}  // namespace millrace::agent
