#include "data-plane/backfill/chunk_window.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "connectors/sdk/testing/batch_builder.h"

namespace millrace::backfill {
namespace {

using sdk::Cell;
using sdk::Op;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Row = std::vector<std::string>;

/// Stands for a cell that the source did not send.
const std::string kUnsent = "(unsent)";

Cell CellOf(const std::string& text) {
    return text == kUnsent ? Cell::Unchanged() : Cell::Value(text);
}

/// An event with what it points to.
struct OwnEvent final {
    OwnEvent(uint32_t xid, Op op, const Row& after_row, const Row& before_row, sdk::SchemaPtr schema) {
        for (const std::string& text : after_row) {
            after.push_back(CellOf(text));
        }
        for (const std::string& text : before_row) {
            before.push_back(CellOf(text));
        }
        event.op = op;
        event.schema = std::move(schema);
        event.xid = xid;
        event.after = after;
        event.before = before;
    }
    std::vector<Cell> after;
    std::vector<Cell> before;
    sdk::ChangeEvent event;
};

class ChunkWindowTest : public ::testing::Test {
 protected:
    const sdk::SchemaPtr schema_ = sdk::testing::MakeSchema(
        "t", {sdk::testing::MakeColumn("id", "text", 1), sdk::testing::MakeColumn("a", "text"),
              sdk::testing::MakeColumn("b", "text")});
    /// Transactions below 100 have ended.
    ChunkWindow window_{sdk::Sight{.seen = sdk::Visibility(100, 100, {}), .ending = {}}};

