#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/status.h"
#include "connectors/duckdb/duckdb_fixture.h"

// What DuckDB cannot hold is kept beside the data, and nothing else stops or changes.

namespace millrace::duckdb {
namespace {

using sdk::testing::BatchBuilder;
using sdk::testing::kUnchanged;
using sdk::testing::MakeColumn;
using sdk::testing::MakeSchema;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

class DuckDbDeadLetters : public testing::Test {
 protected:
    static sdk::ApplyResult Apply(sdk::TableWriter& writer, sdk::Batch batch,
                                  sdk::RefusedValues refused = sdk::RefusedValues::kDeadLetter) {
        batch.refused = refused;
        const auto result = writer.Apply(batch);
        EXPECT_TRUE(result.ok()) << base::Describe(result.status());
        return result.ok() ? *result : sdk::ApplyResult{};
    }
    std::vector<TextRow> Query(const std::string& sql) { return QueryFile(files_, folder_.File(), sql); }
    std::vector<TextRow> Rows() { return Query("SELECT * FROM shop.t ORDER BY 1"); }
    std::vector<TextRow> Letters() {
        return Query(
            "SELECT column_name, key_text, value_text, value_format FROM _millrace.dead_letters"
            " ORDER BY key_text, column_name");
    }

    TestFolder folder_;
    DatabaseFiles files_;
    std::unique_ptr<sdk::Destination> destination_ = MakeTestDestination(files_, folder_.File());
    sdk::SchemaPtr schema_ =
        MakeSchema("t", {MakeColumn("id", "bigint", 1), MakeColumn("n", "numeric(12,2)"),
                         MakeColumn("at", "timestamp without time zone"), MakeColumn("note", "text")});
};

TEST_F(DuckDbDeadLetters, TheRowIsWrittenWithoutTheCellsAndTheyAreKept) {
    const auto writer = TakeOver(*destination_, "t");
    sdk::Batch batch = BatchBuilder(schema_)
                           .Full({"1", "1.50", "2024-01-01 00:00:00", "a"})
                           .Full({"2", "NaN", "294276-12-31 23:59:59.999999", "b\xff"})
                           .Full({"3", nullptr, "infinity", nullptr})
                           .Build(0, 3);
    batch.rows[1].position = {4711, 3};
    const auto result = Apply(*writer, batch);
    EXPECT_THAT(result.dead_letters, UnorderedElementsAre(Pair("n", 1), Pair("at", 1), Pair("note", 1)));
    EXPECT_EQ(result.dead_letters_standing, 3);
    EXPECT_THAT(Rows(), ElementsAre(TextRow{"1", "1.50", "2024-01-01 00:00:00", "a"},
                                    TextRow{"2", std::nullopt, std::nullopt, std::nullopt},
                                    TextRow{"3", std::nullopt, "infinity", std::nullopt}));
    const std::string key = R"({"id":"2"})";
    EXPECT_THAT(Letters(),
                ElementsAre(TextRow{"at", key, "294276-12-31 23:59:59.999999", "text"},
                            TextRow{"n", key, "NaN", "text"}, TextRow{"note", key, R"("b\udcff")", "json"}));
    EXPECT_THAT(Query("SELECT DISTINCT schema_name, table_name, commit_lsn, seq FROM _millrace.dead_letters"),
                ElementsAre(TextRow{"shop", "t", "4711", "3"}));
}

TEST_F(DuckDbDeadLetters, AreSupersededAndFollowTheirRows) {
    const auto writer = TakeOver(*destination_, "t");
    BatchBuilder first(schema_);
    for (const char* id : {"1", "2", "3", "4"}) {
        first.Full({id, "NaN", nullptr, id});
    }
    EXPECT_EQ(Apply(*writer, first.Append().Build(0, 4)).dead_letters_standing, 4);
    // Written anew, gone, moved without a word on the cell, and one that nobody touches.
    const auto second = Apply(*writer, BatchBuilder(schema_)
                                           .Full({"1", "2.00", nullptr, "x"})
                                           .Gone({"2"})
                                           .Gone({"3"})
                                           .Moved({"3"}, {"33", kUnchanged, nullptr, kUnchanged})
                                           .Build(4, 8));
    EXPECT_EQ(second.dead_letters_standing, 2);
    EXPECT_THAT(Letters(), ElementsAre(TextRow{"n", R"({"id":"33"})", "NaN", "text"},
                                       TextRow{"n", R"({"id":"4"})", "NaN", "text"}));
    EXPECT_THAT(Rows(), ElementsAre(TextRow{"1", "2.00", std::nullopt, "x"},
                                    TextRow{"4", std::nullopt, std::nullopt, "4"},
                                    TextRow{"33", std::nullopt, std::nullopt, "3"}));
    sdk::Checkpoint checkpoint;
    const auto next = TakeOver(*destination_, "t", &checkpoint);
    EXPECT_EQ(checkpoint.dead_letters, 2);
    EXPECT_EQ(Apply(*next, BatchBuilder(schema_).TruncateFirst().Build(8, 9)).dead_letters_standing, 0);
    EXPECT_THAT(Letters(), IsEmpty());
}

TEST_F(DuckDbDeadLetters, ARowWhoseKeyIsRefusedIsKeptWhole) {
    schema_ = MakeSchema("t", {MakeColumn("n", "numeric(12,2)", 1), MakeColumn("note", "text")});
    const auto writer = TakeOver(*destination_, "t");
    Apply(*writer, BatchBuilder(schema_).Full({"NaN", "a"}).Full({"1.00", "b"}).Build(0, 2));
    EXPECT_THAT(Rows(), ElementsAre(TextRow{"1.00", "b"}));
    EXPECT_THAT(Letters(),
                ElementsAre(TextRow{std::nullopt, R"({"n":"NaN"})", R"({"n":"NaN","note":"a"})", "json"}));
    EXPECT_EQ(Apply(*writer, BatchBuilder(schema_).Gone({"NaN"}).Build(2, 3)).dead_letters_standing, 0);
}

TEST_F(DuckDbDeadLetters, TextChangesTheColumn) {
    const auto writer = TakeOver(*destination_, "t");
    Apply(*writer, BatchBuilder(schema_).Full({"1", "1.50", nullptr, "a"}).Build(0, 1));
    const auto result = Apply(*writer, BatchBuilder(schema_).Full({"2", "NaN", nullptr, "b\xff"}).Build(1, 2),
                              sdk::RefusedValues::kText);
    EXPECT_THAT(result.dead_letters, ElementsAre(Pair("note", 1)))
        << "bytes that are no text have no other place";
    EXPECT_THAT(Rows(), ElementsAre(TextRow{"1", "1.50", std::nullopt, "a"},
                                    TextRow{"2", "NaN", std::nullopt, std::nullopt}));
}

TEST_F(DuckDbDeadLetters, AreReplayedAfterTheColumnWasMended) {
    const auto writer = TakeOver(*destination_, "t");
    Apply(*writer, BatchBuilder(schema_)
                       .Full({"1", "NaN", nullptr, "a"})
                       .Full({"2", "NaN", nullptr, "b\xff"})
                       .Build(0, 2));
    Apply(*writer, BatchBuilder(schema_).Partial({"1", kUnchanged, nullptr, "newer"}).Build(2, 3));
    const auto before = writer->ReplayDeadLetters(schema_);
    ASSERT_TRUE(before.ok()) << base::Describe(before.status());
    EXPECT_EQ(before->applied, 0);
    EXPECT_EQ(before->standing, 3);
    ExecuteOnFile(files_, folder_.File(), "ALTER TABLE shop.t ALTER n TYPE VARCHAR");
    const auto after = writer->ReplayDeadLetters(schema_);
    ASSERT_TRUE(after.ok()) << base::Describe(after.status());
    EXPECT_EQ(after->applied, 2);
    EXPECT_EQ(after->standing, 1) << "bytes that are no text have no place";
    EXPECT_THAT(Rows(), ElementsAre(TextRow{"1", "NaN", std::nullopt, "newer"},
                                    TextRow{"2", "NaN", std::nullopt, std::nullopt}));
}

}  // namespace
}  // namespace millrace::duckdb
