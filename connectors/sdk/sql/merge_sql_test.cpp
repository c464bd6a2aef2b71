#include "connectors/sdk/sql/merge_sql.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/status.h"
#include "connectors/sdk/testing/batch_builder.h"

namespace millrace::sql {
namespace {

using sdk::testing::BatchBuilder;
using sdk::testing::kUnchanged;
using sdk::testing::MakeColumn;
using sdk::testing::MakeSchema;
using ::testing::ElementsAre;

class PlainDialect final : public Dialect {
 public:
    [[nodiscard]] std::string product() const override { return "Plain"; }
    [[nodiscard]] TypeFit CompareTypes(const std::string&, const std::string&) const override {
        return TypeFit::kFits;
    }
    [[nodiscard]] std::string UnsignedType() const override { return "unsigned"; }
    [[nodiscard]] bool IndexesKeys() const override { return false; }
};

class MergeSqlTest : public ::testing::Test {
 protected:
    const sdk::SchemaPtr schema_ = MakeSchema(
        "t", {MakeColumn("a", "text", 2), MakeColumn("b", "bigint", 1), MakeColumn("v\"", "text")}, "s");
    const sdk::TableTarget target_{"s", "t"};
    const std::vector<std::string> names_ = {"a", "b", "v\""};
    const std::vector<std::string> types_ = {"text", "bigint", "text"};
    const PlainDialect dialect_;
    const MergeSql sql_{dialect_, target_, *schema_, names_, types_};
};

TEST_F(MergeSqlTest, ResolvesByTheSourceKeyInKeyOrder) {
    const std::string stage = sql_.Stage().table;
    const std::string partial = sql_.PartialStage({2}).table;
    EXPECT_EQ(sql_.Resolve(sql_.Stages().front(), {2}),
              "UPDATE \"" + stage + "\" AS s SET c2 = CASE WHEN p.u0 THEN d.\"v\"\"\" ELSE s.c2 END FROM \"" +
                  partial +
                  "\" AS p JOIN \"s\".\"t\" AS d ON d.\"b\" = p.k0 AND d.\"a\" = p.k1"
                  " WHERE s.n = p.n");
    EXPECT_EQ(sql_.CountHoles({2}),
              "SELECT sum(CASE WHEN p.u0 THEN 1 ELSE 0 END) FROM \"" + partial +
                  "\" AS p WHERE NOT EXISTS (SELECT 1 FROM \"s\".\"t\" AS d WHERE d.\"b\" = p.k0"
                  " AND d.\"a\" = p.k1)");
}

TEST_F(MergeSqlTest, DeletesAndInsertsWhatIsStaged) {
    const std::string stage = sql_.Stage().table;
    EXPECT_EQ(sql_.DeleteStaged(), "DELETE FROM \"s\".\"t\" AS d USING \"" + stage +
                                       "\" AS s WHERE d.\"b\" = s.c1 AND d.\"a\" = s.c0");
    EXPECT_EQ(sql_.InsertStaged(),
              "INSERT INTO \"s\".\"t\" (\"a\", \"b\", \"v\"\"\") SELECT c0, c1, c2 FROM \"" + stage +
                  "\" WHERE NOT gone");
}

TEST_F(MergeSqlTest, InlineQuotesValues) {
    const sdk::Batch batch = BatchBuilder(schema_).Full({"it's", "1", nullptr}).Gone({"2", "x"}).Build(0, 2);
    EXPECT_EQ(sql_.Inline(batch, true),
              "DELETE FROM \"s\".\"t\" WHERE (\"b\", \"a\") IN (('1', 'it''s'), ('2', 'x')); "
              "INSERT INTO \"s\".\"t\" (\"a\", \"b\", \"v\"\"\") VALUES ('it''s', '1', NULL)");
    const sdk::Batch gone = BatchBuilder(schema_).Gone({"2", "x"}).Build(0, 1);
    EXPECT_EQ(sql_.Inline(gone, true), "DELETE FROM \"s\".\"t\" WHERE (\"b\", \"a\") IN (('2', 'x'))");
    EXPECT_EQ(sql_.Inline(gone, false), "");
}

TEST_F(MergeSqlTest, TablesOfOneShapeShareAStage) {
    const std::vector<std::string> other_names = {"x", "y", "z"};
    const sdk::TableTarget other{"s", "other"};
    EXPECT_EQ(MergeSql(dialect_, other, *schema_, other_names, types_).Stage().table, sql_.Stage().table);
    const std::vector<std::string> other_types = {"text", "bigint", "bytes"};
    EXPECT_NE(MergeSql(dialect_, target_, *schema_, names_, other_types).Stage().table, sql_.Stage().table);
    EXPECT_EQ(sql_.PartialStage({0}).table, sql_.PartialStage({2}).table);
    EXPECT_NE(sql_.PartialStage({0}).table, sql_.PartialStage({0, 2}).table);
}

TEST_F(MergeSqlTest, ProfileCountsKindsAndUnchangedColumns) {
    const sdk::Batch batch = BatchBuilder(schema_)
                                 .Full({"a", "1", "xyz"})
                                 .Partial({"b", "1", kUnchanged})
                                 .Gone({"9", "z"})
                                 .Build(0, 3);
    const auto profile = ProfileBatch(batch);
    ASSERT_TRUE(profile.ok());
    EXPECT_EQ(profile->full, 1);
    EXPECT_EQ(profile->partial, 1);
    EXPECT_EQ(profile->gone, 1);
    EXPECT_THAT(profile->unchanged, ElementsAre(2));
    EXPECT_EQ(profile->bytes, 7U);
}

TEST_F(MergeSqlTest, ProfileRefusesBrokenBatches) {
    const auto refused = [](const sdk::Batch& batch) {
        return base::ReasonOf(ProfileBatch(batch).status()) == "BATCH_INVALID";
    };
    EXPECT_TRUE(refused(BatchBuilder(schema_).Full({"a", "1", kUnchanged}).Build(0, 1)));
    EXPECT_TRUE(refused(BatchBuilder(schema_).Partial({kUnchanged, "1", "v"}).Build(0, 1)));
    EXPECT_TRUE(refused(BatchBuilder(schema_).Append().Gone({"1", "a"}).Build(0, 1)));
    EXPECT_TRUE(refused(BatchBuilder(schema_).Moved({"1"}, {"a", "1", kUnchanged}).Build(0, 1)));
    sdk::Batch batch = BatchBuilder(schema_).Full({"a", "1", "v"}).Build(0, 1);
    batch.cells.pop_back();
    EXPECT_TRUE(refused(batch));
}

TEST_F(MergeSqlTest, LoadedCellsFollowTheirOrigin) {
    const sdk::Batch batch = BatchBuilder(schema_)
                                 .Moved({"7", "old"}, {"new", "8", kUnchanged})
                                 .Partial({"own", "9", kUnchanged})
                                 .Gone({"5", "g"})
                                 .Build(0, 3);
    const LoadTable partial = sql_.PartialStage({2});
    ASSERT_EQ(partial.columns.size(), 4U);
    EXPECT_EQ(LoadedCell(partial.columns[1], batch, 0).text(), "7");
    EXPECT_EQ(LoadedCell(partial.columns[2], batch, 0).text(), "old");
    EXPECT_EQ(LoadedCell(partial.columns[1], batch, 1).text(), "9");
    EXPECT_EQ(LoadedCell(partial.columns[2], batch, 1).text(), "own");
    EXPECT_TRUE(LoadedFlag(partial.columns[3], batch, 0));
    const LoadTable stage = sql_.Stage();
    EXPECT_FALSE(LoadedFlag(stage.columns[1], batch, 1));
    EXPECT_TRUE(LoadedFlag(stage.columns[1], batch, 2));
    EXPECT_TRUE(LoadedCell(stage.columns[4], batch, 1).is_null());
    EXPECT_EQ(LoadedCell(stage.columns[3], batch, 2).text(), "5");
}

class NarrowDialect final : public Dialect {
 public:
    [[nodiscard]] std::string product() const override { return "Narrow"; }
    [[nodiscard]] TypeFit CompareTypes(const std::string&, const std::string&) const override {
        return TypeFit::kFits;
    }
    [[nodiscard]] std::string UnsignedType() const override { return "unsigned"; }
    [[nodiscard]] bool IndexesKeys() const override { return false; }
    [[nodiscard]] size_t MaxColumns() const override { return 5; }
};

TEST(MergeSqlOfAWideTable, TheStageIsDividedWhereControlColumnsHaveNoRoom) {
    const NarrowDialect dialect;
    const sdk::TableTarget target{"s", "t"};
    const auto columns = [](int count) {
        std::vector<sdk::Column> all = {MakeColumn("v0", "text")};
        for (int i = 1; i + 1 < count; ++i) {
            all.push_back(MakeColumn("v" + std::to_string(i), "text"));
        }
        all.push_back(MakeColumn("id", "bigint", 1));
        return all;
    };
    const std::vector<std::string> three = {"v0", "v1", "id"};
    const std::vector<std::string> types(5, "text");
    EXPECT_EQ(MergeSql(dialect, target, *MakeSchema("t", columns(3), "s"), three, types).Stages().size(), 1U);

    const std::vector<std::string> names = {"v0", "v1", "v2", "v3", "id"};
    const sdk::SchemaPtr schema = MakeSchema("t", columns(5), "s");
    const MergeSql sql(dialect, target, *schema, names, types);
    const std::vector<LoadTable> stages = sql.Stages();
    ASSERT_EQ(stages.size(), 2U);
    const auto column_names = [](const LoadTable& stage) {
        std::vector<std::string> found;
        for (const LoadColumn& column : stage.columns) {
            found.push_back(column.name);
        }
        return found;
    };
    EXPECT_THAT(column_names(stages[0]), ElementsAre("n", "gone", "c0", "c1", "c4"));
    EXPECT_THAT(column_names(stages[1]), ElementsAre("n", "c2", "c3"));
    EXPECT_THAT(MergeSql::UnchangedIn(stages[0], {1, 2, 3}), ElementsAre(1));
    EXPECT_THAT(MergeSql::UnchangedIn(stages[1], {1, 2, 3}), ElementsAre(2, 3));
    EXPECT_EQ(sql.DeleteStaged(), "DELETE FROM \"s\".\"t\" AS d USING \"" + stages[0].table + "\" AS s WHERE d.\"id\" = s.c4");
    EXPECT_EQ(sql.InsertStaged(),
              "INSERT INTO \"s\".\"t\" (\"v0\", \"v1\", \"v2\", \"v3\", \"id\") SELECT c0, c1, c2, c3, c4 FROM \"" +
                  stages[0].table + "\" JOIN \"" + stages[1].table + "\" USING (n) WHERE NOT gone");
    EXPECT_THAT(sql.Resolve(stages[1], {2}), ::testing::StartsWith("UPDATE \"" + stages[1].table + "\" AS s SET c2 = "));
}

}  // namespace
}  // namespace millrace::sql