    void Change(uint32_t xid, Op op, const Row& after, const Row& before = {}, sdk::SchemaPtr schema = nullptr) {
        window_.Observe(OwnEvent(xid, op, after, before, schema ? schema : schema_).event);
    }
    [[nodiscard]] sdk::Chunk Read(const std::vector<Row>& rows, const sdk::Visibility& seen) const {
        sdk::Chunk chunk{.schema = schema_, .rows = sdk::RowBuffer(3), .seen = seen};
        for (const Row& row : rows) {
            std::vector<Cell> cells;
            for (const std::string& text : row) {
                cells.push_back(Cell::Value(text));
            }
            chunk.rows.Add(cells);
        }
        return chunk;
    }
    /// What is left of the rows.
    [[nodiscard]] std::vector<Row> Left(const std::vector<Row>& rows, const sdk::Visibility& seen) {
        sdk::Chunk chunk = Read(rows, seen);
        EXPECT_EQ(window_.Judge(chunk), ChunkWindow::Verdict::kUsable);
        window_.Resolve(chunk);
        std::vector<Row> left;
        for (size_t row = 0; row < chunk.rows.size(); ++row) {
            Row& texts = left.emplace_back();
            for (const Cell& cell : chunk.rows.Row(row)) {
                texts.push_back(cell.is_unchanged() ? kUnsent : std::string(cell.text()));
            }
        }
        return left;
    }
};

const sdk::Visibility kBefore(100, 100, {});
const sdk::Visibility kAfter(200, 200, {});

TEST_F(ChunkWindowTest, WhatTheSnapshotSeesIsInTheRowsAlready) {
    Change(150, Op::kUpdate, {"1", "new", "new"});
    Change(150, Op::kDelete, {}, {"2", "", ""});
    EXPECT_THAT(Left({{"1", "new", "new"}, {"3", "x", "y"}}, kAfter),
                ElementsAre(Row{"1", "new", "new"}, Row{"3", "x", "y"}));
}

TEST_F(ChunkWindowTest, WhatItDoesNotSeeHasOvertakenTheRows) {
    Change(150, Op::kUpdate, {"1", "new", "new"});
    Change(151, Op::kDelete, {}, {"2", "", ""});
    Change(152, Op::kInsert, {"3", "n", "n"});
    EXPECT_THAT(Left({{"1", "old", "old"}, {"2", "x", "y"}, {"3", "before", "its delete"}, {"4", "x", "y"}}, kBefore),
                ElementsAre(Row{"4", "x", "y"}));
}

TEST_F(ChunkWindowTest, CellsThatNoChangeSentComeFromTheRow) {
    Change(150, Op::kUpdate, {"1", "new", kUnsent});
    EXPECT_THAT(Left({{"1", "old", "big"}}, kBefore), ElementsAre(Row{"1", kUnsent, "big"}));
    Change(151, Op::kUpdate, {"1", kUnsent, "small"});
    EXPECT_THAT(Left({{"1", "old", "big"}}, kBefore), IsEmpty()) << "between them they sent all";
}

TEST_F(ChunkWindowTest, ARowMovesWithItsUnsentCells) {
    Change(150, Op::kUpdate, {"9", "new", kUnsent}, {"1", "", ""});
    EXPECT_THAT(Left({{"1", "old", "big"}, {"9", "who had it", "before"}}, kBefore),
                ElementsAre(Row{"9", kUnsent, "big"}));
    EXPECT_THAT(window_.repairs(), ElementsAre(sdk::KeyTexts{"9"})) << "it may not have been read under either key";
    Change(151, Op::kUpdate, {"8", "new", "whole"}, {"9", "", ""});
    EXPECT_THAT(Left({{"1", "old", "big"}}, kBefore), IsEmpty());
    EXPECT_EQ(window_.repairs().size(), 1U) << "a whole row needs none";
    window_.Repaired({{"9"}});
    EXPECT_THAT(window_.repairs(), IsEmpty());
}

TEST_F(ChunkWindowTest, TwoRowsChangePlaces) {
    Change(150, Op::kUpdate, {"0", "1's", kUnsent}, {"1", "", ""});
    Change(150, Op::kUpdate, {"1", "2's", kUnsent}, {"2", "", ""});
    Change(150, Op::kUpdate, {"2", "1's", kUnsent}, {"0", "", ""});
    EXPECT_THAT(Left({{"1", "a", "big of 1"}, {"2", "b", "big of 2"}}, kBefore),
                ElementsAre(Row{"2", kUnsent, "big of 1"}, Row{"1", kUnsent, "big of 2"}));
}

TEST_F(ChunkWindowTest, ATruncateOvertakesAllRows) {
    Change(150, Op::kTruncate, {});
    EXPECT_THAT(Left({{"1", "a", "b"}}, kBefore), IsEmpty());
    EXPECT_THAT(Left({{"1", "a", "b"}}, kAfter), ElementsAre(Row{"1", "a", "b"}));
}

TEST_F(ChunkWindowTest, KeysAreNotMixedUp) {
    const sdk::SchemaPtr two = sdk::testing::MakeSchema(
        "t", {sdk::testing::MakeColumn("x", "text", 1), sdk::testing::MakeColumn("y", "text", 2)});
    EXPECT_NE(two->id, schema_->id);
    ChunkWindow window(sdk::Sight{.seen = kBefore, .ending = {}});
    window.Observe(OwnEvent(150, Op::kInsert, {"1:a", "b"}, {}, two).event);
    sdk::Chunk chunk{.schema = two, .rows = sdk::RowBuffer(2), .seen = kBefore};
    chunk.rows.Add(std::vector<Cell>{Cell::Value("1"), Cell::Value("a1:b")});
    EXPECT_EQ(window.Resolve(chunk), 0);
}

TEST_F(ChunkWindowTest, ARepairIsToldWithoutAWindow) {
    const auto repair = [this](Op op, const std::string& unsent, const std::string& old_key) {
        const Row before = old_key.empty() ? Row() : Row{old_key, "", ""};
        return ChunkWindow::RepairOf(OwnEvent(150, op, {"2", unsent, "b"}, before, schema_).event);
    };
    EXPECT_EQ(repair(Op::kUpdate, kUnsent, "1"), sdk::KeyTexts{"2"});
    EXPECT_EQ(repair(Op::kUpdate, "a", "1"), std::nullopt) << "all of its cells came along";
    EXPECT_EQ(repair(Op::kUpdate, kUnsent, "2"), std::nullopt) << "it did not move";
    EXPECT_EQ(repair(Op::kUpdate, kUnsent, ""), std::nullopt);
    EXPECT_EQ(repair(Op::kInsert, "a", ""), std::nullopt);
}

TEST_F(ChunkWindowTest, WhatAChunkHasSeenIsForgotten) {
    Change(150, Op::kUpdate, {"1", "new", "new"});
    Change(250, Op::kUpdate, {"2", "new", "new"});
    const int64_t both = window_.bytes();
    window_.Prune(std::array{&kAfter});
    EXPECT_GT(window_.bytes(), 0);
    EXPECT_LT(window_.bytes(), both);
    EXPECT_THAT(Left({{"1", "new", "new"}, {"2", "old", "old"}}, kAfter), ElementsAre(Row{"1", "new", "new"}));
}

TEST_F(ChunkWindowTest, ATransactionThatMayHaveGoneByIsAwaited) {
    ChunkWindow window(sdk::Sight{.seen = sdk::Visibility(90, 100, {90, 92, 95}), .ending = {90, 95}});
    sdk::Chunk chunk = Read({{"1", "a", "b"}}, sdk::Visibility(90, 101, {90, 95}));
    EXPECT_EQ(window.Judge(chunk), ChunkWindow::Verdict::kTooEarly);
    chunk.seen = sdk::Visibility(95, 101, {95});
    EXPECT_EQ(window.Judge(chunk), ChunkWindow::Verdict::kTooEarly);
    const std::vector<Cell> row{Cell::Value("5"), Cell::Value("a"), Cell::Value("b")};
    sdk::ChangeEvent event;
    event.op = Op::kInsert;
    event.schema = schema_;
    event.xid = 95;
    event.after = row;
    window.Observe(event);
    EXPECT_EQ(window.Judge(chunk), ChunkWindow::Verdict::kUsable) << "one has ended, the changes of the other are known";
    EXPECT_EQ(window.awaited(), 1U);
    window.Prune(std::array<const sdk::Visibility*, 1>{&chunk.seen});
    EXPECT_EQ(window.awaited(), 0U);
}

TEST_F(ChunkWindowTest, AChangeOfAnotherShapeAsksForAnotherChunk) {
    const sdk::SchemaPtr wider = sdk::testing::MakeSchema(
        "t", {sdk::testing::MakeColumn("id", "text", 1), sdk::testing::MakeColumn("a", "text"),
              sdk::testing::MakeColumn("b", "text"), sdk::testing::MakeColumn("c", "text")});
    Change(150, Op::kInsert, {"1", "a", "b", "c"}, {}, wider);
    EXPECT_EQ(window_.Judge(Read({{"1", "a", "b"}}, kBefore)), ChunkWindow::Verdict::kOtherShape);
    EXPECT_EQ(window_.Judge(Read({{"1", "a", "b"}}, kAfter)), ChunkWindow::Verdict::kUsable);
}

}  // namespace
}  // namespace millrace::backfill
