#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "connectors/postgres/copy_row_parser.h"
#include "connectors/postgres/lsn.h"
#include "connectors/postgres/options.h"
#include "connectors/postgres/session.h"
#include "connectors/postgres/table_schema.h"
#include "connectors/postgres/type_map.h"

namespace millrace::postgres {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

TEST(LsnTest, TextAndNumber) {
    EXPECT_EQ(FormatLsn(0x16B374D848), "16/B374D848");
    EXPECT_EQ(FormatLsn(0), "0/0");
    EXPECT_EQ(ParseLsn("16/B374D848"), 0x16B374D848U);
    EXPECT_EQ(ParseLsn("FFFFFFFF/FFFFFFFF"), ~uint64_t{0});
    for (const char* wrong : {"", "16", "/", "1/", "/1", "x/1", "1/1/1", "1FFFFFFFF/0", "1/ 2"}) {
        EXPECT_EQ(ParseLsn(wrong), std::nullopt) << wrong;
    }
}

TEST(CopyRowParserTest, FieldsNullsAndEscapes) {
    CopyRowParser parser;
    std::vector<sdk::Cell> cells;
    ASSERT_TRUE(parser.Parse("1\t\\N\t\ta\\tb\\\\N\\n\t\\\\N\n", 5, cells).ok());
    EXPECT_EQ(cells[0].text(), "1");
    EXPECT_TRUE(cells[1].is_null());
    EXPECT_TRUE(cells[2].is_value());
    EXPECT_EQ(cells[2].text(), "");
    EXPECT_EQ(cells[3].text(), "a\tb\\N\n");
    EXPECT_EQ(cells[4].text(), "\\N") << "the text \\N is not NULL";
    ASSERT_TRUE(parser.Parse("\\b\\f\\r\\v", 1, cells).ok());
    EXPECT_EQ(cells[0].text(), "\b\f\r\v");
    ASSERT_TRUE(parser.Parse("\n", 0, cells).ok());
    EXPECT_TRUE(cells.empty());
}

TEST(CopyRowParserTest, AnotherNumberOfFieldsIsDataLoss) {
    CopyRowParser parser;
    std::vector<sdk::Cell> cells;
    EXPECT_EQ(parser.Parse("1\t2\n", 3, cells).code(), absl::StatusCode::kDataLoss);
    EXPECT_EQ(parser.Parse("1\t2\n", 1, cells).code(), absl::StatusCode::kDataLoss);
}

TEST(NamesTest, FollowTheStreamAndStayShort) {
    EXPECT_EQ(NamesFor("shop-1").slot, "millrace_shop_1");
    EXPECT_EQ(NamesFor("shop-1").publication, "millrace_shop_1");
    EXPECT_EQ(NamesFor("shop-1").append_publication, "millrace_shop_1_append");
    std::set<std::string> distinct;
    for (const char last : {'a', 'b', 'c'}) {
        const ObjectNames names = NamesFor(std::string(62, 'x') + last);
        EXPECT_LE(names.append_publication.size(), 63U);
        EXPECT_LE(names.copy_slot.size(), 63U);
        distinct.insert(names.slot);
    }
    EXPECT_EQ(distinct.size(), 3U) << "long ids that differ at their end stay apart";
}

TEST(ArrayLiteralTest, QuotesEveryElement) {
    EXPECT_EQ(ArrayLiteral({}), "{}");
    EXPECT_EQ(ArrayLiteral({"a", "b\"c\\d,e}", ""}), "{\"a\",\"b\\\"c\\\\d,e}\",\"\"}");
}

TEST(TypeMapTest, NumericBoundsComeFromTypmod) {
    ColumnType column;
    SetNumericBounds({.oid = 1700, .typmod = ((10 << 16) | 2) + 4}, column);
    EXPECT_EQ(column.precision, 10);
    EXPECT_EQ(column.scale, 2);
    SetNumericBounds({.oid = 1700, .typmod = ((5 << 16) | (-2 & 0x7ff)) + 4}, column);
    EXPECT_EQ(column.scale, -2);
    ColumnType unbounded;
    SetNumericBounds({.oid = 1700, .typmod = -1}, unbounded);
    SetNumericBounds({.oid = 1043, .typmod = 24}, unbounded);
    EXPECT_EQ(unbounded.precision, -1);
    EXPECT_EQ(unbounded.scale, -1);
}

Relation TwoColumns(char identity, bool first_key, bool second_key) {
    return {.oid = 9,
            .schema = "s",
            .table = "t",
            .identity = identity,
            .columns = {{.name = "a", .type_oid = 23, .typmod = -1, .key = first_key},
                        {.name = "b", .type_oid = 25, .typmod = -1, .key = second_key}}};
}

CatalogTable Known(bool primary_key) {
    CatalogTable table;
    table.columns = {{.name = "a", .type_oid = 23, .attnum = 1, .not_null = true, .primary_key = primary_key},
                     {.name = "b", .type_oid = 25, .attnum = 3}};
    return table;
}

const std::vector<ColumnType> kTypes(2);

TEST(TableSchemaTest, KeyIsWhatTheIdentityFlags) {
    EXPECT_THAT(BuildSchema(TwoColumns('i', false, true), Known(true), kTypes)->KeyColumns(), ElementsAre(1));
    EXPECT_TRUE(BuildSchema(TwoColumns('d', false, false), Known(false), kTypes)->append_only);
    EXPECT_TRUE(BuildSchema(TwoColumns('n', false, false), Known(true), kTypes)->append_only);
}

TEST(TableSchemaTest, UnderFullTheKeyIsThePrimaryKeyOfTheCatalogue) {
    EXPECT_THAT(BuildSchema(TwoColumns('f', true, true), Known(true), kTypes)->KeyColumns(), ElementsAre(0));
    EXPECT_TRUE(BuildSchema(TwoColumns('f', true, true), Known(false), kTypes)->append_only);
    EXPECT_THAT(BuildSchema(TwoColumns('f', true, true), std::nullopt, kTypes)->KeyColumns(),
                ElementsAre(0, 1))
        << "a table that is gone has only what the stream says";
    CatalogTable renamed = Known(true);
    renamed.columns[0].name = "z";
    EXPECT_THAT(BuildSchema(TwoColumns('f', true, true), renamed, kTypes)->KeyColumns(), ElementsAre(0))
        << "where nothing was ever dropped a column is known by its place";
    renamed.dropped = {2};
    EXPECT_TRUE(BuildSchema(TwoColumns('f', true, true), renamed, kTypes)->append_only)
        << "half a key identifies nothing";
}

TEST(TableSchemaTest, ColumnsAreKnownAgainBehindTheCatalogue) {
    CatalogTable later = Known(true);
    later.files = "f";
    later.columns_ever = 4;
    later.columns.push_back({.name = "added", .type_oid = 23, .attnum = 4, .missing = "7", .version = 5});
    later.columns[1].name = "b2";
    const sdk::SchemaPtr schema = BuildSchema(TwoColumns('d', true, false), later, kTypes);
    EXPECT_TRUE(schema->behind);
    EXPECT_EQ(schema->storage, "f/4");
    EXPECT_EQ(schema->columns[0].source_id, 1);
    EXPECT_EQ(schema->columns[1].source_id, 3) << "renamed since: by its place";
    later.dropped = {2};
    EXPECT_EQ(BuildSchema(TwoColumns('d', true, false), later, kTypes)->columns[1].source_id, 0)
        << "whether it is b2, or b was dropped, nobody can tell";
    later.columns[1].name = "b";
    EXPECT_EQ(BuildSchema(TwoColumns('d', true, false), later, kTypes)->columns[1].source_id, 3);
}

TEST(TableSchemaTest, ADroppedColumnIsKnownByItsNumberWhereAsManyWereDroppedAsAreUnknown) {
    const auto ids = [](const CatalogTable& table, const std::vector<std::string>& names) {
        Relation relation{.oid = 9, .schema = "s", .table = "t", .identity = 'd', .columns = {}};
        for (const std::string& name : names) {
            relation.columns.push_back({.name = name, .type_oid = 23, .typmod = -1, .key = name == "a"});
        }
        std::vector<int> found;
        const sdk::SchemaPtr schema = BuildSchema(relation, table, std::vector<ColumnType>(names.size()));
        for (const sdk::Column& column : schema->columns) {
            found.push_back(column.source_id);
        }
        return found;
    };
    CatalogTable table = Known(true);  // a (1), b (3)
    table.dropped = {2, 4, 5};
    EXPECT_THAT(ids(table, {"a", "x", "b", "y", "z"}), ElementsAre(1, 2, 3, 4, 5));
    EXPECT_THAT(ids(table, {"a", "b", "y", "z"}), ElementsAre(1, 3, 4, 5)) << "2 was dropped before";
    EXPECT_THAT(ids(table, {"a", "x", "b", "y"}), ElementsAre(1, 2, 3, 0)) << "y is 4 or 5";
    EXPECT_THAT(ids(table, {"a", "x", "c", "y", "z"}), Each(0)) << "b may be c renamed";
    table.dropped = {2};
    EXPECT_THAT(ids(table, {"a", "b", "x"}), ElementsAre(1, 3, 0)) << "this b was dropped, and another one made";
}

TEST(TableSchemaTest, WhatOlderRowsHaveInAColumnStandsInTheSchema) {
    CatalogTable table = Known(true);
    table.columns[1].missing = "7";
    table.columns[1].version = 41;
    const sdk::SchemaPtr schema = BuildSchema(TwoColumns('d', true, false), table, kTypes);
    EXPECT_EQ(schema->columns[0].fill, std::nullopt);
    EXPECT_EQ(schema->columns[1].fill, "7");
    EXPECT_EQ(schema->columns[1].source_version, 41U);
    EXPECT_FALSE(schema->behind);
}

TEST(TableSchemaTest, ACatalogueThatMovedOnTellsNothingAboutNullability) {
    const sdk::SchemaPtr same = BuildSchema(TwoColumns('d', true, false), Known(true), kTypes);
    EXPECT_FALSE(same->columns[0].nullable);
    EXPECT_EQ(same->columns[1].source_id, 3);
    CatalogTable moved = Known(true);
    moved.columns[1].type_oid = 20;
    const sdk::SchemaPtr other = BuildSchema(TwoColumns('d', true, false), moved, kTypes);
    EXPECT_TRUE(other->columns[0].nullable);
    EXPECT_EQ(other->columns[1].source_id, 3) << "by its name";
    EXPECT_NE(same->id, other->id);
}

TEST(OptionsTest, BecomeConnectionParameters) {
    sdk::Options options;
    options.values = {{"host", "db"}, {"database", "shop"}, {"user", "u"}};
    options.secrets["password"] = base::Secret("p");
    ASSERT_TRUE(sdk::CheckOptions("postgres", ConnectionOptions(), options).ok());
    const base::PqParameters parameters = ConnectionParameters(options);
    EXPECT_EQ(parameters.keywords.at("dbname"), "shop");
    EXPECT_EQ(parameters.keywords.at("port"), "5432");
    EXPECT_EQ(parameters.keywords.at("sslmode"), "prefer");
    EXPECT_FALSE(parameters.keywords.contains("sslrootcert"));
    EXPECT_FALSE(parameters.keywords.contains("password"));
    EXPECT_EQ(parameters.password.Reveal(), "p");
}

}  // namespace
}  // namespace millrace::postgres
