#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "connectors/postgres/commit_proxy.h"
#include "connectors/postgres/destination_test_kit.h"
#include "connectors/sdk/testing/batch_builder.h"

// A COMMIT whose outcome the writer does not learn: the batch stands once, whatever became of it.

namespace millrace::postgres {
namespace {

using ::testing::ElementsAre;
using Row = std::vector<std::optional<std::string>>;
using Fate = CommitProxy::Fate;
using sdk::testing::BatchBuilder;
using sdk::testing::MakeColumn;
using sdk::testing::MakeSchema;

class UnknownCommit : public ::testing::TestWithParam<Fate> {
 protected:
    UnknownCommit() { database_.Execute("CREATE TYPE mood AS ENUM ('sad', 'ok')"); }

    [[nodiscard]] base::PqParameters ThroughProxy() const {
        base::PqParameters parameters = database_.parameters();
        parameters.keywords["host"] = "127.0.0.1";
        parameters.keywords["port"] = std::to_string(proxy_.port());
        parameters.keywords["sslmode"] = "disable";
        return parameters;
    }
    static bool Reached() { return GetParam() != Fate::kLost; }
    static void ExpectOk(const absl::StatusOr<sdk::ApplyResult>& result) {
        EXPECT_TRUE(result.ok()) << base::Describe(result.status());
    }
    /// Applies `batch`, whose COMMIT meets the fate, and once more.
    sdk::ApplyResult ApplyTwice(sdk::TableWriter& writer, const sdk::Batch& batch) {
        proxy_.Next(GetParam());
        const auto lost = writer.Apply(batch);
        EXPECT_TRUE(proxy_.met());
        EXPECT_TRUE(absl::IsUnavailable(lost.status())) << lost.status();
        const auto repeated = writer.Apply(batch);
        ExpectOk(repeated);
        return repeated.ok() ? *repeated : sdk::ApplyResult{};
    }

