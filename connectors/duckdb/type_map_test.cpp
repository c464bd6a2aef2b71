#include "connectors/duckdb/type_map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <optional>

#include "connectors/duckdb/dialect.h"
#include "connectors/duckdb/engine.h"

namespace millrace::duckdb {
namespace {

using sdk::LogicalType;
using sql::TypeFit;

std::string Numeric(int precision, int scale) {
    sdk::Column column;
    column.type = LogicalType::kNumeric;
    column.precision = precision;
    column.scale = scale;
    return TypeFor(column, true);
}

TEST(TypeFor, KeepsNumericExact) {
    EXPECT_EQ(Numeric(10, 2), "DECIMAL(10,2)");
    EXPECT_EQ(Numeric(38, 38), "DECIMAL(38,38)");
    EXPECT_EQ(Numeric(39, 2), "VARCHAR");
    EXPECT_EQ(Numeric(-1, -1), "VARCHAR");
    // numeric(3,5): 0.00001 to 0.00999. numeric(3,-2): whole hundreds below 100000.
    EXPECT_EQ(Numeric(3, 5), "DECIMAL(5,5)");
    EXPECT_EQ(Numeric(3, -2), "DECIMAL(5,0)");
    EXPECT_EQ(Numeric(37, -2), "VARCHAR");
}

TEST(TypeFor, JsonIsTextWithoutTheType) {
    sdk::Column column;
    column.type = LogicalType::kJson;
    EXPECT_EQ(TypeFor(column, true), "JSON");
    EXPECT_EQ(TypeFor(column, false), "VARCHAR");
}

TEST(CompareTypes, LeavesWhatHoldsEveryValue) {
    for (const auto& [existing, wanted] :
         std::vector<std::pair<std::string, std::string>>{{"BIGINT", "INTEGER"},
                                                          {"DECIMAL(12,2)", "DECIMAL(10,2)"},
                                                          {"DECIMAL(10,0)", "INTEGER"},
                                                          {"DOUBLE", "INTEGER"},
                                                          {"VARCHAR", "TIMESTAMP"},
                                                          {"DATE", "DATE"}}) {
        EXPECT_EQ(CompareTypes(existing, wanted), TypeFit::kFits) << existing << " " << wanted;
    }
}

TEST(CompareTypes, WidensWithoutLoss) {
    for (const auto& [existing, wanted] :
         std::vector<std::pair<std::string, std::string>>{{"SMALLINT", "BIGINT"},
                                                          {"INTEGER", "DECIMAL(12,2)"},
                                                          {"DECIMAL(10,2)", "DECIMAL(12,4)"},
                                                          {"FLOAT", "DOUBLE"},
                                                          {"UUID", "VARCHAR"},
                                                          {"DECIMAL(10,2)", "VARCHAR"}}) {
        EXPECT_EQ(CompareTypes(existing, wanted), TypeFit::kWiden) << existing << " " << wanted;
    }
}

TEST(CompareTypes, RefusesWhatLoses) {
    for (const auto& [existing, wanted] :
         std::vector<std::pair<std::string, std::string>>{{"DECIMAL(10,2)", "DECIMAL(10,4)"},
                                                          {"DECIMAL(9,0)", "INTEGER"},
                                                          {"INTEGER", "DECIMAL(10,2)"},
                                                          {"DOUBLE", "FLOAT"},
                                                          {"DOUBLE", "BIGINT"},
                                                          {"FLOAT", "INTEGER"},
                                                          {"BIGINT", "DOUBLE"},
                                                          {"TIMESTAMP", "TIMESTAMP WITH TIME ZONE"},
                                                          {"TIMESTAMP", "DATE"},
                                                          {"VARCHAR", "BLOB"},
                                                          {"BLOB", "VARCHAR"},
                                                          {"DOUBLE", "VARCHAR"},
                                                          {"VARCHAR[]", "VARCHAR"}}) {
        EXPECT_EQ(CompareTypes(existing, wanted), TypeFit::kClash) << existing << " " << wanted;
    }
}

std::optional<std::string> Rewritten(const std::string& type, std::string_view text) {
    std::string scratch;
    std::string_view result;
    if (!RewriteCell(FormFor(type), ScaleOf(type), text, scratch, result)) {
        return std::nullopt;
    }
    return std::string(result);
}

TEST(RewriteCell, DecodesBytes) {
    EXPECT_EQ(Rewritten("BLOB", "\\x00ffAb"), std::string("\x00\xff\xab", 3));
    EXPECT_EQ(Rewritten("BLOB", "\\x"), "");
    EXPECT_EQ(Rewritten("BLOB", "\\x0"), std::nullopt);
    EXPECT_EQ(Rewritten("BLOB", "\\x0g"), std::nullopt);
    EXPECT_EQ(Rewritten("BLOB", "abc"), std::nullopt);
    EXPECT_EQ(Rewritten("BLOB", ""), std::nullopt);
}

TEST(RewriteCell, MovesTheEraBehindTheDate) {
    EXPECT_EQ(Rewritten("DATE", "0044-03-15 BC"), "0044-03-15 (BC)");
    EXPECT_EQ(Rewritten("TIMESTAMP", "0044-03-15 10:00:00.5 BC"), "0044-03-15 (BC) 10:00:00.5");
    EXPECT_EQ(Rewritten("TIMESTAMP WITH TIME ZONE", "0044-03-15 10:00:00+00 BC"),
              "0044-03-15 (BC) 10:00:00+00");
    EXPECT_EQ(Rewritten("TIMESTAMP", "2024-03-15 10:00:00"), "2024-03-15 10:00:00");
    EXPECT_EQ(Rewritten("VARCHAR", "0044-03-15 BC"), "0044-03-15 BC");
}

TEST(RewriteCell, RefusesDigitsThatWouldBeRounded) {
    EXPECT_EQ(Rewritten("DECIMAL(10,2)", "1.25"), "1.25");
    EXPECT_EQ(Rewritten("DECIMAL(10,2)", "-7"), "-7");
    EXPECT_EQ(Rewritten("DECIMAL(10,2)", "1.255"), std::nullopt);
    EXPECT_EQ(Rewritten("DECIMAL(10,0)", "1.5"), std::nullopt);
}

TEST(RewriteCell, DropsPlusFromIntervals) {
    EXPECT_EQ(Rewritten("INTERVAL", "-1 years -2 mons +3 days -04:05:06"),
              "-1 years -2 mons 3 days -04:05:06");
}

TEST(IsUtf8, TellsValidFromInvalid) {
    for (const std::string_view text :
         {"", "plain text, longer than a word",
          "gr\xc3\xbc\xc3\x9f"
          "e aus K\xc3\xb6ln",
          "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xed\x9f\xbf", "\xf4\x8f\xbf\xbf"}) {
        EXPECT_TRUE(IsUtf8(text)) << text;
    }
    for (const std::string_view text :
         {"\xff", "1234567\xc3", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
          "\xf0\x80\x80\x80", "\x80", "12345678\xe2\x82", "\xe2\x28\xa1"}) {
        EXPECT_FALSE(IsUtf8(text));
    }
}

TEST(ColumnNames, AreDistinctWithoutCase) {
    sdk::TableSchema schema;
    for (const char* name : {"id", "ID", "Id", "id_2", "name"}) {
        sdk::Column column;
        column.name = name;
        schema.columns.push_back(column);
    }
    EXPECT_THAT(DuckDbDialect().ColumnNames(schema),
                testing::ElementsAre("id", "ID_3", "Id_4", "id_2", "name"));
}

}  // namespace
}  // namespace millrace::duckdb
