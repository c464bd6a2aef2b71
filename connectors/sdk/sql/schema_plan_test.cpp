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

}  // namespace
}  // namespace millrace::sql
