#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/text.h"
#include "connectors/postgres/destination_test_kit.h"
#include "connectors/sdk/testing/batch_builder.h"

// What the destination cannot hold is kept beside the data, and nothing else stops or changes.

namespace millrace::postgres {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;
using Rows = std::vector<std::vector<std::optional<std::string>>>;
using Row = std::vector<std::optional<std::string>>;
using sdk::testing::BatchBuilder;
using sdk::testing::kUnchanged;
using sdk::testing::MakeColumn;
using sdk::testing::MakeSchema;

class DeadLetters : public ::testing::Test {
 protected:
    DeadLetters() { database_.Execute("CREATE TYPE mood AS ENUM ('sad', 'ok')"); }

    sdk::ApplyResult Apply(sdk::TableWriter& writer, sdk::Batch batch,
                           sdk::RefusedValues refused = sdk::RefusedValues::kDeadLetter) {
        batch.refused = refused;
        const auto result = writer.Apply(batch);
        EXPECT_TRUE(result.ok()) << base::Describe(result.status());
        return result.ok() ? *result : sdk::ApplyResult{};
    }
    Rows Table(const std::string& table = "t") {
        return database_.Query("SELECT * FROM shop." + table + " ORDER BY 1");
    }
    Rows Letters() {
        return database_.Query(
            "SELECT column_name, key_text, value_text FROM _millrace.dead_letters ORDER BY key_text, "
            "column_name");
    }

