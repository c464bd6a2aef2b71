#include "connectors/postgres/type_name.h"

#include <gtest/gtest.h>

#include <tuple>

namespace millrace::postgres {
namespace {

using sql::TypeFit;

TypeFit FitOf(const std::string& existing, const std::string& wanted) {
    return Fit(TypeName::Parse(existing), TypeName::Parse(wanted));
}

TEST(TypeName, ReadsAndWritesFormatTypesSpelling) {
    for (const char* text :
         {"bigint", "numeric(10,2)", "numeric(3,-2)", "character varying(20)", "timestamp(3) with time zone",
          "time(0) without time zone[]", "integer[]", "bit varying(5)", "interval day to second",
          "\"odd (1)\"", "geometry(Point,4326)", "text"}) {
        EXPECT_EQ(TypeName::Parse(text).ToString(), text);
    }
    const TypeName type = TypeName::Parse("timestamp(3) with time zone[]");
    EXPECT_EQ(type.base, "timestamp with time zone");
    EXPECT_EQ(type.modifiers, std::vector<int>{3});
    EXPECT_TRUE(type.array);
}

TEST(TypeName, WidensAlongTheLadder) {
    for (const auto& [small, large] : std::vector<std::pair<const char*, const char*>>{
             {"smallint", "integer"},
             {"integer", "bigint"},
             {"bigint", "numeric"},
             {"integer", "numeric(12,2)"},
             {"numeric(10,2)", "numeric(12,2)"},
             {"numeric(10,2)", "numeric(12,4)"},
             {"numeric(10,2)", "numeric"},
             {"character varying(10)", "character varying(20)"},
             {"character varying(10)", "character varying"},
             {"character varying(10)", "text"},
             {"character(3)", "character(5)"},
             {"real", "double precision"},
             {"timestamp(3) with time zone", "timestamp with time zone"},
             {"time(0) without time zone", "time(3) without time zone"},
             {"interval day to second", "interval"},
             {"bit varying(3)", "bit varying(9)"},
             {"integer[]", "bigint[]"}}) {
        EXPECT_EQ(FitOf(small, large), TypeFit::kWiden) << small << " to " << large;
        EXPECT_EQ(FitOf(large, small), TypeFit::kFits) << large << " for " << small;
        EXPECT_EQ(FitOf(small, small), TypeFit::kFits) << small;
    }
}

TEST(TypeName, TextHoldsEverything) {
    for (const char* wanted : {"integer", "jsonb", "character varying(3)", "bytea", "integer[]"}) {
        EXPECT_EQ(FitOf("text", wanted), TypeFit::kFits) << wanted;
    }
    EXPECT_EQ(FitOf("text[]", "integer[]"), TypeFit::kClash)
        << "the elements are joined and compared elsewhere";
}

TEST(TypeName, RefusesWhatMightLose) {
    for (const auto& [existing, wanted] : std::vector<std::pair<const char*, const char*>>{
             {"integer", "text"},
             {"integer", "date"},
             {"numeric(12,2)", "numeric(12,4)"},
             {"timestamp with time zone", "timestamp without time zone"},
             {"json", "jsonb"},
             {"integer", "integer[]"},
             {"character(3)", "character varying(3)"},
             {"uuid", "bytea"},
             {"boolean", "integer"}}) {
        EXPECT_EQ(FitOf(existing, wanted), TypeFit::kClash) << existing << " to " << wanted;
    }
}

TEST(TypeName, KnowsWhatTravels) {
    for (const char* text : {"bigint", "timestamp(3) with time zone", "interval year to month", "\"char\"",
                             "jsonb", "integer[]", "tsvector", "int4range"}) {
        EXPECT_TRUE(IsPortable(TypeName::Parse(text))) << text;
    }
    for (const char* text : {"aclitem", "mood", "shop.mood", "hstore"}) {
        EXPECT_FALSE(IsPortable(TypeName::Parse(text))) << text;
    }
    EXPECT_TRUE(IsServerBound(TypeName::Parse("aclitem")));
    EXPECT_FALSE(IsServerBound(TypeName::Parse("hstore")));
}

TEST(TypeName, OfOtherSources) {
    sdk::Column column;
    column.type = sdk::LogicalType::kNumeric;
    EXPECT_EQ(TypeOf(column).ToString(), "numeric");
    column.precision = 10;
    column.scale = 2;
    EXPECT_EQ(TypeOf(column).ToString(), "numeric(10,2)");
    column.type = sdk::LogicalType::kArray;
    column.element = sdk::LogicalType::kTimestampTz;
    EXPECT_EQ(TypeOf(column).ToString(), "timestamp with time zone[]");
    column.type = sdk::LogicalType::kEnum;
    EXPECT_EQ(TypeOf(column).ToString(), "text");
}

}  // namespace
}  // namespace millrace::postgres
