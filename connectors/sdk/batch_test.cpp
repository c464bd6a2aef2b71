#include "connectors/sdk/batch.h"

#include <gtest/gtest.h>

namespace millrace::sdk {
namespace {

Batch TwoColumns(std::vector<Cell> cells) {
    auto schema = std::make_shared<TableSchema>();
    schema->columns.resize(2);
    Batch batch;
    batch.rows.resize(cells.size() / 2);
    batch.cells = std::move(cells);
    batch.schema = std::move(schema);
    return batch;
}

TEST(Cell, ThreeStatesAreApart) {
    EXPECT_TRUE(Cell().is_null());
    EXPECT_TRUE(Cell::Null().is_null());
    EXPECT_TRUE(Cell::Unchanged().is_unchanged());
    EXPECT_FALSE(Cell::Unchanged().is_null());
    EXPECT_TRUE(Cell::Value("").is_value());
    EXPECT_FALSE(Cell::Value("").is_null());
    EXPECT_EQ(Cell::Value("abc").text(), "abc");
}

TEST(Position, OrdersByCommitThenSequence) {
    EXPECT_LT((Position{1, 9}), (Position{2, 0}));
    EXPECT_LT((Position{2, 0}), (Position{2, 1}));
    EXPECT_EQ((Position{2, 1}), (Position{2, 1}));
}

TEST(Batch, RowIsASliceOfTheCells) {
    const Batch batch = TwoColumns({Cell::Value("1"), Cell::Value("a"), Cell::Value("2"), Cell::Null()});
    EXPECT_EQ(batch.Row(0)[1].text(), "a");
    EXPECT_EQ(batch.Row(1)[0].text(), "2");
    EXPECT_TRUE(batch.Row(1)[1].is_null());
}

TEST(Batch, FindsUnchangedCellsByColumn) {
    const Batch batch = TwoColumns({Cell::Value("1"), Cell::Null(), Cell::Value("2"), Cell::Unchanged()});
    EXPECT_FALSE(batch.HasUnchanged(0));
    EXPECT_TRUE(batch.HasUnchanged(1));
    EXPECT_FALSE(TwoColumns({}).HasUnchanged(1));
}

}  // namespace
}  // namespace millrace::sdk
