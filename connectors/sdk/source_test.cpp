#include "connectors/sdk/source.h"

#include <gtest/gtest.h>

#include <string>

namespace millrace::sdk {
namespace {

bool Selects(std::vector<std::string> tables, std::vector<std::string> exclude, const std::string& schema,
             const std::string& table) {
    return TableSelection{std::move(tables), std::move(exclude)}.Selects(schema, table);
}

TEST(TableSelection, MatchesGlobsOverSchemaAndTable) {
    EXPECT_TRUE(Selects({"*.*"}, {}, "public", "orders"));
    EXPECT_TRUE(Selects({"public.*"}, {}, "public", "orders"));
    EXPECT_FALSE(Selects({"public.*"}, {}, "private", "orders"));
    EXPECT_TRUE(Selects({"public.order?"}, {}, "public", "orders"));
    EXPECT_FALSE(Selects({"public.order?"}, {}, "public", "order"));
    EXPECT_TRUE(Selects({"public.orders"}, {}, "public", "orders"));
    EXPECT_FALSE(Selects({"public.orders"}, {}, "public", "orders2"));
    EXPECT_FALSE(Selects({"public.orders"}, {}, "Public", "orders"));
    EXPECT_TRUE(Selects({"*.o*r*s"}, {}, "public", "orders"));
    EXPECT_TRUE(Selects({"public.b", "public.o*"}, {}, "public", "orders"));
}

TEST(TableSelection, ExclusionWins) {
    EXPECT_FALSE(Selects({"*.*"}, {"public.audit_*"}, "public", "audit_log"));
    EXPECT_TRUE(Selects({"*.*"}, {"public.audit_*"}, "public", "orders"));
    EXPECT_FALSE(Selects({"public.orders"}, {"*.*"}, "public", "orders"));
}

TEST(TableSelection, NothingIsSelectedByNoGlob) {
    EXPECT_FALSE(Selects({}, {}, "public", "orders"));
    EXPECT_FALSE(Selects({""}, {}, "public", "orders"));
}

TEST(TableSelection, OtherCharactersMeanThemselves) {
    EXPECT_TRUE(Selects({"a[b].c+d"}, {}, "a[b]", "c+d"));
    EXPECT_FALSE(Selects({"publicXorders"}, {}, "public", "orders"));
}

TEST(TableSelection, ManyStarsStayFast) {
    std::string glob;
    for (int i = 0; i < 30; ++i) {
        glob += "a*";
    }
    EXPECT_FALSE(Selects({glob + "b"}, {}, std::string(2000, 'a'), "a"));
}

}  // namespace
}  // namespace millrace::sdk
