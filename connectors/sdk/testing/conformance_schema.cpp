#include <gmock/gmock.h>

#include <algorithm>

#include "base/status.h"
#include "base/text.h"
#include "connectors/sdk/testing/destination_conformance.h"

// Names, and tables whose shape changes under way.

namespace millrace::sdk::testing {
namespace {

using Rows = std::vector<TestDatabase::Row>;

TEST_P(DestinationConformance, NamesOfEveryKind) {
    const std::string longest(63, 'x');
    const SchemaPtr schema = MakeSchema(
        "select \"from\" ta'ble",
        {MakeColumn("order", "integer", 2), MakeColumn("Mixed Case", "text"), MakeColumn("quo\"te", "text"),
         MakeColumn(longest, "text", 1), MakeColumn("n", "text"), MakeColumn("gone", "text"),
         MakeColumn("c0", "text"), MakeColumn("u0", "text"), MakeColumn("k0", "text"),
         MakeColumn("\xC3\xA4\xE2\x82\xAC", "text"), MakeColumn("a.b", "text"), MakeColumn("it's", "text")},
        "Odd Schema \"1\"");
    const auto writer = Open(schema);
    Apply(*writer, BatchBuilder(schema)
                       .Full({"1", "a", "b", "k", "c", "d", "e", "f", "g", "h", "i", "j"})
                       .Full({"2", "a", "b", "k", "c", "d", "e", "f", "g", "h", "i", "j"})
                       .Build(0, 2));
    Apply(*writer, BatchBuilder(schema)
                       .Partial({"1", "A", kUnchanged, "k", kUnchanged, kUnchanged, kUnchanged, kUnchanged,
                                 kUnchanged, kUnchanged, "I", kUnchanged})
                       .Gone({"k", "2"})
                       .Build(2, 4));
    EXPECT_EQ(ReadRows(*schema), (Rows{{"1", "A", "b", "k", "c", "d", "e", "f", "g", "h", "I", "j"}}));
}

TEST_P(DestinationConformance, TableNamesOfTheFullLength) {
    const SchemaPtr schema = Orders(std::string(63, 't'));
    Apply(*Open(schema), BatchBuilder(schema).Full({"1", "a", "1.50", "x"}).Build(0, 1));
    EXPECT_EQ(Count(*schema), 1);
}

TEST_P(DestinationConformance, ColumnsThatDifferInCaseAlone) {
    const SchemaPtr schema = MakeSchema(
        "cases", {MakeColumn("id", "bigint", 1), MakeColumn("value", "text"), MakeColumn("VALUE", "text")});
    const auto writer = Open(schema);
    Apply(*writer, BatchBuilder(schema).Full({"1", "a", "b"}).Build(0, 1));
    Apply(*writer, BatchBuilder(schema).Partial({"1", "A", kUnchanged}).Build(1, 2));
    EXPECT_EQ(database_->Query("SELECT * FROM shop.cases"), (Rows{{"1", "A", "b"}}));
}

TEST_P(DestinationConformance, AColumnAddedUnderWay) {
    const SchemaPtr old = Orders();
    std::vector<Column> columns = old->columns;
    columns.insert(columns.begin() + 1, MakeColumn("added", "integer"));
    const SchemaPtr wide = MakeSchema("orders", columns);
    const auto writer = Open(old);
    Apply(*writer, BatchBuilder(old).Full({"1", "a", "1.50", "x"}).Full({"2", "b", "2.00", "y"}).Build(0, 2));
    Apply(*writer, BatchBuilder(wide)
                       .Full({"3", "33", "c", "3.00", "z"})
                       .Partial({"2", "22", "b", "2.00", kUnchanged})
                       .Build(2, 4));
    const Rows expected = {
        {"1", std::nullopt, "a", "1.50", "x"}, {"2", "22", "b", "2.00", "y"}, {"3", "33", "c", "3.00", "z"}};
    EXPECT_EQ(ReadRows(*wide), expected);
    // A writer that starts later meets the table as it stands.
    Apply(*Open(wide), BatchBuilder(wide).Full({"3", "33", "c", "3.00", "z"}).Build(4, 5));
    EXPECT_EQ(ReadRows(*wide), expected);
}

TEST_P(DestinationConformance, AColumnThatVanishedStaysAndGetsNull) {
    const SchemaPtr old = Orders();
    const SchemaPtr narrow = MakeSchema("orders", {old->columns[0], old->columns[2], old->columns[3]});
    const auto writer = Open(old);
    Apply(*writer, BatchBuilder(old).Full({"1", "a", "1.50", "x"}).Full({"2", "b", "2.00", "y"}).Build(0, 2));
    Apply(*writer, BatchBuilder(narrow).Full({"2", "2.50", "z"}).Full({"3", "3.00", "z"}).Build(2, 4));
    EXPECT_EQ(
        ReadRows(*old),
        (Rows{{"1", "a", "1.50", "x"}, {"2", std::nullopt, "2.50", "z"}, {"3", std::nullopt, "3.00", "z"}}));
}

TEST_P(DestinationConformance, AVanishedColumnThatForbidsNullLetsRowsIn) {
    database_->Execute("CREATE SCHEMA shop");
    database_->Execute("CREATE TABLE shop.orders (id bigint, legacy integer NOT NULL, name text NOT NULL)");
    const SchemaPtr schema =
        MakeSchema("orders", {MakeColumn("id", "bigint", 1), MakeColumn("name", "text")});
    const auto writer = Open(schema);
    Apply(*writer, BatchBuilder(schema).Full({"1", "a"}).Full({"2", nullptr}).Build(0, 2));
    EXPECT_EQ(ReadRows(*schema), (Rows{{"1", "a"}, {"2", std::nullopt}}));
}

TEST_P(DestinationConformance, ATypeThatGrew) {
    const SchemaPtr small = MakeSchema("grows", {MakeColumn("id", "integer", 1), MakeColumn("v", "integer")});
    const SchemaPtr large = MakeSchema("grows", {MakeColumn("id", "bigint", 1), MakeColumn("v", "bigint")});
    const auto writer = Open(small);
    Apply(*writer, BatchBuilder(small).Full({"1", "10"}).Full({"2", "20"}).Build(0, 2));
    Apply(*writer,
          BatchBuilder(large).Full({"9000000000", "9000000001"}).Partial({"2", kUnchanged}).Build(2, 4));
    EXPECT_EQ(ReadRows(*large), (Rows{{"1", "10"}, {"2", "20"}, {"9000000000", "9000000001"}}));
    // A batch of the old shape, as a replay brings it, fits the wider column.
    Apply(*writer, BatchBuilder(small).Full({"1", "11"}).Build(4, 5));
    EXPECT_EQ(ReadRows(*large), (Rows{{"1", "11"}, {"2", "20"}, {"9000000000", "9000000001"}}));
}

TEST_P(DestinationConformance, ATypeThatDoesNotFitHoldsTheTable) {
    const SchemaPtr old = MakeSchema("turns", {MakeColumn("id", "bigint", 1), MakeColumn("v", "integer")});
    const SchemaPtr turned = MakeSchema(
        "turns", {MakeColumn("id", "bigint", 1), MakeColumn("new", "text"), MakeColumn("v", "date")});
    const auto writer = Open(old);
    Apply(*writer, BatchBuilder(old).Full({"1", "10"}).Build(0, 1));
    const auto refused = writer->Apply(BatchBuilder(turned).Full({"2", "n", "2026-01-01"}).Build(1, 2));
    ASSERT_TRUE(absl::IsFailedPrecondition(refused.status())) << refused.status();
    EXPECT_EQ(base::ReasonOf(refused.status()), "TYPE_CHANGED");
    EXPECT_NE(base::RemedyOf(refused.status()), "");
    EXPECT_EQ(ReadRows(*old), (Rows{{"1", "10"}}));
    // The remedy: rename it away.
    database_->Execute("ALTER TABLE shop.turns RENAME COLUMN v TO v_old");
    Apply(*writer, BatchBuilder(turned).Full({"2", "n", "2026-01-01"}).Build(1, 2));
    EXPECT_EQ(ReadRows(*turned), (Rows{{"1", std::nullopt, std::nullopt}, {"2", "n", "2026-01-01"}}));
}

TEST_P(DestinationConformance, RowsOlderThanAColumnGetWhatTheyHaveAtTheSource) {
    const SchemaPtr old = MakeSchema("fills", {MakeColumn("id", "bigint", 1), MakeColumn("v", "text")});
    std::vector<Column> columns = {MakeColumn("id", "bigint", 1), MakeColumn("v", "text"),
                                   MakeColumn("n", "integer"),    MakeColumn("t", "text"),
                                   MakeColumn("raw", "bytea"),    MakeColumn("none", "date")};
    columns[2].fill = "7";
    columns[3].fill = "it's \\x";
    columns[4].fill = "\\x00ff27";
    const SchemaPtr wide = MakeSchema("fills", columns);
    const auto writer = Open(old);
    Apply(*writer, BatchBuilder(old).Full({"1", "a"}).Full({"2", "b"}).Build(0, 2));
    Apply(*writer, BatchBuilder(wide)
                       .Full({"3", "c", "8", "u", nullptr, "2026-01-01"})
                       .Partial({"2", "B", kUnchanged, kUnchanged, kUnchanged, nullptr})
                       .Build(2, 4));
    EXPECT_EQ(database_->Query("SELECT t FROM shop.fills WHERE id = 1"), (Rows{{"it's \\x"}}));
    EXPECT_EQ(
        database_->Query("SELECT id, v, n, none FROM shop.fills ORDER BY id"),
        (Rows{{"1", "a", "7", std::nullopt}, {"2", "B", "7", std::nullopt}, {"3", "c", "8", "2026-01-01"}}));
    EXPECT_EQ(database_->Query("SELECT id FROM shop.fills WHERE octet_length(raw) = 3 ORDER BY id"),
              (Rows{{"1"}, {"2"}}));
    // Rows that come without a value get none.
    Apply(*writer, BatchBuilder(old).Full({"4", "d"}).Build(4, 5));
    EXPECT_EQ(database_->Query("SELECT n, t FROM shop.fills WHERE id = 4"),
              (Rows{{std::nullopt, std::nullopt}}));
}

TEST_P(DestinationConformance, AFillThatItsTypeRefusesMakesATextColumn) {
    const SchemaPtr old = MakeSchema("refills", {MakeColumn("id", "bigint", 1)});
    std::vector<Column> columns = {MakeColumn("id", "bigint", 1), MakeColumn("d", "numeric(12,2)")};
    columns[1].fill = "NaN at best";
    const SchemaPtr wide = MakeSchema("refills", columns);
    const auto writer = Open(old);
    Apply(*writer, BatchBuilder(old).Full({"1"}).Build(0, 1));
    Batch batch = BatchBuilder(wide).Full({"2", "1.50"}).Build(1, 2);
    batch.refused = RefusedValues::kDeadLetter;
    const auto applied = writer->Apply(batch);
    ASSERT_TRUE(applied.ok()) << applied.status();
    EXPECT_EQ(database_->Query("SELECT d FROM shop.refills ORDER BY id"), (Rows{{"NaN at best"}, {"1.50"}}));
}

TEST_P(DestinationConformance, ARenamedColumnKeepsItsValues) {
    const auto with = [](const std::string& first, const std::string& second) {
        std::vector<Column> columns = {MakeColumn("id", "bigint", 1), MakeColumn(first, "text"),
                                       MakeColumn(second, "integer")};
        columns[1].source_id = 2;
        columns[2].source_id = 3;
        return MakeSchema("renames", columns);
    };
    const SchemaPtr one = with("a", "b");
    const SchemaPtr two = with("b", "a");
    const SchemaPtr three = with("B", "Ä");
    Apply(*Open(one), BatchBuilder(one).Full({"1", "x", "10"}).Full({"2", "y", "20"}).Build(0, 2));
    // By a writer that never saw the old names.
    Apply(*Open(two), BatchBuilder(two).Partial({"2", kUnchanged, "21"}).Build(2, 3));
    EXPECT_EQ(ReadRows(*two), (Rows{{"1", "x", "10"}, {"2", "y", "21"}}));
    Apply(*Open(three), BatchBuilder(three).Full({"3", "z", "30"}).Build(3, 4));
    EXPECT_EQ(ReadRows(*three), (Rows{{"1", "x", "10"}, {"2", "y", "21"}, {"3", "z", "30"}}));
}

TEST_P(DestinationConformance, ADroppedColumnIsDroppedWhenAsked) {
    const SchemaPtr old = Orders("drops");
    const SchemaPtr narrow = MakeSchema("drops", {old->columns[0], old->columns[3]});
    const auto writer = Open(old);
    Apply(*writer, BatchBuilder(old).Full({"1", "a", "1.50", "x"}).Build(0, 1));
    const ApplyResult applied = Apply(*writer, BatchBuilder(narrow).Full({"2", "y"}).Build(1, 2));
    EXPECT_THAT(applied.dropped_columns, ::testing::UnorderedElementsAre("amount", "name"));
    const auto later = Open(narrow);
    const auto left = later->DropColumns({"name", "note", "no such column"});
    ASSERT_TRUE(left.ok()) << left.status();
    EXPECT_EQ(*left, std::vector<std::string>{"amount"}) << "the source still has note";
    EXPECT_EQ(database_->Query("SELECT * FROM shop.drops ORDER BY id"),
              (Rows{{"1", "1.50", "x"}, {"2", std::nullopt, "y"}}));
    Apply(*later, BatchBuilder(narrow).Full({"3", "z"}).Build(2, 3));
    EXPECT_EQ(base::ReasonOf(writer->DropColumns({"amount"}).status()), "FENCED");
}

TEST_P(DestinationConformance, ATableThatIsEmptiedTakesOtherTypesAndKeys) {
    const SchemaPtr old = MakeSchema(
        "emptied", {MakeColumn("id", "bigint", 1), MakeColumn("v", "integer"), MakeColumn("w", "text")});
    const SchemaPtr turned = MakeSchema(
        "emptied", {MakeColumn("id", "bigint"), MakeColumn("v", "date", 1), MakeColumn("w", "text")});
    const auto writer = Open(old);
    Apply(*writer, BatchBuilder(old).Full({"1", "10", "a"}).Full({"2", "10", "b"}).Build(0, 2));
    Apply(*writer, BatchBuilder(turned).TruncateFirst().Full({"1", "2026-01-01", "c"}).Build(2, 4));
    EXPECT_EQ(ReadRows(*turned), (Rows{{"1", "2026-01-01", "c"}}));
}

TEST_P(DestinationConformance, AnotherKeyUnderWay) {
    const SchemaPtr by_id = MakeSchema("keys", {MakeColumn("id", "bigint", 1), MakeColumn("code", "text")});
    const SchemaPtr by_code = MakeSchema("keys", {MakeColumn("id", "bigint"), MakeColumn("code", "text", 1)});
    const auto writer = Open(by_id);
    Apply(*writer, BatchBuilder(by_id).Full({"1", "a"}).Full({"2", "b"}).Build(0, 2));
    Apply(*writer, BatchBuilder(by_code).Full({"2", "a"}).Full({nullptr, "c"}).Build(2, 4));
    EXPECT_EQ(ReadRows(*by_id), (Rows{{std::nullopt, "c"}, {"2", "a"}, {"2", "b"}}));
}

TEST_P(DestinationConformance, AKeyThatCameAndWent) {
    const SchemaPtr plain = MakeSchema("keyless", {MakeColumn("id", "bigint"), MakeColumn("v", "text")});
    const SchemaPtr keyed = MakeSchema("keyless", {MakeColumn("id", "bigint", 1), MakeColumn("v", "text")});
    const auto writer = Open(plain);
    Apply(*writer, BatchBuilder(plain).Append().Full({"1", "a"}).Build(0, 1));
    Apply(*writer, BatchBuilder(keyed).Full({"1", "b"}).Build(1, 2));
    EXPECT_EQ(ReadRows(*keyed), (Rows{{"1", "b"}}));
    Apply(*writer, BatchBuilder(plain).Append().Full({"1", "c"}).Full({nullptr, "d"}).Build(2, 3));
    EXPECT_EQ(ReadRows(*plain), (Rows{{std::nullopt, "d"}, {"1", "b"}, {"1", "c"}}));
}

TEST_P(DestinationConformance, ATableThatWasDroppedIsNotMadeAnewInSilence) {
    const SchemaPtr schema = Orders();
    const auto writer = Open(schema);
    Apply(*writer, BatchBuilder(schema).Full({"1", "a", "1.50", "x"}).Build(0, 1));
    database_->Execute("DROP TABLE shop.orders");
    const auto refused = writer->Apply(BatchBuilder(schema).Full({"2", "b", "2.00", "y"}).Build(1, 2));
    ASSERT_TRUE(absl::IsFailedPrecondition(refused.status())) << refused.status();
    EXPECT_EQ(base::ReasonOf(refused.status()), "TABLE_MISSING");
    // A copy that starts anew begins with a truncate: nothing is lost then.
    Apply(*writer, BatchBuilder(schema).TruncateFirst().Full({"2", "b", "2.00", "y"}).Build(1, 2));
    EXPECT_EQ(ReadRows(*schema), (Rows{{"2", "b", "2.00", "y"}}));
}

TEST_P(DestinationConformance, AColumnThatWasDroppedIsNotMadeAnewInSilence) {
    std::vector<Column> columns = {MakeColumn("id", "bigint", 1), MakeColumn("v", "text")};
    columns[0].source_id = 1;
    columns[1].source_id = 2;
    const SchemaPtr schema = MakeSchema("narrowed", columns);
    const auto writer = Open(schema);
    Apply(*writer, BatchBuilder(schema).Full({"1", "a"}).Build(0, 1));
    database_->Execute("ALTER TABLE shop.narrowed DROP COLUMN v");
    const auto refused = writer->Apply(BatchBuilder(schema).Full({"2", "b"}).Build(1, 2));
    ASSERT_TRUE(absl::IsFailedPrecondition(refused.status())) << refused.status();
    EXPECT_EQ(base::ReasonOf(refused.status()), "COLUMN_MISSING");
    database_->Execute("ALTER TABLE shop.narrowed ADD COLUMN v TEXT");
    Apply(*writer, BatchBuilder(schema).Full({"2", "b"}).Build(1, 2));
    EXPECT_EQ(ReadRows(*schema), (Rows{{"1", std::nullopt}, {"2", "b"}})) << "what was put back there is the user's";
    database_->Execute("ALTER TABLE shop.narrowed DROP COLUMN v");
    Apply(*writer, BatchBuilder(schema).TruncateFirst().Full({"3", "c"}).Build(2, 3));
    EXPECT_EQ(ReadRows(*schema), (Rows{{"3", "c"}}));
}

}  // namespace
}  // namespace millrace::sdk::testing
