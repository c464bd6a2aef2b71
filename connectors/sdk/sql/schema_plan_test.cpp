#include "connectors/sdk/sql/schema_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/status.h"

namespace millrace::sql {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

/// "small" widens to "large", "large" holds "small", everything else clashes.
class ToyDialect final : public Dialect {
 public:
    explicit ToyDialect(bool indexes_keys) : indexes_keys_(indexes_keys) {}
    [[nodiscard]] std::string product() const override { return "Toy"; }
    [[nodiscard]] TypeFit CompareTypes(const std::string& existing,
                                       const std::string& wanted) const override {
        if (existing == wanted || (existing == "large" && wanted == "small")) {
            return TypeFit::kFits;
        }
        return existing == "small" && wanted == "large" ? TypeFit::kWiden : TypeFit::kClash;
    }
    [[nodiscard]] std::string UnsignedType() const override { return "unsigned"; }
    [[nodiscard]] bool IndexesKeys() const override { return indexes_keys_; }

 private:
    bool indexes_keys_;
};

WantedTable Wanted(std::vector<WantedTable::Column> columns, std::vector<std::string> key) {
    return {.target = {"s", "t"}, .columns = std::move(columns), .key = std::move(key)};
}

TableShape Shape(std::vector<TableShape::Column> columns, std::string key_name = "") {
    return {.columns = std::move(columns), .key_name = std::move(key_name)};
}

const WantedTable kWanted = Wanted({{"id", "small", true}, {"v", "large", false}}, {"id"});

TEST(PlanSchema, ANewTableInANewSchema) {
    const auto plan = PlanSchema(ToyDialect(true), kWanted, std::nullopt, false);
    ASSERT_TRUE(plan.ok());
    EXPECT_THAT(plan->statements,
                ElementsAre(R"(CREATE SCHEMA IF NOT EXISTS "s")",
                            R"(CREATE TABLE "s"."t" ("id" small, "v" large, PRIMARY KEY ("id")))"));
    EXPECT_THAT(plan->types, ElementsAre("small", "large"));
}

TEST(PlanSchema, ANewTableWithoutIndexOrKey) {
    const auto unindexed = PlanSchema(ToyDialect(false), kWanted, std::nullopt, true);
    ASSERT_TRUE(unindexed.ok());
    EXPECT_THAT(unindexed->statements, ElementsAre(R"(CREATE TABLE "s"."t" ("id" small, "v" large))"));
    const auto keyless =
        PlanSchema(ToyDialect(true), Wanted({{"v", "large", false}}, {}), std::nullopt, true);
    ASSERT_TRUE(keyless.ok());
    EXPECT_THAT(keyless->statements, ElementsAre(R"(CREATE TABLE "s"."t" ("v" large))"));
}

TEST(PlanSchema, NothingToDoWhereAllFits) {
    const auto plan =
        PlanSchema(ToyDialect(true), kWanted,
                   Shape({{"id", "large", true, false, 1}, {"v", "large", false, false, 0}}, "t_pkey"), true);
    ASSERT_TRUE(plan.ok());
    EXPECT_TRUE(plan->empty());
    EXPECT_THAT(plan->types, ElementsAre("large", "large")) << "the types that stand there";
}

TEST(PlanSchema, AddsAndWidens) {
    const auto plan =
        PlanSchema(ToyDialect(true), Wanted({{"id", "large", true}, {"new", "odd", false}}, {"id"}),
                   Shape({{"id", "small", true, false, 1}}, "t_pkey"), true);
    ASSERT_TRUE(plan.ok());
    EXPECT_THAT(plan->statements, ElementsAre(R"(ALTER TABLE "s"."t" ALTER COLUMN "id" TYPE large)",
                                              R"(ALTER TABLE "s"."t" ADD COLUMN "new" odd)"));
    EXPECT_THAT(plan->types, ElementsAre("large", "odd"));
    EXPECT_EQ(plan->add_key, "");
}

TEST(PlanSchema, AClashNamesColumnAndBothTypes) {
    const auto plan =
        PlanSchema(ToyDialect(true), kWanted,
                   Shape({{"id", "small", true, false, 1}, {"v", "odd", false, false, 0}}, "t_pkey"), true);
    ASSERT_TRUE(absl::IsFailedPrecondition(plan.status()));
    EXPECT_EQ(base::ReasonOf(plan.status()), "TYPE_CHANGED");
    EXPECT_THAT(std::string(plan.status().message()),
                ::testing::AllOf(::testing::HasSubstr("\"v\""), ::testing::HasSubstr("odd"),
                                 ::testing::HasSubstr("large"), ::testing::HasSubstr("s.t")));
}

TEST(PlanSchema, LetsNullInWhereNobodyElseFills) {
    const auto plan = PlanSchema(ToyDialect(true), kWanted,
                                 Shape({{"id", "small", true, false, 1},
                                        {"v", "large", true, true, 0},
                                        {"vanished", "odd", true, false, 0},
                                        {"own", "odd", true, true, 0}},
                                       "t_pkey"),
                                 true);
    ASSERT_TRUE(plan.ok());
    EXPECT_THAT(plan->statements,
                ElementsAre(R"(ALTER TABLE "s"."t" ALTER COLUMN "v" DROP NOT NULL)",
                            R"(ALTER TABLE "s"."t" ALTER COLUMN "vanished" DROP NOT NULL)"));
}

TEST(PlanSchema, ReplacesTheKeyWhenItChanged) {
    const auto plan =
        PlanSchema(ToyDialect(true), Wanted({{"id", "small", false}, {"v", "large", true}}, {"v"}),
                   Shape({{"id", "small", true, false, 1}, {"v", "large", false, false, 0}}, "t_pkey"), true);
    ASSERT_TRUE(plan.ok());
    EXPECT_THAT(plan->statements, ElementsAre(R"(ALTER TABLE "s"."t" DROP CONSTRAINT "t_pkey")",
                                              R"(ALTER TABLE "s"."t" ALTER COLUMN "id" DROP NOT NULL)"));
    EXPECT_EQ(plan->add_key, R"(ALTER TABLE "s"."t" ADD PRIMARY KEY ("v"))");
}

TEST(PlanSchema, TheOrderOfAKeyIsNoChange) {
    const auto plan =
        PlanSchema(ToyDialect(true), Wanted({{"a", "small", true}, {"b", "small", true}}, {"b", "a"}),
                   Shape({{"a", "small", true, false, 1}, {"b", "small", true, false, 2}}, "t_pkey"), true);
    ASSERT_TRUE(plan.ok());
    EXPECT_TRUE(plan->empty());
}

TEST(PlanSchema, DropsAKeyThatTheSourceLost) {
    const auto plan = PlanSchema(ToyDialect(true), Wanted({{"id", "small", false}}, {}),
                                 Shape({{"id", "small", true, false, 1}}, "t_pkey"), true);
    ASSERT_TRUE(plan.ok());
    EXPECT_THAT(plan->statements, ElementsAre(R"(ALTER TABLE "s"."t" DROP CONSTRAINT "t_pkey")",
                                              R"(ALTER TABLE "s"."t" ALTER COLUMN "id" DROP NOT NULL)"));
    EXPECT_EQ(plan->add_key, "");
}

TEST(PlanSchema, LeavesAUsersOwnKeyAlone) {
    const auto plan = PlanSchema(ToyDialect(true), kWanted,
                                 Shape({{"row", "small", true, true, 1},
                                        {"id", "small", false, false, 0},
                                        {"v", "large", false, false, 0}},
                                       "t_pkey"),
                                 true);
    ASSERT_TRUE(plan.ok());
    EXPECT_TRUE(plan->empty());
}

TEST(PlanSchema, SaysNothingOfKeysWhereTheyAreNotIndexed) {
    const auto plan =
        PlanSchema(ToyDialect(false), kWanted,
                   Shape({{"id", "small", false, false, 0}, {"v", "large", false, false, 0}}), true);
    ASSERT_TRUE(plan.ok());
    EXPECT_TRUE(plan->empty());
    EXPECT_THAT(plan->statements, IsEmpty());
}

// Columns by the source's ids, as they are renamed, dropped and added.

WantedTable ById(std::vector<WantedTable::Column> columns) {
    return {.target = {"s", "t"}, .columns = std::move(columns), .key = {}, .source_table_id = 9};
}

WantedTable::Column From(int64_t id, std::string name, std::string type = "small") {
    return {.name = std::move(name), .type = std::move(type), .source_id = id};
}

const TableShape kAbc = Shape({{"a", "small"}, {"b", "small"}, {"c", "small"}});
const WrittenColumns kAbcWritten{.source_table_id = 9,
                                 .columns = {{1, "a", "small"}, {2, "b", "small"}, {3, "c", "small"}}};

TEST(PlanSchema, RenamesAColumnByItsId) {
    const auto plan = PlanSchema(ToyDialect(false), ById({From(1, "a"), From(2, "x"), From(3, "c")}), kAbc,
                                 true, kAbcWritten);
    ASSERT_TRUE(plan.ok());
    EXPECT_THAT(plan->statements, ElementsAre(R"(ALTER TABLE "s"."t" RENAME COLUMN "b" TO "x")"));
    EXPECT_EQ(plan->written,
              (WrittenColumns{.source_table_id = 9,
                              .columns = {{1, "a", "small"}, {2, "x", "small"}, {3, "c", "small"}}}));
}

TEST(PlanSchema, TwoColumnsChangeTheirNames) {
    const auto plan = PlanSchema(ToyDialect(false), ById({From(1, "b"), From(2, "a"), From(3, "c")}), kAbc,
                                 true, kAbcWritten);
    ASSERT_TRUE(plan.ok());
    EXPECT_THAT(plan->statements, ElementsAre(R"(ALTER TABLE "s"."t" RENAME COLUMN "a" TO "_millrace_1")",
                                              R"(ALTER TABLE "s"."t" RENAME COLUMN "b" TO "_millrace_2")",
                                              R"(ALTER TABLE "s"."t" RENAME COLUMN "_millrace_1" TO "b")",
                                              R"(ALTER TABLE "s"."t" RENAME COLUMN "_millrace_2" TO "a")"));
}

TEST(PlanSchema, ADroppedColumnStaysAndIsRemembered) {
    const auto plan =
        PlanSchema(ToyDialect(false), ById({From(1, "a"), From(3, "c")}), kAbc, true, kAbcWritten);
    ASSERT_TRUE(plan.ok());
    EXPECT_TRUE(plan->empty());
    EXPECT_THAT(plan->written.Dropped(), ElementsAre("b"));
}

TEST(PlanSchema, ADroppedColumnMakesRoomForOneOfItsName) {
    const WrittenColumns written{.source_table_id = 9,
                                 .columns = {{1, "a"}, {2, "b", "small", true}, {3, "c"}}};
    const auto renamed =
        PlanSchema(ToyDialect(false), ById({From(1, "a"), From(3, "b")}), kAbc, true, written);
    ASSERT_TRUE(renamed.ok());
    EXPECT_THAT(renamed->statements, ElementsAre(R"(ALTER TABLE "s"."t" RENAME COLUMN "b" TO "b_dropped_2")",
                                                 R"(ALTER TABLE "s"."t" RENAME COLUMN "c" TO "b")"));
    EXPECT_THAT(renamed->written.Dropped(), ElementsAre("b_dropped_2"));
    const auto added =
        PlanSchema(ToyDialect(false), ById({From(1, "a"), From(3, "c"), From(4, "b")}), kAbc, true, written);
    ASSERT_TRUE(added.ok());
    EXPECT_THAT(added->statements, ElementsAre(R"(ALTER TABLE "s"."t" RENAME COLUMN "b" TO "b_dropped_2")",
                                               R"(ALTER TABLE "s"."t" ADD COLUMN "b" small)"));
}

TEST(PlanSchema, AUsersOwnColumnIsNotRenamedOver) {
    const WrittenColumns written{.source_table_id = 9, .columns = {{1, "a"}, {3, "c"}}};
    const auto plan = PlanSchema(ToyDialect(false), ById({From(1, "a"), From(3, "b")}), kAbc, true, written);
    EXPECT_EQ(base::ReasonOf(plan.status()), "NAME_TAKEN");
}

TEST(PlanSchema, IdsOfAnotherTableSayNothing) {
    WantedTable wanted = ById({From(1, "a"), From(2, "x")});
    wanted.source_table_id = 10;
    const auto plan = PlanSchema(ToyDialect(false), wanted, kAbc, true, kAbcWritten);
    ASSERT_TRUE(plan.ok());
    EXPECT_THAT(plan->statements, ElementsAre(R"(ALTER TABLE "s"."t" ADD COLUMN "x" small)"));
    EXPECT_THAT(plan->written.Dropped(), ElementsAre("b", "c"));
}

TEST(PlanSchema, OlderRowsGetWhatTheyHaveAtTheSource) {
    WantedTable wanted = ById({From(1, "a"), From(2, "b"), From(3, "c"), From(4, "new")});
    wanted.columns.back().fill = "it's";
    const auto plan = PlanSchema(ToyDialect(false), wanted, kAbc, true, kAbcWritten);
    ASSERT_TRUE(plan.ok());
    EXPECT_THAT(plan->statements, ElementsAre(R"(ALTER TABLE "s"."t" ADD COLUMN "new" small DEFAULT 'it''s')",
                                              R"(ALTER TABLE "s"."t" ALTER COLUMN "new" DROP DEFAULT)"));
    wanted.fill_as_text = true;
    const auto as_text = PlanSchema(ToyDialect(false), wanted, kAbc, true, kAbcWritten);
    ASSERT_TRUE(as_text.ok());
    EXPECT_THAT(as_text->types, ElementsAre("small", "small", "small", "TEXT"));
    wanted.emptied = true;
    const auto emptied = PlanSchema(ToyDialect(false), wanted, kAbc, true, kAbcWritten);
    ASSERT_TRUE(emptied.ok());
    EXPECT_THAT(emptied->statements, ElementsAre(R"(ALTER TABLE "s"."t" ADD COLUMN "new" small)"));
}

TEST(PlanSchema, AnEmptiedTableTakesAnyType) {
    WantedTable wanted = ById({From(1, "a"), From(2, "b", "odd"), From(3, "c")});
    TableShape shape = kAbc;
    shape.columns[1].has_default = true;
    EXPECT_EQ(base::ReasonOf(PlanSchema(ToyDialect(false), wanted, shape, true, kAbcWritten).status()),
              "TYPE_CHANGED");
    wanted.emptied = true;
    const auto plan = PlanSchema(ToyDialect(false), wanted, shape, true, kAbcWritten);
    ASSERT_TRUE(plan.ok());
    EXPECT_THAT(plan->statements, ElementsAre(R"(ALTER TABLE "s"."t" ALTER COLUMN "b" DROP DEFAULT)",
                                              R"(ALTER TABLE "s"."t" ALTER COLUMN "b" TYPE odd USING NULL)"));
}

TEST(PlanSchema, AnEmptiedColumnThatWeMadeGetsTheNewTypeEvenWhereTheOldOneWouldDo) {
    WantedTable wanted = ById({From(1, "a", "small")});
    wanted.emptied = true;
    const TableShape shape = Shape({{"a", "large"}});
    const WrittenColumns ours{.source_table_id = 9, .columns = {{1, "a", "large"}}};
    const auto plan = PlanSchema(ToyDialect(false), wanted, shape, true, ours);
    ASSERT_TRUE(plan.ok());
    EXPECT_THAT(plan->statements,
                ElementsAre(R"(ALTER TABLE "s"."t" ALTER COLUMN "a" TYPE small USING NULL)"));
    const WrittenColumns chosen{.source_table_id = 9, .columns = {{1, "a", "small"}}};
    const auto kept = PlanSchema(ToyDialect(false), wanted, shape, true, chosen);
    ASSERT_TRUE(kept.ok());
    EXPECT_TRUE(kept->statements.empty()) << "somebody here has made it larger";
}

TEST(PlanSchema, AKeyOverADroppedColumnIsReplaced) {
    WantedTable wanted = ById({From(1, "a"), From(3, "c")});
    wanted.columns[1].key = true;
    wanted.key = {"c"};
    const auto plan = PlanSchema(
        ToyDialect(true), wanted,
        Shape({{"a", "small"}, {"b", "small", true, false, 1}, {"c", "small"}}, "t_pkey"), true, kAbcWritten);
    ASSERT_TRUE(plan.ok());
    EXPECT_THAT(plan->statements, ElementsAre(R"(ALTER TABLE "s"."t" DROP CONSTRAINT "t_pkey")",
                                              R"(ALTER TABLE "s"."t" ALTER COLUMN "b" DROP NOT NULL)"));
    EXPECT_EQ(plan->add_key, R"(ALTER TABLE "s"."t" ADD PRIMARY KEY ("c"))");
}

}  // namespace
}  // namespace millrace::sql
