#include <algorithm>
#include <atomic>
#include <thread>

#include "base/status.h"
#include "connectors/sdk/testing/destination_conformance.h"

// Checkpoints, fences, repeats, checks and removal.

namespace millrace::sdk::testing {
namespace {

using Rows = std::vector<TestDatabase::Row>;

TEST_P(DestinationConformance, TakeOverOfAnUntouchedTableStartsAtNothing) {
    const SchemaPtr schema = Orders();
    const auto writer = destination_->OpenTable(Target(*schema), Stream(*schema));
    ASSERT_TRUE(writer.ok());
    const Checkpoint checkpoint = TakeOver(**writer);
    EXPECT_EQ(checkpoint.next_offset, 0);
    EXPECT_EQ(checkpoint.last, Position());
    EXPECT_EQ(checkpoint.generation, 0U);
    EXPECT_GT(checkpoint.epoch, 0U);
}

TEST_P(DestinationConformance, TakeOverReturnsWhatWasStoredAndRaisesTheEpoch) {
    const SchemaPtr schema = Orders();
    const auto first = Open(schema);
    const uint64_t epoch = TakeOver(*first).epoch;
    Batch batch = BatchBuilder(schema).Full({"1", "a", "1.50", "x"}).Build(3, 9);
    batch.last = {.commit = ~uint64_t{0}, .seq = ~uint64_t{0} - 1};
    batch.generation = 3;
    Apply(*first, batch);
    // Another process: nothing but the database is shared.
    const auto other = database_->OpenDestination();
    const auto second = other->OpenTable(Target(*schema), Stream(*schema));
    ASSERT_TRUE(second.ok());
    const Checkpoint checkpoint = TakeOver(**second);
    EXPECT_EQ(checkpoint.next_offset, 9);
    EXPECT_EQ(checkpoint.last, batch.last);
    EXPECT_EQ(checkpoint.generation, 3U);
    EXPECT_EQ(checkpoint.epoch, epoch + 1);
}

TEST_P(DestinationConformance, RepeatedBatchIsAlreadyApplied) {
    const SchemaPtr schema = Orders();
    const auto writer = Open(schema);
    const Batch first = BatchBuilder(schema).Full({"1", "a", "1.50", "x"}).Build(0, 1);
    const Batch second = BatchBuilder(schema).Full({"1", "b", "2.00", "y"}).Build(1, 2);
    EXPECT_FALSE(Apply(*writer, first).already_applied);
    EXPECT_FALSE(Apply(*writer, second).already_applied);
    EXPECT_TRUE(Apply(*writer, first).already_applied);
    EXPECT_TRUE(Apply(*writer, second).already_applied);
    EXPECT_EQ(ReadRows(*schema), (Rows{{"1", "b", "2.00", "y"}}));
    EXPECT_EQ(TakeOver(*writer).next_offset, 2);
    EXPECT_TRUE(Apply(*writer, second).already_applied);
    EXPECT_FALSE(Apply(*writer, BatchBuilder(schema).Gone({"1"}).Build(2, 3)).already_applied);
    EXPECT_EQ(Count(*schema), 0);
}

TEST_P(DestinationConformance, RepeatedAppendIsAppliedOnce) {
    const SchemaPtr schema = MakeSchema("history", {MakeColumn("what", "text")});
    const auto writer = Open(schema);
    const Batch batch = BatchBuilder(schema).Append().Full({"a"}).Build(0, 1);
    Apply(*writer, batch);
    EXPECT_TRUE(Apply(*writer, batch).already_applied);
    EXPECT_EQ(Count(*schema), 1);
}

TEST_P(DestinationConformance, OffsetsMayHaveGaps) {
    const SchemaPtr schema = Orders();
    const auto writer = Open(schema);
    Apply(*writer, BatchBuilder(schema).Full({"1", "a", "1.50", "x"}).Build(0, 2));
    Apply(*writer, BatchBuilder(schema).Full({"2", "b", "1.50", "x"}).Build(7, 9));
    EXPECT_EQ(Count(*schema), 2);
    EXPECT_EQ(TakeOver(*writer).next_offset, 9);
}

TEST_P(DestinationConformance, ABatchWithoutRowsMovesTheCheckpoint) {
    const SchemaPtr schema = Orders();
    const auto writer = Open(schema);
    Apply(*writer, BatchBuilder(schema).Build(0, 5));
    EXPECT_EQ(Count(*schema), 0);
    EXPECT_EQ(TakeOver(*writer).next_offset, 5);
}

TEST_P(DestinationConformance, AZombieIsFencedAndWritesNothing) {
    const SchemaPtr schema = Orders();
    const auto zombie = Open(schema);
    Apply(*zombie, BatchBuilder(schema).Full({"1", "a", "1.50", "x"}).Build(0, 1));
    const auto other = database_->OpenDestination();
    auto owner = other->OpenTable(Target(*schema), Stream(*schema));
    ASSERT_TRUE(owner.ok());
    TakeOver(**owner);
    const Batch batch = BatchBuilder(schema).TruncateFirst().Full({"2", "z", "9.00", "z"}).Build(1, 2);
    for (int attempt = 0; attempt < 2; ++attempt) {
        const auto refused = zombie->Apply(batch);
        ASSERT_TRUE(absl::IsAborted(refused.status())) << refused.status();
        EXPECT_EQ(base::ReasonOf(refused.status()), "FENCED");
    }
    EXPECT_EQ(ReadRows(*schema), (Rows{{"1", "a", "1.50", "x"}}));
    Apply(**owner, BatchBuilder(schema).Full({"3", "c", "3.00", "c"}).Build(1, 2));
    const auto late = zombie->Apply(batch);
    EXPECT_EQ(base::ReasonOf(late.status()), "FENCED");
    EXPECT_EQ(Count(*schema), 2);
}

TEST_P(DestinationConformance, ApplyBeforeTakeOverIsRefused) {
    const SchemaPtr schema = Orders();
    const auto writer = destination_->OpenTable(Target(*schema), Stream(*schema));
    ASSERT_TRUE(writer.ok());
    EXPECT_FALSE((*writer)->Apply(BatchBuilder(schema).Full({"1", "a", "1.00", "x"}).Build(0, 1)).ok());
}

TEST_P(DestinationConformance, ARefusedBatchLeavesNoTrace) {
    const SchemaPtr schema = Orders();
    const auto writer = Open(schema);
    Apply(*writer, BatchBuilder(schema).Full({"1", "a", "1.50", "x"}).Build(0, 1));
    const std::string value = "not-a-number-4711";
    BatchBuilder bad(schema);
    for (int i = 2; i < 300; ++i) {
        bad.Full({std::to_string(i), "b", "2.00", "y"});
    }
    const auto refused =
        writer->Apply(bad.TruncateFirst().Gone({"1"}).Full({"1000", "c", value, "z"}).Build(1, 400));
    ASSERT_TRUE(absl::IsFailedPrecondition(refused.status())) << refused.status();
    EXPECT_EQ(base::ReasonOf(refused.status()), "VALUE_REJECTED");
    EXPECT_EQ(base::Describe(refused.status()).find(value), std::string::npos) << "a row value in an error";
    EXPECT_EQ(ReadRows(*schema), (Rows{{"1", "a", "1.50", "x"}}));
    Apply(*writer, BatchBuilder(schema).Full({"2", "b", "2.00", "y"}).Build(1, 400));
    EXPECT_EQ(Count(*schema), 2);
}

TEST_P(DestinationConformance, ARefusedValueInASmallBatch) {
    const SchemaPtr schema = Orders();
    const auto writer = Open(schema);
    const std::string value = "not-a-number-4711";
    const auto refused = writer->Apply(BatchBuilder(schema).Full({"1", "c", value, "z"}).Build(0, 1));
    ASSERT_TRUE(absl::IsFailedPrecondition(refused.status())) << refused.status();
    EXPECT_EQ(base::ReasonOf(refused.status()), "VALUE_REJECTED");
    EXPECT_EQ(base::Describe(refused.status()).find(value), std::string::npos) << "a row value in an error";
    EXPECT_EQ(TakeOver(*writer).next_offset, 0);
}

TEST_P(DestinationConformance, TwoTablesFromTwoThreads) {
    constexpr int kBatches = 15;
    const std::vector<SchemaPtr> schemas = {Orders("left"), Orders("right")};
    std::vector<std::thread> threads;
    for (const SchemaPtr& schema : schemas) {
        threads.emplace_back([this, schema] {
            const auto writer = Open(schema);
            ASSERT_NE(writer, nullptr);
            for (int i = 0; i < kBatches; ++i) {
                BatchBuilder batch(schema);
                for (int row = 0; row < 100; ++row) {
                    batch.Full({std::to_string(i * 50 + row), std::to_string(i), "1.00", "x"});
                }
                Apply(*writer, batch.Build(i, i + 1));
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    for (const SchemaPtr& schema : schemas) {
        EXPECT_EQ(Count(*schema), (kBatches - 1) * 50 + 100);
    }
}

TEST_P(DestinationConformance, ManyWritersStartInAnEmptyDatabaseAtOnce) {
    constexpr int kWriters = 8;
    std::atomic<int> done = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < kWriters; ++i) {
        threads.emplace_back([this, i, &done] {
            const SchemaPtr schema = Orders("t" + std::to_string(i));
            const auto writer = Open(schema);
            ASSERT_NE(writer, nullptr);
            Apply(*writer, BatchBuilder(schema).Full({"1", "a", "1.50", "x"}).Build(0, 1));
            done += 1;
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    EXPECT_EQ(done, kWriters);
    for (int i = 0; i < kWriters; ++i) {
        EXPECT_EQ(Count(*Orders("t" + std::to_string(i))), 1);
    }
}

TEST_P(DestinationConformance, PreflightOfAnEmptyDatabaseLeavesNothingBehind) {
    const SchemaPtr schema = Orders();
    const Findings findings = destination_->Preflight(Stream(*schema), {Target(*schema)});
    EXPECT_FALSE(HasCritical(findings)) << StatusFromFindings(findings);
    EXPECT_FALSE(findings.empty());
    EXPECT_TRUE(database_
                    ->Query("SELECT schema_name FROM information_schema.schemata WHERE schema_name IN "
                            "('shop', '_millrace')")
                    .empty());
}

TEST_P(DestinationConformance, PreflightRefusesTablesWithStrangeRows) {
    const SchemaPtr schema = Orders();
    database_->Execute("CREATE SCHEMA shop");
    database_->Execute("CREATE TABLE shop.orders (id bigint)");
    EXPECT_FALSE(HasCritical(destination_->Preflight(Stream(*schema), {Target(*schema)}))) << "empty is fine";
    database_->Execute("INSERT INTO shop.orders VALUES (1)");
    const Findings findings =
        destination_->Preflight(Stream(*schema), {Target(*schema), Target(*Orders("other"))});
    const auto found = std::find_if(findings.begin(), findings.end(),
                                    [](const Finding& finding) { return finding.code == "DST_NOT_EMPTY"; });
    ASSERT_NE(found, findings.end());
    EXPECT_EQ(found->severity, Severity::kCritical);
    EXPECT_NE(found->remedy, "");
    EXPECT_EQ(found->subject, "shop.orders");
}

TEST_P(DestinationConformance, PreflightKnowsItsOwnTables) {
    const SchemaPtr schema = Orders();
    Apply(*Open(schema), BatchBuilder(schema).Full({"1", "a", "1.50", "x"}).Build(0, 1));
    EXPECT_FALSE(HasCritical(destination_->Preflight(Stream(*schema), {Target(*schema)})));
    EXPECT_TRUE(HasCritical(destination_->Preflight(Stream(*schema, "p2"), {Target(*schema)})));
}

TEST_P(DestinationConformance, RemoveDeletesThePipelinesCheckpointsAlone) {
    EXPECT_TRUE(destination_->Remove("uid-p1").ok()) << "nothing was ever made";
    const SchemaPtr first = Orders("first");
    const SchemaPtr second = Orders("second");
    const auto writer = Open(first);
    Apply(*writer, BatchBuilder(first).Full({"1", "a", "1.50", "x"}).Build(0, 1));
    Apply(*Open(second, "p2"), BatchBuilder(second).Full({"1", "a", "1.50", "x"}).Build(0, 1));
    EXPECT_TRUE(destination_->Remove("uid-p1").ok());
    EXPECT_TRUE(destination_->Remove("uid-p1").ok());
    EXPECT_EQ(database_->Query("SELECT pipeline_uid FROM _millrace.checkpoints"), (Rows{{"uid-p2"}}));
    EXPECT_EQ(Count(*first), 1) << "user tables stay";
    const auto late = writer->Apply(BatchBuilder(first).Full({"2", "a", "1.50", "x"}).Build(1, 2));
    EXPECT_EQ(base::ReasonOf(late.status()), "FENCED");
    EXPECT_EQ(Count(*first), 1);
}

}  // namespace
}  // namespace millrace::sdk::testing
