#include "data-plane/columns/column_mask.h"

#include <gtest/gtest.h>

#include "base/status.h"

namespace millrace::columns {
namespace {

using sdk::Cell;
using Rules = std::vector<config::ColumnRule>;

sdk::SchemaPtr People(const std::vector<std::string>& names) {
    auto schema = std::make_shared<sdk::TableSchema>();
    schema->source = "postgres";
    schema->schema = "public";
    schema->table = "people";
    for (const std::string& name : names) {
        sdk::Column column;
        column.name = name;
        column.source_type = "integer";
        column.type = sdk::LogicalType::kInt32;
        column.source_id = static_cast<int>(schema->columns.size()) + 1;
        column.key_ordinal = schema->columns.empty() ? 1 : 0;
        schema->columns.push_back(column);
    }
    schema->id = sdk::ComputeSchemaId(*schema);
    return schema;
}

class Mask : public testing::Test {
 protected:
    ColumnMask Make(const ColumnRules& rules, const std::string& key = "salt") {
        return ColumnMask(rules, *base::KeyedHash::Make(base::Secret(key)),
                          [this](const sdk::TableSchema&) -> absl::StatusOr<std::vector<std::string>> {
                              ++asked_;
                              return present_;
                          });
    }

    const ColumnRules rules_{Rules{{.table = "public.people", .exclude = {"ssn"}, .hash = {"email"}}}};
    std::vector<std::string> present_{"id", "ssn", "email", "age"};
    int asked_ = 0;
};

TEST_F(Mask, WhatOlderRowsHaveInAColumnIsHashedLikeAnyOtherValue) {
    ColumnMask mask = Make(rules_);
    sdk::TableSchema added = *People(present_);
    added.columns[1].fill = "a secret default";
    added.columns[2].fill = "a@b";
    added.columns[2].labels = {"a@b"};
    added.columns[3].fill = "18";
    const auto schema = std::make_shared<const sdk::TableSchema>(added);
    const std::vector<Cell> after = {Cell::Value("1"), Cell::Value("s"), Cell::Value("a@b"), Cell::Value("18")};
    sdk::ChangeEvent event;
    event.op = sdk::Op::kInsert;
    event.schema = schema;
    event.after = after;
    const auto masked = mask.Apply(event);
    ASSERT_TRUE(masked.ok()) << masked.status();
    const std::vector<sdk::Column>& columns = (*masked)->schema->columns;
    ASSERT_EQ(columns.size(), 3U);
    EXPECT_EQ(columns[1].fill, (*masked)->after[1].text()) << "the same input, the same hash";
    EXPECT_TRUE(columns[1].labels.empty());
    EXPECT_EQ(columns[2].fill, "18");
}

TEST_F(Mask, LeavesOutAndHashes) {
    ColumnMask mask = Make(rules_);
    const sdk::SchemaPtr schema = People(present_);
    const std::vector<Cell> after = {Cell::Value("1"), Cell::Value("secret"), Cell::Value("a@b"),
                                     Cell::Unchanged()};
    const std::vector<Cell> before = {Cell::Value("2"), Cell::Null(), Cell::Value("a@b"), Cell::Null()};
    sdk::ChangeEvent event;
    event.op = sdk::Op::kUpdate;
    event.schema = schema;
    event.position = {7, 3};
    event.after = after;
    event.before = before;
    const auto masked = mask.Apply(event);
    ASSERT_TRUE(masked.ok()) << masked.status();
    const sdk::ChangeEvent& left = **masked;
    EXPECT_EQ(left.position, event.position);
    ASSERT_EQ(left.schema->columns.size(), 3U);
    EXPECT_EQ(left.schema->columns[0], schema->columns[0]);
    EXPECT_EQ(left.schema->columns[1].name, "email");
    EXPECT_EQ(left.schema->columns[1].source_type, "text");
    EXPECT_EQ(left.schema->columns[1].type, sdk::LogicalType::kText);
    EXPECT_EQ(left.schema->columns[1].source_id, 3);
    EXPECT_EQ(left.schema->id, sdk::ComputeSchemaId(*left.schema));
    ASSERT_EQ(left.after.size(), 3U);
    EXPECT_EQ(left.after[0].text(), "1");
    EXPECT_EQ(left.after[1].size(), 64U);
    EXPECT_EQ(left.after[1].text().find("a@b"), std::string_view::npos);
    EXPECT_TRUE(left.after[2].is_unchanged());
    EXPECT_EQ(left.before[1].text(), left.after[1].text()) << "the same input, the same hash";
    EXPECT_TRUE(left.before[2].is_null());
}

TEST_F(Mask, HashedCellsKeepTheirStates) {
    ColumnMask mask = Make(rules_);
    const sdk::SchemaPtr schema = People(present_);
    sdk::ChangeEvent event;
    event.schema = schema;
    for (const Cell& cell : {Cell::Null(), Cell::Unchanged()}) {
        const std::vector<Cell> after = {Cell::Value("1"), Cell::Null(), cell, Cell::Null()};
        event.after = after;
        EXPECT_EQ((*mask.Apply(event))->after[1].state(), cell.state());
    }
    const std::vector<Cell> empty = {Cell::Value("1"), Cell::Null(), Cell::Value(""), Cell::Null()};
    event.after = empty;
    EXPECT_EQ((*mask.Apply(event))->after[1].size(), 64U) << "an empty text is a value";
    event.op = sdk::Op::kTruncate;
    event.after = {};
    EXPECT_TRUE((*mask.Apply(event))->after.empty());
}

TEST_F(Mask, AKeyStaysAKeyWhenItIsHashed) {
    const ColumnRules rules(Rules{{.table = "public.people", .hash = {"id"}}});
    ColumnMask mask = Make(rules);
    const auto schema = mask.SchemaOf(People(present_));
    ASSERT_TRUE(schema.ok());
    EXPECT_EQ((*schema)->columns[0].key_ordinal, 1);
    EXPECT_EQ((*schema)->columns[0].source_type, "text");
}

TEST_F(Mask, TablesWithoutARulePassAsTheyAre) {
    ColumnMask mask = Make(rules_);
    auto other = std::make_shared<sdk::TableSchema>(*People(present_));
    other->table = "other";
    sdk::ChangeEvent event;
    event.schema = other;
    EXPECT_EQ(*mask.Apply(event), &event);
}

TEST_F(Mask, AKeyThatWouldBeLeftOutIsAnError) {
    const ColumnRules rules(Rules{{.table = "public.*", .exclude = {"id"}}});
    ColumnMask mask = Make(rules);
    EXPECT_EQ(base::ReasonOf(mask.SchemaOf(People(present_)).status()), "COLUMN_KEY_EXCLUDED");
}

TEST_F(Mask, ARenamedColumnDoesNotPassUnderItsNewName) {
    ColumnMask mask = Make(rules_);
    // The stream has the new name, and so has the source.
    present_ = {"id", "tax_id", "email", "age"};
    EXPECT_EQ(base::ReasonOf(mask.SchemaOf(People(present_)).status()), "COLUMN_UNKNOWN");
    // The rule names the new one now; the stream still has changes with the old.
    const ColumnRules corrected(Rules{{.table = "public.people", .exclude = {"tax_id"}, .hash = {"email"}}});
    ColumnMask later = Make(corrected);
    const auto old_shape = later.SchemaOf(People({"id", "ssn", "email", "age"}));
    ASSERT_TRUE(old_shape.ok()) << old_shape.status();
    EXPECT_EQ((*old_shape)->columns.size(), 3U);
    EXPECT_EQ((*old_shape)->columns[1].name, "email");
    EXPECT_EQ(asked_, 2) << "the source is only asked when a named column is missing";
}

TEST_F(Mask, WithoutAKeyNothingIsHashedAndNothingPasses) {
    ColumnMask mask(rules_, nullptr, nullptr);
    EXPECT_EQ(base::ReasonOf(mask.SchemaOf(People(present_)).status()), "NO_HASH_KEY");
}

}  // namespace
}  // namespace millrace::columns
