#include <chrono>

#include "connectors/sdk/testing/destination_conformance.h"

// Wide tables and large batches.

namespace millrace::sdk::testing {
namespace {

using Rows = std::vector<TestDatabase::Row>;

// As many as a table of PostgreSQL may have: ours for control have no room beside them.
TEST_P(DestinationConformance, SixteenHundredColumns) {
    constexpr int kColumns = 1600;
    std::vector<Column> columns = {MakeColumn("id", "bigint", 1)};
    for (int i = 1; i < kColumns; ++i) {
        columns.push_back(MakeColumn("column_" + std::to_string(i), i % 4 == 1 ? "text" : "smallint"));
    }
    const SchemaPtr schema = MakeSchema("wide", columns);
    const auto writer = Open(schema);
    const auto row = [&](int id, auto cell) {
        TestRow cells = {std::to_string(id)};
        for (int i = 1; i < kColumns; ++i) {
            cells.push_back(cell(i));
        }
        return cells;
    };
    const auto value = [](int i) { return TestCell(std::to_string(i)); };
    BatchBuilder first(schema);
    for (int id = 0; id < 60; ++id) {
        first.Full(row(id, value));
    }
    Apply(*writer, first.Build(0, 60));
    Apply(*writer, BatchBuilder(schema)
                       .Partial(row(1, [](int i) { return i % 3 == 0 ? TestCell("7") : kUnchanged; }))
                       .Partial(row(2, [](int) { return kUnchanged; }))
                       .Full(row(3, [](int i) { return TestCell(std::to_string(-i)); }))
                       .Build(60, 63));
    EXPECT_EQ(Count(*schema), 60);
    const auto rows = database_->Query(
        "SELECT id, column_1, column_3, column_1599 FROM shop.wide WHERE id IN (1, 2, 3) ORDER BY id");
    EXPECT_EQ(rows, (Rows{{"1", "1", "7", "7"}, {"2", "1", "3", "1599"}, {"3", "-1", "-3", "-1599"}}));
}

TEST_P(DestinationConformance, AHundredThousandRowsInOneBatch) {
    constexpr int kRows = 100'000;
    const SchemaPtr schema = Orders();
    const auto writer = Open(schema);
    const auto timed = [&](const char* what, const Batch& batch) {
        const auto start = std::chrono::steady_clock::now();
        const ApplyResult result = Apply(*writer, batch);
        const auto spent = std::chrono::steady_clock::now() - start;
        RecordProperty(
            what, static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(spent).count()));
        return result;
    };
    BatchBuilder inserts(schema);
    BatchBuilder updates(schema);
    for (int i = 0; i < kRows; ++i) {
        const std::string id = std::to_string(i);
        inserts.Full({id, "name " + id, "1.00", "note " + id});
        if (i % 10 == 0) {
            updates.Gone({id});
        } else if (i % 10 == 1) {
            updates.Partial({id, "renamed", "2.00", kUnchanged});
        } else {
            updates.Full({id, "renamed", "2.00", nullptr});
        }
    }
    EXPECT_EQ(timed("insert_ms", inserts.Build(0, kRows)).rows_written, kRows);
    const ApplyResult result = timed("merge_ms", updates.Build(kRows, 2 * kRows));
    EXPECT_EQ(result.rows_written, kRows / 10 * 9);
    EXPECT_EQ(result.rows_deleted, kRows / 10);
    EXPECT_EQ(result.holes, 0);
    EXPECT_EQ(Count(*schema), kRows / 10 * 9);
    EXPECT_EQ(database_->Query("SELECT count(*) FROM shop.orders WHERE note IS NOT NULL"),
              (Rows{{std::to_string(kRows / 10)}}));
    EXPECT_EQ(database_->Query("SELECT name, note FROM shop.orders WHERE id = 54321"),
              (Rows{{"renamed", "note 54321"}}));
}

TEST_P(DestinationConformance, AValueOfManyMegabytes) {
    const SchemaPtr schema = Orders();
    const auto writer = Open(schema);
    const std::string large(20'000'000, 'q');
    Apply(*writer, BatchBuilder(schema).Full({"1", large, "1.00", "x"}).Build(0, 1));
    Apply(*writer, BatchBuilder(schema).Gone({"1"}).Moved({"1"}, {"2", kUnchanged, "1.00", "y"}).Build(1, 2));
    EXPECT_EQ(database_->Query("SELECT id, length(name), note FROM shop.orders"),
              (Rows{{"2", "20000000", "y"}}));
}

}  // namespace
}  // namespace millrace::sdk::testing