    testing_support::PostgresDatabase database_;
    CommitProxy proxy_{static_cast<uint16_t>(std::stoi(database_.parameters().keywords.at("port")))};
    std::unique_ptr<sdk::Destination> destination_ = OpenDestination(ThroughProxy());
};

// No key that could hide a second copy, and a value that the destination refuses.
TEST_P(UnknownCommit, OfAppendedRowsAndADeadLetterStandsOnce) {
    const auto schema = MakeSchema("log", {MakeColumn("m", "mood"), MakeColumn("note", "text")});
    const auto writer = OpenWriter(*destination_, *schema);
    ExpectOk(writer->Apply(BatchBuilder(schema).Full({"ok", "a"}).Append().Build(0, 1)));
    sdk::Batch batch = BatchBuilder(schema).Full({"angry", "b"}).Full({"sad", "c"}).Append().Build(1, 3);
    batch.refused = sdk::RefusedValues::kDeadLetter;
    const sdk::ApplyResult repeated = ApplyTwice(*writer, batch);
    EXPECT_EQ(repeated.already_applied, Reached());
    EXPECT_EQ(repeated.dead_letters_standing, 1);
    ExpectOk(writer->Apply(BatchBuilder(schema).Full({"ok", "d"}).Append().Build(3, 4)));
    EXPECT_THAT(database_.Query("SELECT note, m FROM shop.log ORDER BY note"),
                ElementsAre(Row{"a", "ok"}, Row{"b", std::nullopt}, Row{"c", "sad"}, Row{"d", "ok"}));
    EXPECT_THAT(database_.Query("SELECT value_text FROM _millrace.dead_letters"), ElementsAre(Row{"angry"}));
    EXPECT_THAT(database_.Query("SELECT next_offset, epoch FROM _millrace.checkpoints"), ElementsAre(Row{"4", "1"}));
}

// The batch that makes a column, and the first one after a table was made, change more than rows.
TEST_P(UnknownCommit, OfANewShapeStandsOnce) {
    const auto narrow = MakeSchema("t", {MakeColumn("id", "integer", 1), MakeColumn("a", "text")});
    const auto wide =
        MakeSchema("t", {MakeColumn("id", "integer", 1), MakeColumn("a", "text"), MakeColumn("b", "text")});
    const auto writer = OpenWriter(*destination_, *narrow);
    EXPECT_EQ(ApplyTwice(*writer, BatchBuilder(narrow).Full({"1", "a"}).Build(0, 1)).already_applied, Reached());
    EXPECT_EQ(ApplyTwice(*writer, BatchBuilder(wide).Full({"2", "a", "b"}).Gone({"1"}).Build(1, 3)).already_applied,
              Reached());
    ExpectOk(writer->Apply(BatchBuilder(wide).Full({"3", "c", "d"}).Build(3, 4)));
    EXPECT_THAT(database_.Query("SELECT * FROM shop.t ORDER BY 1"),
                ElementsAre(Row{"2", "a", "b"}, Row{"3", "c", "d"}));
}

TEST_P(UnknownCommit, OfADroppedColumnIsKnownAfterTheNextTry) {
    const auto wide = MakeSchema("t", {MakeColumn("id", "integer", 1), MakeColumn("a", "text")});
    const auto narrow = MakeSchema("t", {MakeColumn("id", "integer", 1)});
    const auto writer = OpenWriter(*destination_, *wide);
    ExpectOk(writer->Apply(BatchBuilder(wide).Full({"1", "a"}).Build(0, 1)));
    const sdk::ApplyResult repeated = ApplyTwice(*writer, BatchBuilder(narrow).Full({"2"}).Build(1, 2));
    EXPECT_THAT(repeated.dropped_columns, ElementsAre("a"));
}

TEST_P(UnknownCommit, OfAReplayLeavesTheCountRight) {
    const auto schema = MakeSchema("t", {MakeColumn("id", "integer", 1), MakeColumn("m", "mood")});
    const auto writer = OpenWriter(*destination_, *schema);
    sdk::Batch batch = BatchBuilder(schema).Full({"1", "angry"}).Full({"2", "wild"}).Build(0, 2);
    batch.refused = sdk::RefusedValues::kDeadLetter;
    ExpectOk(writer->Apply(batch));
    database_.Execute("ALTER TYPE mood ADD VALUE 'angry'");
    proxy_.Next(GetParam());
    EXPECT_TRUE(absl::IsUnavailable(writer->ReplayDeadLetters(schema).status()));
    EXPECT_TRUE(proxy_.met());
    const auto repeated = writer->ReplayDeadLetters(schema);
    ASSERT_TRUE(repeated.ok()) << base::Describe(repeated.status());
    EXPECT_EQ(repeated->standing, 1);
    EXPECT_EQ(repeated->applied, Reached() ? 0 : 1);
    EXPECT_THAT(database_.Query("SELECT * FROM shop.t ORDER BY 1"), ElementsAre(Row{"1", "angry"}, Row{"2", std::nullopt}));
    EXPECT_THAT(database_.Query("SELECT value_text FROM _millrace.dead_letters"), ElementsAre(Row{"wild"}));
}

TEST_P(UnknownCommit, OfATakeOverIsTakenOverAgain) {
    const auto schema = MakeSchema("t", {MakeColumn("id", "integer", 1)});
    const auto older = OpenWriter(*destination_, *schema);
    ExpectOk(older->Apply(BatchBuilder(schema).Full({"1"}).Build(0, 1)));
    const auto newer = destination_->OpenTable({schema->schema, schema->table},
                                               {"tenants/t/pipelines/p", "uid", "mr.p." + schema->table});
    proxy_.Next(GetParam());
    EXPECT_TRUE(absl::IsUnavailable((*newer)->TakeOver().status()));
    EXPECT_TRUE(proxy_.met());
    const auto checkpoint = (*newer)->TakeOver();
    ASSERT_TRUE(checkpoint.ok()) << base::Describe(checkpoint.status());
    EXPECT_EQ(checkpoint->next_offset, 1);
    EXPECT_EQ(base::ReasonOf(older->Apply(BatchBuilder(schema).Full({"2"}).Build(1, 2)).status()), "FENCED");
    ExpectOk((*newer)->Apply(BatchBuilder(schema).Full({"2"}).Build(1, 2)));
    EXPECT_EQ(*database_.Query("SELECT count(*) FROM shop.t")[0][0], "2");
}

INSTANTIATE_TEST_SUITE_P(Fates, UnknownCommit, ::testing::Values(Fate::kLost, Fate::kAnswerLost, Fate::kLate),
                         [](const auto& fate) -> std::string {
                             return fate.param == Fate::kLost         ? "Lost"
                                    : fate.param == Fate::kAnswerLost ? "AnswerLost"
                                                                      : "Late";
                         });

}  // namespace
}  // namespace millrace::postgres
