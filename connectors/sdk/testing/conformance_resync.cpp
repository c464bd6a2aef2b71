#include "connectors/sdk/testing/destination_conformance.h"

// A resync: rows come again while those that stand there stay, until its end.

namespace millrace::sdk::testing {
namespace {

using Rows = std::vector<TestDatabase::Row>;

Batch Begins(Batch batch) {
    batch.resync_begins = true;
    return batch;
}

Batch Ends(Batch batch) {
    batch.resync_ends = true;
    return batch;
}

TEST_P(DestinationConformance, RowsThatDoNotComeAgainGoWhenTheResyncEnds) {
    const SchemaPtr schema = Orders();
    const auto writer = Open(schema);
    Apply(*writer, BatchBuilder(schema)
                       .Full({"1", "a", "1.00", "x"})
                       .Full({"2", "b", "2.00", "y"})
                       .Full({"3", "c", "3.00", "z"})
                       .Full({"4", "d", "4.00", "w"})
                       .Full({"5", "e", "5.00", "v"})
                       .Build(0, 5));
    Apply(*writer, Begins(BatchBuilder(schema).Build(5, 6)));
    Apply(*writer, BatchBuilder(schema).Full({"1", "a2", "1.50", "x"}).Build(6, 7));
    EXPECT_EQ(ReadRows(*schema).size(), 5U) << "nobody sees the table empty";
    Apply(*writer, BatchBuilder(schema)
                       .Partial({"2", "b2", "2.00", kUnchanged})
                       .Gone({"3"})
                       .Moved({"4"}, {"44", "d", "4.00", kUnchanged})
                       .Gone({"4"})
                       .Build(7, 11));
    const ApplyResult last = Apply(*writer, Ends(BatchBuilder(schema).Full({"6", "f", "6.00", "u"}).Build(11, 13)));
    EXPECT_EQ(last.rows_deleted, 1) << "5 did not come";
    EXPECT_EQ(ReadRows(*schema), (Rows{{"1", "a2", "1.50", "x"}, {"2", "b2", "2.00", "y"}, {"44", "d", "4.00", "w"}, {"6", "f", "6.00", "u"}}));
    Apply(*writer, Ends(BatchBuilder(schema).Full({"7", "g", "7.00", "t"}).Build(13, 15)));
    EXPECT_EQ(ReadRows(*schema).size(), 5U) << "an end without a beginning says nothing";
}

TEST_P(DestinationConformance, AResyncGoesOnUnderAnotherWriter) {
    const SchemaPtr schema = Orders();
    const auto first = Open(schema);
    Apply(*first, BatchBuilder(schema).Full({"1", "a", "1.00", "x"}).Full({"2", "b", "2.00", "y"}).Full({"3", "c", "3.00", "z"}).Build(0, 3));
    Apply(*first, Begins(BatchBuilder(schema).Full({"1", "a", "1.00", "x"}).Build(3, 5)));
    const auto second = Open(schema);
    Apply(*second, BatchBuilder(schema).Full({"2", "b", "2.00", "y"}).Build(5, 6));
    const auto third = Open(schema);
    const Batch end = Ends(BatchBuilder(schema).Build(6, 7));
    EXPECT_EQ(Apply(*third, end).rows_deleted, 1);
    EXPECT_TRUE(Apply(*third, end).already_applied);
    EXPECT_EQ(ReadRows(*schema), (Rows{{"1", "a", "1.00", "x"}, {"2", "b", "2.00", "y"}}));
}

TEST_P(DestinationConformance, AResyncThatBeginsAgainForgetsWhatCameBefore) {
    const SchemaPtr schema = Orders();
    const auto writer = Open(schema);
    Apply(*writer, BatchBuilder(schema).Full({"1", "a", "1.00", "x"}).Full({"2", "b", "2.00", "y"}).Build(0, 2));
    Apply(*writer, Begins(BatchBuilder(schema).Full({"1", "a", "1.00", "x"}).Build(2, 4)));
    Apply(*writer, Begins(BatchBuilder(schema).Full({"2", "b", "2.00", "y"}).Build(4, 6)));
    Apply(*writer, Ends(BatchBuilder(schema).Build(6, 7)));
    EXPECT_EQ(ReadRows(*schema), (Rows{{"2", "b", "2.00", "y"}}));
}

TEST_P(DestinationConformance, ATruncateEndsTheResync) {
    const SchemaPtr schema = Orders();
    const auto writer = Open(schema);
    Apply(*writer, BatchBuilder(schema).Full({"1", "a", "1.00", "x"}).Build(0, 1));
    Apply(*writer, Begins(BatchBuilder(schema).Full({"2", "b", "2.00", "y"}).Build(1, 3)));
    Apply(*writer, BatchBuilder(schema).TruncateFirst().Full({"3", "c", "3.00", "z"}).Build(3, 5));
    Apply(*writer, Ends(BatchBuilder(schema).Build(5, 6)));
    EXPECT_EQ(ReadRows(*schema), (Rows{{"3", "c", "3.00", "z"}}));
}

TEST_P(DestinationConformance, AResyncThatIsCancelledRemovesNothing) {
    const SchemaPtr schema = Orders();
    const auto writer = Open(schema);
    Apply(*writer, BatchBuilder(schema).Full({"1", "a", "1.00", "x"}).Build(0, 1));
    Apply(*writer, Begins(BatchBuilder(schema).Full({"2", "b", "2.00", "y"}).Build(1, 3)));
    Batch cancel = BatchBuilder(schema).Full({"3", "c", "3.00", "z"}).Build(3, 5);
    cancel.resync_cancelled = true;
    Apply(*writer, cancel);
    Apply(*writer, Ends(BatchBuilder(schema).Build(5, 6)));
    EXPECT_EQ(ReadRows(*schema).size(), 3U);
}

TEST_P(DestinationConformance, AResyncMakesATableThatIsMissing) {
    const SchemaPtr schema = Orders();
    const auto writer = Open(schema);
    Apply(*writer, Begins(BatchBuilder(schema).Full({"1", "a", "1.00", "x"}).Build(0, 2)));
    Apply(*writer, Ends(BatchBuilder(schema).Full({"2", "b", "2.00", "y"}).Build(2, 4)));
    EXPECT_EQ(ReadRows(*schema), (Rows{{"1", "a", "1.00", "x"}, {"2", "b", "2.00", "y"}}));
}

TEST_P(DestinationConformance, AResyncWhoseKeyBecomesText) {
    const SchemaPtr schema = MakeSchema("texts", {MakeColumn("id", "integer", 1), MakeColumn("v", "text")});
    const auto writer = Open(schema);
    Apply(*writer, BatchBuilder(schema).Full({"1", "old"}).Full({"2", "old"}).Full({"3", "old"}).Build(0, 3));
    Batch begin = Begins(BatchBuilder(schema).Full({"1", "new"}).Full({"not a number", "new"}).Build(3, 6));
    begin.refused = RefusedValues::kText;
    Apply(*writer, begin);
    const auto second = Open(schema);
    Apply(*second, Ends(BatchBuilder(schema).Full({"2", "new"}).Build(6, 8)));
    EXPECT_EQ(ReadRows(*schema), (Rows{{"1", "new"}, {"2", "new"}, {"not a number", "new"}}));
}

TEST_P(DestinationConformance, ADeadLetterThatIsReplayedDuringAResyncStays) {
    const SchemaPtr schema = MakeSchema("texts", {MakeColumn("id", "integer", 1), MakeColumn("v", "text")});
    const auto writer = Open(schema);
    Apply(*writer, BatchBuilder(schema).Full({"1", "old"}).Full({"2", "old"}).Build(0, 2));
    Batch begin = Begins(BatchBuilder(schema).Full({"1", "new"}).Full({"not a number", "new"}).Build(2, 5));
    begin.refused = RefusedValues::kDeadLetter;
    EXPECT_EQ(Apply(*writer, begin).dead_letters_standing, 1);
    database_->Execute("ALTER TABLE " + Quoted("shop") + "." + Quoted("texts") + " ALTER COLUMN " + Quoted("id") + " TYPE TEXT");
    const auto replayed = writer->ReplayDeadLetters(schema);
    ASSERT_TRUE(replayed.ok()) << replayed.status();
    EXPECT_EQ(replayed->applied, 1);
    Apply(*writer, Ends(BatchBuilder(schema).Build(5, 6)));
    EXPECT_EQ(ReadRows(*schema), (Rows{{"1", "new"}, {"not a number", "new"}}));
}

TEST_P(DestinationConformance, AResyncOfManyRowsWhoseKeyGrowsMeanwhile) {
    constexpr int kRows = 3'000;
    const SchemaPtr before = MakeSchema("grown", {MakeColumn("a", "character varying(6)", 1), MakeColumn("b", "integer", 2), MakeColumn("v", "text")});
    const SchemaPtr after = MakeSchema("grown", {MakeColumn("a", "character varying(20)", 1), MakeColumn("b", "integer", 2), MakeColumn("v", "text")});
    const auto rows = [&](const SchemaPtr& schema, int from, int to, const std::string& value) {
        BatchBuilder batch(schema);
        for (int i = from; i < to; ++i) {
            batch.Full({"k" + std::to_string(i % 100), std::to_string(i), value});
        }
        return batch;
    };
    const auto writer = Open(before);
    Apply(*writer, rows(before, 0, kRows, "old").Build(0, 1));
    Apply(*writer, Begins(rows(before, 0, 1'000, "new").Build(1, 2)));
    BatchBuilder grown = rows(after, 1'000, 2'000, "new");
    grown.Full({"a key that is longer", "1", "new"});
    Apply(*writer, grown.Build(2, 3));
    const ApplyResult end = Apply(*writer, Ends(BatchBuilder(after).Build(3, 4)));
    EXPECT_EQ(end.rows_deleted, kRows - 2'000);
    const Rows left = ReadRows(*after);
    EXPECT_EQ(left.size(), 2'001U);
    for (const TestDatabase::Row& row : left) {
        EXPECT_EQ(row.at(2), "new");
    }
}

}  // namespace
}  // namespace millrace::sdk::testing
