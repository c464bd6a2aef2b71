#include "connectors/sdk/sql/dead_letters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "connectors/sdk/sql/merge_sql.h"
#include "connectors/sdk/testing/batch_builder.h"

namespace millrace::sql {
namespace {

using sdk::testing::BatchBuilder;
using sdk::testing::kUnchanged;
using sdk::testing::MakeColumn;
using sdk::testing::MakeSchema;

class ToyDialect final : public Dialect {
 public:
    [[nodiscard]] std::string product() const override { return "Toy"; }
    [[nodiscard]] TypeFit CompareTypes(const std::string&, const std::string&) const override {
        return TypeFit::kFits;
    }
    [[nodiscard]] std::string UnsignedType() const override { return "unsigned"; }
    [[nodiscard]] bool IndexesKeys() const override { return false; }
};

TEST(JsonText, IsAsciiAndKeepsEveryByte) {
    EXPECT_EQ(JsonText("a\"\\\n\x7f"), R"("a\"\\\u000a\u007f")");
    EXPECT_EQ(JsonText("\xc3\xbc\xf0\x9f\x98\x80"), R"("\u00fc\ud83d\ude00")");
    EXPECT_EQ(JsonText("\xff\xc3"), R"("\udcff\udcc3")");
    EXPECT_EQ(JsonText("\xed\xa0\x80"), R"("\udced\udca0\udc80")") << "a surrogate in UTF-8 is none";
    EXPECT_EQ(JsonText("\xc0\x80"), R"("\udcc0\udc80")") << "an overlong form is none";
}

class TakeRefusedTest : public ::testing::Test {
 protected:
    std::vector<DeadLetter> Take(const sdk::Batch& original, sdk::Batch& batch,
                                 const std::vector<RefusedCell>& refused) {
        const std::vector<std::string> names = {"a", "b", "v"};
        const std::vector<std::string> types = {"x", "x", "x"};
        const sdk::TableTarget target{"shop", "t"};
        const LoadTable stage = MergeSql(dialect_, target, *schema_, names, types).Stage();
        for (const RefusedCell& cell : refused) {
            EmptyCell(stage.columns[cell.column], batch, cell.row);
        }
        return TakeRefused(refused, stage, original, batch);
    }

    ToyDialect dialect_;
    // Key order is b, a.
    sdk::SchemaPtr schema_ = MakeSchema(
        "t", {MakeColumn("a", "integer", 2), MakeColumn("b", "text", 1), MakeColumn("v", "integer")});
};

TEST_F(TakeRefusedTest, ACellIsKeptUnderItsKeyAndPosition) {
    sdk::Batch original = BatchBuilder(schema_).Full({"1", "x", "bad"}).Full({"2", "y", "3"}).Build(0, 2);
    original.rows[0].position = {77, 5};
    sdk::Batch batch = original;
    // The stage starts with a row number and a flag.
    const auto letters = Take(original, batch, {{.row = 0, .column = 4, .reason = "because"}});
    ASSERT_EQ(letters.size(), 1U);
    EXPECT_EQ(letters[0].column, "v");
    EXPECT_EQ(letters[0].key, R"({"b":"x","a":"1"})");
    EXPECT_EQ(letters[0].value, "bad");
    EXPECT_FALSE(letters[0].json);
    EXPECT_EQ(letters[0].reason, "because");
    EXPECT_EQ(letters[0].position, (sdk::Position{77, 5}));
    ASSERT_EQ(batch.rows.size(), 2U);
    EXPECT_TRUE(batch.Row(0)[2].is_null());
    EXPECT_EQ(batch.Row(1)[2].text(), "3");
}

TEST_F(TakeRefusedTest, ARowWhoseKeyIsRefusedIsKeptWhole) {
    const sdk::Batch original = BatchBuilder(schema_)
                                    .Full({"no", "x", "worse"})
                                    .Full({"2", "y", "3"})
                                    .Partial({"nor", "z", kUnchanged})
                                    .Gone({"q", "never"})
                                    .Build(0, 4);
    sdk::Batch batch = original;
    const auto letters = Take(original, batch,
                              {{.row = 0, .column = 2, .reason = "key"},
                               {.row = 0, .column = 4, .reason = "cell"},
                               {.row = 2, .column = 2, .reason = "key"},
                               {.row = 3, .column = 2, .reason = "key"}});
    ASSERT_EQ(letters.size(), 2U) << "nothing is kept of a row that is gone";
    EXPECT_EQ(letters[0].column, std::nullopt);
    EXPECT_EQ(letters[0].value, R"({"a":"no","b":"x","v":"worse"})");
    EXPECT_TRUE(letters[0].json);
    EXPECT_EQ(letters[0].reason, "key");
    EXPECT_EQ(letters[1].value, R"({"a":"nor","b":"z"})") << "unchanged is not NULL";
    ASSERT_EQ(batch.rows.size(), 1U);
    EXPECT_EQ(batch.cells.size(), 3U);
    EXPECT_EQ(batch.Row(0)[0].text(), "2");
}

}  // namespace
}  // namespace millrace::sql
