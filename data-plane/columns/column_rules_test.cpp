#include "data-plane/columns/column_rules.h"

#include <gtest/gtest.h>

#include "base/status.h"

namespace millrace::columns {
namespace {

using Rules = std::vector<config::ColumnRule>;

const ColumnRules kRules(Rules{{.table = "public.people", .exclude = {"ssn"}, .hash = {"email"}},
                               {.table = "public.*", .hash = {"phone"}},
                               {.table = "sales.orders", .include = {"id", "total"}, .hash = {"buyer"}}});

sdk::SourceTable Table(const std::string& schema, const std::string& table) {
    sdk::SourceTable made;
    made.schema = schema;
    made.table = table;
    made.key = {"id"};
    return made;
}

TEST(ColumnRules, EveryRuleThatMatchesCounts) {
    EXPECT_EQ(kRules.Of("public", "people", "ssn"), Treatment::kDrop);
    EXPECT_EQ(kRules.Of("public", "people", "email"), Treatment::kHash);
    EXPECT_EQ(kRules.Of("public", "people", "phone"), Treatment::kHash);
    EXPECT_EQ(kRules.Of("public", "people", "name"), Treatment::kKeep);
    EXPECT_EQ(kRules.Of("public", "other", "ssn"), Treatment::kKeep);
    EXPECT_EQ(kRules.Of("sales", "orders", "total"), Treatment::kKeep);
    EXPECT_EQ(kRules.Of("sales", "orders", "buyer"), Treatment::kHash) << "hashed columns are included";
    EXPECT_EQ(kRules.Of("sales", "orders", "added later"), Treatment::kDrop);
    const ColumnRules both(Rules{{.table = "*.*", .hash = {"a"}}, {.table = "s.t", .exclude = {"a"}}});
    EXPECT_EQ(both.Of("s", "t", "a"), Treatment::kDrop) << "what one rule leaves out no other brings back";
}

TEST(ColumnRules, PolicyDiffersWhenTheTablesRulesDo) {
    const auto of = [](const ColumnRules& rules, const char* key_id) {
        return rules.PolicyOf("s", "t", key_id);
    };
    const uint64_t one = of(ColumnRules(Rules{{.table = "s.t", .exclude = {"a", "b"}}}), "k");
    EXPECT_NE(one, 0U);
    EXPECT_EQ(one,
              of(ColumnRules(Rules{{.table = "s.*", .exclude = {"b", "a"}}, {.table = "s.u", .hash = {"x"}}}),
                 "k"));
    EXPECT_EQ(one, of(ColumnRules(Rules{{.table = "s.t", .exclude = {"a", "b"}}}), "another key"))
        << "nothing is hashed";
    EXPECT_NE(one, of(ColumnRules(Rules{{.table = "s.t", .exclude = {"a"}}}), "k"));
    EXPECT_NE(one, of(ColumnRules(Rules{{.table = "s.t", .hash = {"a", "b"}}}), "k"));
    const ColumnRules hashed(Rules{{.table = "s.t", .hash = {"a"}}});
    EXPECT_NE(of(hashed, "k"), of(hashed, "l")) << "another key makes other hashes";
    EXPECT_EQ(of(ColumnRules(Rules{{.table = "s.u", .exclude = {"a"}}}), "k"), 0U);
}

TEST(ColumnRules, WhatFitsNoTableIsFound) {
    const ColumnRules rules(Rules{{.table = "public.people", .exclude = {"id", "gone"}},
                                  {.table = "nowhere.*", .exclude = {"x"}},
                                  {.table = "public.*", .hash = {"name", "mistyped"}}});
    const sdk::Findings findings =
        rules.Check({Table("public", "people"), Table("public", "other")}, {{"id", "name"}, {"id"}});
    std::vector<std::string> codes;
    for (const sdk::Finding& finding : findings) {
        codes.push_back(finding.code + " " + finding.subject);
        EXPECT_EQ(finding.severity, sdk::Severity::kCritical);
        EXPECT_NE(finding.remedy, "");
    }
    EXPECT_EQ(codes, (std::vector<std::string>{"COLUMN_KEY_EXCLUDED public.people",
                                               "COLUMN_TABLE_UNKNOWN nowhere.*", "COLUMN_UNKNOWN public.*"}));
    EXPECT_TRUE(kRules.CheckTable(Table("public", "people"), {"id", "ssn", "email"}).ok());
    EXPECT_EQ(base::ReasonOf(kRules.CheckTable(Table("public", "people"), {"id", "tax_id", "email"})),
              "COLUMN_UNKNOWN");
}

}  // namespace
}  // namespace millrace::columns
