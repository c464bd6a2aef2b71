#include <algorithm>

#include "connectors/sdk/testing/destination_conformance.h"

// What becomes of the rows of a batch.

namespace millrace::sdk::testing {
namespace {

using Rows = std::vector<TestDatabase::Row>;

// Text that means something to a parser, a loader or a terminal somewhere.
const std::vector<std::string>& Awkward() {
    static const std::vector<std::string> kTexts = {"",
                                                    "NULL",
                                                    "null",
                                                    "\\N",
                                                    "\\.",
                                                    "a\tb",
                                                    "a\nb",
                                                    "a\rb",
                                                    "a\r\nb",
                                                    "\\",
                                                    "\\\\n",
                                                    "it's",
                                                    "''",
                                                    "\"quoted\"",
                                                    "a,b;c",
                                                    "$1 $$x$$",
                                                    "--x",
                                                    "/* x */",
                                                    "\xC3\xA4\xE2\x82\xAC",
                                                    "\xF0\x9F\xA6\x86",
                                                    "\x01\x1F\x7F",
                                                    "{a,b}",
                                                    "(1,2)",
                                                    " lead",
                                                    "trail ",
                                                    "%s%n",
                                                    "\b\f\v",
                                                    "E'\\n'",
                                                    "?",
                                                    ":name",
                                                    "\xEF\xBB\xBF"
                                                    "bom",
                                                    "e\xCC\x81"};
    return kTexts;
}

TEST_P(DestinationConformance, InsertsMakeSchemaTableAndRows) {
    const SchemaPtr schema = Orders();
    const auto writer = Open(schema);
    const ApplyResult result =
        Apply(*writer,
              BatchBuilder(schema).Full({"1", "a", "1.50", "x"}).Full({"2", "b", "-7.00", "y"}).Build(0, 2));
    EXPECT_EQ(result.rows_written, 2);
    EXPECT_EQ(result.rows_deleted, 0);
    EXPECT_FALSE(result.already_applied);
    EXPECT_EQ(ReadRows(*schema), (Rows{{"1", "a", "1.50", "x"}, {"2", "b", "-7.00", "y"}}));
}

TEST_P(DestinationConformance, UpdatesReplaceTheWholeRow) {
    const SchemaPtr schema = Orders();
    const auto writer = Open(schema);
    Apply(*writer,
          BatchBuilder(schema).Full({"1", "a", "1.50", "x"}).Full({"2", "b", "2.00", "y"}).Build(0, 2));
    Apply(*writer, BatchBuilder(schema).Full({"1", "A", nullptr, "x2"}).Build(2, 3));
    EXPECT_EQ(ReadRows(*schema), (Rows{{"1", "A", std::nullopt, "x2"}, {"2", "b", "2.00", "y"}}));
}

// As a copy beside which its table changes: most rows cannot stand there, some do.
TEST_P(DestinationConformance, RowsThatCannotStandThereAreAppendedBesideOthersThatAreMerged) {
    const SchemaPtr schema = Orders();
    const auto writer = Open(schema);
    Apply(*writer, BatchBuilder(schema).Full({"1", "a", "1.50", "x"}).Full({"2", "b", "2.00", "y"}).Full({"3", "c", "3.00", "z"}).Build(0, 3));
    BatchBuilder builder(schema);
    builder.Full({"1", "A", nullptr, "x2"}).Partial({"2", "B", "2.50", kUnchanged}).Gone({"3"});
    for (int i = 0; i < 1000; ++i) {
        builder.Full({std::to_string(5000 + i), "fresh", "7.00", nullptr});
    }
    Batch batch = builder.Build(3, 1006);
    for (size_t i = 3; i < batch.rows.size(); ++i) {
        batch.rows[i].fresh = true;
    }
    const ApplyResult result = Apply(*writer, batch);
    EXPECT_FALSE(result.merged_instead);
    EXPECT_EQ(result.rows_written, 1002);
    EXPECT_EQ(result.rows_deleted, 1);
    EXPECT_EQ(result.holes, 0);
    const Rows rows = ReadRows(*schema);
    ASSERT_EQ(rows.size(), 1002U);
    EXPECT_EQ(rows[0], (Rows::value_type{"1", "A", std::nullopt, "x2"}));
    EXPECT_EQ(rows[1], (Rows::value_type{"2", "B", "2.50", "y"}));
    EXPECT_EQ(rows[2], (Rows::value_type{"5000", "fresh", "7.00", std::nullopt}));
    EXPECT_TRUE(Apply(*writer, batch).already_applied);
    EXPECT_EQ(ReadRows(*schema).size(), 1002U);
}

TEST_P(DestinationConformance, DeletesRemoveRowsAndMayMeetNone) {
    const SchemaPtr schema = Orders();
    const auto writer = Open(schema);
    Apply(*writer,
          BatchBuilder(schema).Full({"1", "a", "1.50", "x"}).Full({"2", "b", "2.00", "y"}).Build(0, 2));
    const ApplyResult result = Apply(*writer, BatchBuilder(schema).Gone({"1"}).Gone({"77"}).Build(2, 4));
    EXPECT_EQ(result.rows_written, 0);
    EXPECT_EQ(result.rows_deleted, 2);
    EXPECT_EQ(ReadRows(*schema), (Rows{{"2", "b", "2.00", "y"}}));
}

TEST_P(DestinationConformance, UnchangedCellsKeepWhatStandsThere) {
    const SchemaPtr schema = Orders();
    const auto writer = Open(schema);
    Apply(*writer, BatchBuilder(schema)
                       .Full({"1", "a", "1.50", "x"})
                       .Full({"2", "b", "2.00", "y"})
                       .Full({"3", nullptr, "3.00", nullptr})
                       .Build(0, 3));
    const ApplyResult result = Apply(*writer, BatchBuilder(schema)
                                                  .Partial({"1", "A", "9.00", kUnchanged})
                                                  .Partial({"2", kUnchanged, nullptr, "Y"})
                                                  .Partial({"3", kUnchanged, kUnchanged, kUnchanged})
                                                  .Full({"4", "d", "4.00", "z"})
                                                  .Build(3, 7));
    EXPECT_EQ(result.holes, 0);
    EXPECT_EQ(result.rows_written, 4);
    EXPECT_EQ(ReadRows(*schema), (Rows{{"1", "A", "9.00", "x"},
                                         {"2", "b", std::nullopt, "Y"},
                                         {"3", std::nullopt, "3.00", std::nullopt},
                                         {"4", "d", "4.00", "z"}}));
}

TEST_P(DestinationConformance, UnchangedCellsWithoutARowAreCountedAndNull) {
    const SchemaPtr schema = Orders();
    const auto writer = Open(schema);
    Apply(*writer, BatchBuilder(schema).Full({"1", "a", "1.50", "x"}).Build(0, 1));
    const ApplyResult result = Apply(*writer, BatchBuilder(schema)
                                                  .Partial({"1", "A", "1.50", kUnchanged})
                                                  .Partial({"8", kUnchanged, "8.00", kUnchanged})
                                                  .Build(1, 3));
    EXPECT_EQ(result.holes, 2);
    EXPECT_EQ(ReadRows(*schema),
              (Rows{{"1", "A", "1.50", "x"}, {"8", std::nullopt, "8.00", std::nullopt}}));
}

TEST_P(DestinationConformance, KeyMoveTakesUnchangedCellsAlong) {
    const SchemaPtr schema = Orders();
    const auto writer = Open(schema);
    Apply(*writer, BatchBuilder(schema).Full({"1", "a", "1.50", "x"}).Build(0, 1));
    const ApplyResult result = Apply(
        *writer, BatchBuilder(schema).Gone({"1"}).Moved({"1"}, {"5", "a", "2.50", kUnchanged}).Build(1, 2));
    EXPECT_EQ(result.holes, 0);
    EXPECT_EQ(ReadRows(*schema), (Rows{{"5", "a", "2.50", "x"}}));
}

TEST_P(DestinationConformance, KeyMoveWithoutUnchangedCells) {
    const SchemaPtr schema = Orders();
    const auto writer = Open(schema);
    Apply(*writer, BatchBuilder(schema).Full({"1", "a", "1.50", "x"}).Build(0, 1));
    Apply(*writer, BatchBuilder(schema).Gone({"1"}).Moved({"1"}, {"5", "a", "2.50", "y"}).Build(1, 2));
    EXPECT_EQ(ReadRows(*schema), (Rows{{"5", "a", "2.50", "y"}}));
}

TEST_P(DestinationConformance, TwoRowsSwapTheirKeysInOneBatch) {
    const SchemaPtr schema = Orders();
    const auto writer = Open(schema);
    Apply(*writer,
          BatchBuilder(schema).Full({"1", "a", "1.50", "x"}).Full({"2", "b", "2.00", "y"}).Build(0, 2));
    Apply(*writer, BatchBuilder(schema)
                       .Moved({"1"}, {"2", "a", "1.50", kUnchanged})
                       .Moved({"2"}, {"1", "b", "2.00", kUnchanged})
                       .Build(2, 5));
    EXPECT_EQ(ReadRows(*schema), (Rows{{"1", "b", "2.00", "y"}, {"2", "a", "1.50", "x"}}));
}

TEST_P(DestinationConformance, ARowMovesAwayAndAnotherTakesItsPlace) {
    const SchemaPtr schema = Orders();
    const auto writer = Open(schema);
    Apply(*writer, BatchBuilder(schema).Full({"1", "a", "1.50", "x"}).Build(0, 1));
    Apply(*writer, BatchBuilder(schema)
                       .Full({"1", "new", "0.00", "n"})
                       .Moved({"1"}, {"2", kUnchanged, "1.50", kUnchanged})
                       .Build(1, 3));
    EXPECT_EQ(ReadRows(*schema), (Rows{{"1", "new", "0.00", "n"}, {"2", "a", "1.50", "x"}}));
}

TEST_P(DestinationConformance, TruncateComesBeforeTheRows) {
    const SchemaPtr schema = Orders();
    const auto writer = Open(schema);
    Apply(*writer,
          BatchBuilder(schema).Full({"1", "a", "1.50", "x"}).Full({"2", "b", "2.00", "y"}).Build(0, 2));
    Apply(*writer, BatchBuilder(schema).TruncateFirst().Full({"2", "c", "3.00", "z"}).Build(2, 4));
    EXPECT_EQ(ReadRows(*schema), (Rows{{"2", "c", "3.00", "z"}}));
    Apply(*writer, BatchBuilder(schema).TruncateFirst().Build(4, 5));
    EXPECT_EQ(ReadRows(*schema), Rows{});
}

TEST_P(DestinationConformance, TruncateLeavesNothingToResolveFrom) {
    const SchemaPtr schema = Orders();
    const auto writer = Open(schema);
    Apply(*writer, BatchBuilder(schema).Full({"1", "a", "1.50", "x"}).Build(0, 1));
    const ApplyResult result = Apply(
        *writer, BatchBuilder(schema).TruncateFirst().Partial({"1", "b", "2.00", kUnchanged}).Build(1, 3));
    EXPECT_EQ(result.holes, 1);
    EXPECT_EQ(ReadRows(*schema), (Rows{{"1", "b", "2.00", std::nullopt}}));
}

TEST_P(DestinationConformance, AppendOnlyTableKeepsEqualRows) {
    const SchemaPtr schema = MakeSchema("history", {MakeColumn("what", "text"), MakeColumn("n", "integer")});
    const auto writer = Open(schema);
    Apply(*writer, BatchBuilder(schema).Append().Full({"a", "1"}).Full({"a", "1"}).Build(0, 2));
    Apply(*writer, BatchBuilder(schema).Append().Full({"a", "1"}).Full({nullptr, nullptr}).Build(2, 4));
    EXPECT_EQ(ReadRows(*schema), (Rows{{std::nullopt, std::nullopt}, {"a", "1"}, {"a", "1"}, {"a", "1"}}));
}

TEST_P(DestinationConformance, AppendBatchIntoAKeyedTable) {
    const SchemaPtr schema = Orders();
    const auto writer = Open(schema);
    Apply(*writer, BatchBuilder(schema).Append().Full({"1", "a", "1.50", "x"}).Build(0, 1));
    Apply(*writer, BatchBuilder(schema).Append().Full({"2", "b", "2.00", "y"}).Build(1, 2));
    Apply(*writer, BatchBuilder(schema).Full({"1", "c", "3.00", "z"}).Build(2, 3));
    EXPECT_EQ(ReadRows(*schema), (Rows{{"1", "c", "3.00", "z"}, {"2", "b", "2.00", "y"}}));
}

TEST_P(DestinationConformance, ARowToMergeInAnAppendBatchIsRefused) {
    const SchemaPtr schema = Orders();
    const auto writer = Open(schema);
    const auto result = writer->Apply(BatchBuilder(schema).Append().Gone({"1"}).Build(0, 1));
    EXPECT_TRUE(absl::IsInternal(result.status())) << result.status();
}

TEST_P(DestinationConformance, AnUnchangedCellInAFullRowIsRefused) {
    const SchemaPtr schema = Orders();
    const auto writer = Open(schema);
    const auto result = writer->Apply(BatchBuilder(schema).Full({"1", kUnchanged, "1.00", "x"}).Build(0, 1));
    EXPECT_TRUE(absl::IsInternal(result.status())) << result.status();
}

TEST_P(DestinationConformance, AwkwardTextsInSmallAndLargeBatches) {
    const SchemaPtr schema =
        MakeSchema("texts", {MakeColumn("id", "bigint", 1), MakeColumn("value", "text")});
    const auto writer = Open(schema);
    Rows expected;
    int64_t offset = 0;
    for (const int copies : {1, 20}) {
        BatchBuilder batch(schema);
        int64_t id = 1000 * copies;
        for (int copy = 0; copy < copies; ++copy) {
            for (const std::string& text : Awkward()) {
                batch.Full({std::to_string(++id), text});
                expected.push_back({std::to_string(id), text});
            }
        }
        Apply(*writer, batch.Build(offset, offset + id));
        offset += id;
    }
    std::sort(expected.begin(), expected.end());
    EXPECT_EQ(ReadRows(*schema), expected);
}

TEST_P(DestinationConformance, AwkwardTextsAsKeys) {
    const SchemaPtr schema =
        MakeSchema("by_text", {MakeColumn("key", "text", 1), MakeColumn("value", "text")});
    const auto writer = Open(schema);
    for (const char* generation : {"one", "two"}) {
        BatchBuilder batch(schema);
        for (const std::string& text : Awkward()) {
            batch.Full({text, generation});
        }
        const bool first = std::string(generation) == "one";
        Apply(*writer, batch.Build(first ? 0 : 100, first ? 100 : 200));
    }
    Rows expected;
    for (const std::string& text : Awkward()) {
        expected.push_back({text, "two"});
    }
    std::sort(expected.begin(), expected.end());
    EXPECT_EQ(ReadRows(*schema), expected);
    BatchBuilder gone(schema);
    for (const std::string& text : Awkward()) {
        gone.Gone({text});
    }
    Apply(*writer, gone.Build(200, 300));
    EXPECT_EQ(Count(*schema), 0);
}

TEST_P(DestinationConformance, CompositeKeyInAnotherOrderThanTheColumns) {
    const SchemaPtr schema =
        MakeSchema("lines", {MakeColumn("note", "text"), MakeColumn("line", "integer", 2),
                             MakeColumn("value", "text"), MakeColumn("order_id", "text", 1)});
    const auto writer = Open(schema);
    Apply(*writer, BatchBuilder(schema)
                       .Full({"n1", "1", "a", "A"})
                       .Full({"n2", "2", "b", "A"})
                       .Full({"n3", "1", "c", "B"})
                       .Build(0, 3));
    Apply(*writer, BatchBuilder(schema)
                       .Partial({kUnchanged, "1", "a2", "A"})
                       .Gone({"A", "2"})
                       .Gone({"B", "1"})
                       .Moved({"B", "1"}, {kUnchanged, "9", "c2", "C"})
                       .Build(3, 6));
    EXPECT_EQ(ReadRows(*schema), (Rows{{"n1", "1", "a2", "A"}, {"n3", "9", "c2", "C"}}));
    Apply(*writer, BatchBuilder(schema).Full({"n4", "1", "a3", "A"}).Gone({"C", "9"}).Build(6, 8));
    EXPECT_EQ(ReadRows(*schema), (Rows{{"n4", "1", "a3", "A"}}));
}

}  // namespace
}  // namespace millrace::sdk::testing