    testing_support::PostgresDatabase database_;
    std::unique_ptr<sdk::Destination> destination_ = OpenDestination(database_.parameters());
    sdk::SchemaPtr schema_ = MakeSchema(
        "t", {MakeColumn("id", "integer", 1), MakeColumn("m", "mood"), MakeColumn("note", "text")});
};

TEST_F(DeadLetters, TheRowIsWrittenWithoutTheCellAndTheCellIsKept) {
    const auto writer = OpenWriter(*destination_, *schema_);
    sdk::Batch batch = BatchBuilder(schema_).Full({"1", "ok", "a"}).Full({"2", "angry", "b"}).Build(0, 2);
    batch.rows[1].position = {4711, 3};
    const auto result = Apply(*writer, batch);
    EXPECT_THAT(result.dead_letters, ElementsAre(Pair("m", 1)));
    EXPECT_EQ(result.dead_letters_standing, 1);
    EXPECT_THAT(Table(), ElementsAre(Row{"1", "ok", "a"}, Row{"2", std::nullopt, "b"}));
    EXPECT_THAT(database_.Query(
                    "SELECT pipeline_uid, topic, schema_name, table_name, column_name, key_text, value_text,"
                    " value_format, reason, commit_lsn, seq FROM _millrace.dead_letters"),
                ElementsAre(Row{"uid", "mr.p.t", "shop", "t", "m", R"({"id":"2"})", "angry", "text",
                                "PostgreSQL refuses it as mood (SQLSTATE 22P02)", "4711", "3"}));
    EXPECT_EQ(database_.Query("SELECT next_offset FROM _millrace.checkpoints")[0][0], "2");
}

TEST_F(DeadLetters, FollowTheNewNamesOfColumns) {
    const auto writer = OpenWriter(*destination_, *schema_);
    Apply(*writer, BatchBuilder(schema_).Full({"1", "angry", "a"}).Full({"2", "cross", "b"}).Build(0, 2));
    std::vector<sdk::Column> columns = schema_->columns;
    columns[0].name = "num\"ber";
    columns[1].name = "mood";
    const sdk::SchemaPtr renamed = MakeSchema("t", columns);
    const auto result = Apply(*writer, BatchBuilder(renamed).Full({"1", "sad", "c"}).Build(2, 3));
    EXPECT_EQ(result.dead_letters_standing, 1) << "the first is superseded under its new name";
    EXPECT_THAT(Letters(), ElementsAre(Row{"mood", R"({"num\"ber":"2"})", "cross"}));
}

TEST_F(DeadLetters, AreSupersededByWhatIsSaidLater) {
    const auto writer = OpenWriter(*destination_, *schema_);
    const auto bad = [&](const char* id) { return Row{"m", base::Concat("{\"id\":\"", id, "\"}"), "angry"}; };
    BatchBuilder first(schema_);
    for (const char* id : {"1", "2", "3", "4", "5"}) {
        first.Full({id, "angry", "a"});
    }
    EXPECT_EQ(Apply(*writer, first.Build(0, 5)).dead_letters_standing, 5);
    // Written anew, gone, the other column alone, refused again; and one that nobody touches.
    const auto second = Apply(*writer, BatchBuilder(schema_)
                                           .Full({"1", "ok", "b"})
                                           .Gone({"2"})
                                           .Partial({"3", kUnchanged, "b"})
                                           .Full({"4", "furious", "b"})
                                           .Build(5, 9));
    EXPECT_EQ(second.dead_letters_standing, 3);
    EXPECT_THAT(Letters(), ElementsAre(bad("3"), Row{"m", R"({"id":"4"})", "furious"}, bad("5")));
    EXPECT_EQ(Apply(*writer, BatchBuilder(schema_).Partial({"3", "sad", kUnchanged}).Build(9, 10))
                  .dead_letters_standing,
              2);
    // Another worker takes over and knows.
    const auto next = destination_->OpenTable({"shop", "t"}, {"tenants/t/pipelines/p", "uid", "mr.p.t"});
    const auto checkpoint = (*next)->TakeOver();
    ASSERT_TRUE(checkpoint.ok());
    EXPECT_EQ(checkpoint->dead_letters, 2);
    EXPECT_EQ(Apply(**next, BatchBuilder(schema_).TruncateFirst().Full({"6", "ok", "c"}).Build(10, 11))
                  .dead_letters_standing,
              0);
    EXPECT_THAT(Letters(), IsEmpty());
}

TEST_F(DeadLetters, FollowARowThatMovesWithoutSayingMore) {
    const auto writer = OpenWriter(*destination_, *schema_);
    Apply(*writer, BatchBuilder(schema_).Full({"1", "one", "a"}).Full({"2", "two", "b"}).Build(0, 2));
    // The two swap their keys.
    Apply(*writer, BatchBuilder(schema_)
                       .Moved({"2"}, {"1", kUnchanged, "b2"})
                       .Moved({"1"}, {"2", kUnchanged, "a2"})
                       .Build(2, 6));
    EXPECT_THAT(Table(), ElementsAre(Row{"1", std::nullopt, "b2"}, Row{"2", std::nullopt, "a2"}));
    EXPECT_THAT(Letters(), ElementsAre(Row{"m", R"({"id":"1"})", "two"}, Row{"m", R"({"id":"2"})", "one"}));
}

TEST_F(DeadLetters, ARowWhoseKeyIsRefusedIsKeptWhole) {
    const auto schema = MakeSchema("k", {MakeColumn("m", "mood", 1), MakeColumn("note", "text")});
    const auto writer = OpenWriter(*destination_, *schema);
    auto result = Apply(*writer, BatchBuilder(schema).Full({"angry", "a"}).Full({"ok", "b"}).Build(0, 2));
    EXPECT_THAT(result.dead_letters, ElementsAre(Pair("", 1)));
    EXPECT_THAT(Table("k"), ElementsAre(Row{"ok", "b"}));
    EXPECT_THAT(Letters(), ElementsAre(Row{std::nullopt, R"({"m":"angry"})", R"({"m":"angry","note":"a"})"}));
    // It moves to a key that can be held, saying nothing of its note: what was kept stays with it.
    result = Apply(*writer, BatchBuilder(schema).Moved({"angry"}, {"sad", kUnchanged}).Build(2, 4));
    EXPECT_EQ(result.holes, 1);
    EXPECT_THAT(Table("k"), ElementsAre(Row{"sad", std::nullopt}, Row{"ok", "b"}));
    EXPECT_THAT(Letters(), ElementsAre(Row{std::nullopt, R"({"m":"sad"})", R"({"m":"angry","note":"a"})"}));
    result = Apply(*writer, BatchBuilder(schema).Full({"furious", "x"}).Gone({"sad"}).Build(4, 6));
    EXPECT_THAT(Letters(),
                ElementsAre(Row{std::nullopt, R"({"m":"furious"})", R"({"m":"furious","note":"x"})"}));
    result = Apply(*writer, BatchBuilder(schema).Gone({"furious"}).Build(6, 7));
    EXPECT_EQ(result.dead_letters_standing, 0);
}

TEST_F(DeadLetters, ManyOfManyColumnsAreFoundInLargeBatchesAndAppendedOnes) {
    database_.Execute("CREATE DOMAIN email AS text CHECK (VALUE LIKE '%@%')");
    const auto schema = MakeSchema("many", {MakeColumn("id", "integer", 1), MakeColumn("m", "mood"),
                                            MakeColumn("mail", "public.email"), MakeColumn("c", "regclass")});
    const auto writer = OpenWriter(*destination_, *schema);
    for (const bool append : {true, false}) {
        BatchBuilder batch(schema);
        for (int i = 0; i < 5000; ++i) {
            batch.Full({std::to_string(i), i % 1000 == 7 ? "angry" : "ok", i % 999 == 0 ? "nobody" : "a@b",
                        i == 4999 ? "shop.missing" : "pg_class"});
        }
        if (append) {
            batch.Append();
        }
        const auto result = Apply(*writer, batch.Build(append ? 0 : 5000, append ? 5000 : 10'000));
        EXPECT_THAT(result.dead_letters, UnorderedElementsAre(Pair("m", 5), Pair("mail", 6), Pair("c", 1)));
        EXPECT_EQ(result.dead_letters_standing, 12);
        EXPECT_THAT(database_.Query("SELECT count(*), count(m), count(mail), count(c) FROM shop.many"),
                    ElementsAre(Row{"5000", "4995", "4994", "4999"}));
    }
}

TEST_F(DeadLetters, ATableWithoutAKeyKeepsThemToo) {
    const auto schema = MakeSchema("log", {MakeColumn("m", "mood"), MakeColumn("note", "text")});
    const auto writer = OpenWriter(*destination_, *schema);
    Apply(*writer, BatchBuilder(schema).Full({"angry", "a"}).Full({"ok", "b"}).Append().Build(0, 2));
    EXPECT_EQ(Table("log").size(), 2U);
    EXPECT_THAT(Letters(), ElementsAre(Row{"m", "", "angry"}));
}

TEST_F(DeadLetters, HoldRefusesAndTextChangesTheColumn) {
    const auto writer = OpenWriter(*destination_, *schema_);
    Apply(*writer, BatchBuilder(schema_).Full({"1", "ok", "a"}).Build(0, 1));
    sdk::Batch batch = BatchBuilder(schema_).Full({"2", "angry", "b"}).Build(1, 2);
    batch.refused = sdk::RefusedValues::kHold;
    EXPECT_EQ(base::ReasonOf(writer->Apply(batch).status()), "VALUE_REJECTED");
    Apply(*writer, batch, sdk::RefusedValues::kText);
    EXPECT_THAT(Table(), ElementsAre(Row{"1", "ok", "a"}, Row{"2", "angry", "b"}));
    EXPECT_THAT(Letters(), IsEmpty());
    Apply(*writer, BatchBuilder(schema_).Full({"3", "furious", "c"}).Build(2, 3), sdk::RefusedValues::kHold);
}

TEST_F(DeadLetters, CharactersThatTheDestinationLacksAreKeptAsJson) {
    database_.Execute("CREATE DATABASE " + database_.name() +
                      "_l TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'");
    {
        base::PqParameters parameters = database_.parameters();
        parameters.keywords["dbname"] += "_l";
        const auto destination = OpenDestination(parameters);
        const auto writer = OpenWriter(*destination, *MakeSchema("t", {}));
        const auto schema = MakeSchema("t", {MakeColumn("id", "text", 1), MakeColumn("note", "text")});
        BatchBuilder batch(schema);
        for (int i = 0; i < 100; ++i) {
            batch.Full({std::to_string(i), i == 50 ? "\xf0\x9f\xa6\x86" : "gr\xc3\xbc\xc3\x9f"});
        }
        const auto result = Apply(*writer, batch.Full({"\xe2\x82\xac", "euro"}).Build(0, 101));
        EXPECT_THAT(result.dead_letters, UnorderedElementsAre(Pair("note", 1), Pair("", 1)));
        auto session = base::PqConnection::Connect(parameters);
        ASSERT_TRUE(session.ok());
        const auto rows = (*session)->Execute(
            "SELECT key_text, value_text, value_format FROM _millrace.dead_letters ORDER BY column_name");
        ASSERT_TRUE(rows.ok());
        EXPECT_EQ(rows->Get(0, 0), R"({"id":"50"})");
        EXPECT_EQ(rows->Get(0, 1), R"("\ud83e\udd86")");
        EXPECT_EQ(rows->Get(0, 2), "json");
        EXPECT_EQ(rows->Get(1, 1), R"({"id":"\u20ac","note":"euro"})");
        EXPECT_EQ(
            Apply(*writer, BatchBuilder(schema).Gone({"\xe2\x82\xac"}).Build(101, 102)).dead_letters_standing,
            1);
    }
    destination_.reset();
    database_.Execute("DROP DATABASE " + database_.name() + "_l WITH (FORCE)");
}

TEST_F(DeadLetters, AreReplayedAfterTheColumnWasMended) {
    const auto writer = OpenWriter(*destination_, *schema_);
    Apply(*writer, BatchBuilder(schema_)
                       .Full({"1", "angry", "a"})
                       .Full({"2", "furious", "b"})
                       .Full({"3", "angry", "c"})
                       .Full({"4", "angry", "d"})
                       .Build(0, 4));
    // What is said later stands, whatever the letter said.
    Apply(*writer, BatchBuilder(schema_).Partial({"3", "sad", kUnchanged}).Build(4, 5));
    database_.Execute("DELETE FROM shop.t WHERE id = 4");
    auto result = writer->ReplayDeadLetters(schema_);
    ASSERT_TRUE(result.ok()) << base::Describe(result.status());
    EXPECT_EQ(result->applied, 0);
    EXPECT_EQ(result->standing, 3);
    database_.Execute("ALTER TYPE mood ADD VALUE 'angry'");
    result = writer->ReplayDeadLetters(schema_);
    ASSERT_TRUE(result.ok()) << base::Describe(result.status());
    EXPECT_EQ(result->applied, 1);
    EXPECT_EQ(result->standing, 2) << "one does not fit, and the row of the other is gone";
    EXPECT_THAT(Table(), ElementsAre(Row{"1", "angry", "a"}, Row{"2", std::nullopt, "b"}, Row{"3", "sad", "c"}));
    // The writer goes on.
    EXPECT_EQ(Apply(*writer, BatchBuilder(schema_).Full({"2", "ok", "e"}).Build(5, 6)).dead_letters_standing, 1);
}

TEST_F(DeadLetters, AWholeRowIsReplayedWithWhatWasSaidOfItSince) {
    const auto schema = MakeSchema(
        "k", {MakeColumn("m", "mood", 1), MakeColumn("note", "text"), MakeColumn("n", "integer")});
    const auto writer = OpenWriter(*destination_, *schema);
    Apply(*writer, BatchBuilder(schema).Full({"angry", "a", "1"}).Full({"wild", "w", "2"}).Build(0, 2));
    // A key that cannot be held: one column is said anew. And one that moves to a key that can, and is changed there.
    Apply(*writer, BatchBuilder(schema).Partial({"angry", kUnchanged, "7"}).Build(2, 3));
    Apply(*writer, BatchBuilder(schema).Moved({"wild"}, {"sad", kUnchanged, kUnchanged}).Build(3, 4));
    Apply(*writer, BatchBuilder(schema).Partial({"sad", "newer", kUnchanged}).Build(4, 5));
    database_.Execute("ALTER TYPE mood ADD VALUE 'angry'");
    const auto result = writer->ReplayDeadLetters(schema);
    ASSERT_TRUE(result.ok()) << base::Describe(result.status());
    EXPECT_EQ(result->standing, 0);
    EXPECT_THAT(Table("k"), UnorderedElementsAre(Row{"sad", "newer", "2"}, Row{"angry", "a", "7"}));
}

TEST_F(DeadLetters, AreNotReplayedByAWriterThatWasSuperseded) {
    const auto writer = OpenWriter(*destination_, *schema_);
    Apply(*writer, BatchBuilder(schema_).Full({"1", "angry", "a"}).Build(0, 1));
    const auto newer = OpenWriter(*destination_, *schema_);
    database_.Execute("ALTER TYPE mood ADD VALUE 'angry'");
    EXPECT_EQ(base::ReasonOf(writer->ReplayDeadLetters(schema_).status()), "FENCED");
    EXPECT_THAT(Table(), ElementsAre(Row{"1", std::nullopt, "a"}));
    EXPECT_EQ(newer->ReplayDeadLetters(schema_)->applied, 1);
}

}  // namespace
}  // namespace millrace::postgres
