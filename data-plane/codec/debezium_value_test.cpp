#include "data-plane/codec/debezium_value.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "base/time_text.h"
#include "data-plane/codec/base64.h"
#include "data-plane/codec/decimal_bytes.h"
#include "data-plane/codec/debezium_types.h"
#include "data-plane/codec/json_text.h"

namespace millrace::codec {
namespace {

using sdk::LogicalType;

sdk::Column ColumnOf(LogicalType type, std::string source_type = "", int precision = -1, int scale = -1) {
    sdk::Column column;
    column.type = type;
    column.source_type = std::move(source_type);
    column.precision = precision;
    column.scale = scale;
    return column;
}

struct Case final {
    sdk::Column column;
    std::string text;
    std::string json;
    bool exact = true;
};

TEST(DebeziumValue, DebeziumsDefaults) {
    sdk::Column array = ColumnOf(LogicalType::kArray, "integer[]");
    array.element = LogicalType::kInt32;
    sdk::Column words = ColumnOf(LogicalType::kArray, "text[]");
    const Case cases[] = {
        {ColumnOf(LogicalType::kBoolean), "t", "true"},
        {ColumnOf(LogicalType::kInt16), "-32768", "-32768"},
        {ColumnOf(LogicalType::kInt64), "9223372036854775807", "9223372036854775807"},
        {ColumnOf(LogicalType::kFloat64), "1e+300", "1e+300"},
        {ColumnOf(LogicalType::kFloat32), "-0", "-0"},
        {ColumnOf(LogicalType::kFloat64), "NaN", "\"NaN\""},
        {ColumnOf(LogicalType::kNumeric, "numeric(10,2)", 10, 2), "12.34", "\"BNI=\""},
        {ColumnOf(LogicalType::kNumeric, "numeric(10,2)", 10, 2), "-0.01", "\"/w==\""},
        {ColumnOf(LogicalType::kNumeric, "numeric(5,-2)", 5, -2), "1200", "\"DA==\""},
        {ColumnOf(LogicalType::kNumeric, "numeric(10,2)", 10, 2), "NaN", "null", false},
        {ColumnOf(LogicalType::kNumeric, "numeric"), "123.456", R"({"scale":3,"value":"AeJA"})"},
        {ColumnOf(LogicalType::kNumeric, "numeric"), "Infinity", "null", false},
        {ColumnOf(LogicalType::kBytes), "\\x00ff", "\"AP8=\""},
        {ColumnOf(LogicalType::kDate), "1970-01-02", "1"},
        {ColumnOf(LogicalType::kDate), "0044-03-15 BC", "-735160"},
        {ColumnOf(LogicalType::kDate), "infinity", "null", false},
        {ColumnOf(LogicalType::kTime, "time without time zone"), "00:00:01.5", "1500000"},
        {ColumnOf(LogicalType::kTime, "time without time zone"), "24:00:00", "86400000000"},
        {ColumnOf(LogicalType::kTime, "time(2) without time zone"), "00:00:01.5", "1500"},
        {ColumnOf(LogicalType::kTimestamp, "timestamp without time zone"), "1970-01-01 00:00:01.000001",
         "1000001"},
        {ColumnOf(LogicalType::kTimestamp, "timestamp(3) without time zone"), "1969-12-31 23:59:59.999", "-1"},
        {ColumnOf(LogicalType::kTimestamp, "timestamp(6) without time zone"), "294276-12-31 23:59:59.999999",
         "null", false},
        {ColumnOf(LogicalType::kTimestampTz), "2024-02-29 12:00:00.5+00", "\"2024-02-29T12:00:00.5Z\""},
        {ColumnOf(LogicalType::kTimestampTz), "infinity", "null", false},
        {ColumnOf(LogicalType::kTimeTz), "12:30:00+05:30", "\"07:00:00Z\"", false},
        {ColumnOf(LogicalType::kTimeTz), "12:30:00+00", "\"12:30:00Z\""},
        {ColumnOf(LogicalType::kInterval), "1 mon 2 days -00:00:01", "2802599000000", false},
        {ColumnOf(LogicalType::kText), "a\"\\\n\x01ä", "\"a\\\"\\\\\\u000a\\u0001ä\""},
        {ColumnOf(LogicalType::kText), "a\xff", "\"a\xEF\xBF\xBD\"", false},
        {array, "{1,NULL,-3}", "[1,null,-3]", false},
        {array, "[0:1]={1,2}", "null", false},
        {array, "{{1,2},{3,4}}", "null", false},
        {words, R"({a,"b,\"c",NULL,"NULL",""})", R"(["a","b,\"c",null,"NULL",""])", false},
    };
    for (const Case& one : cases) {
        std::string json;
        EXPECT_EQ(AppendCellValue(one.column, one.text, json), one.exact) << one.text;
        EXPECT_EQ(json, one.json) << one.text;
    }
}

TEST(DebeziumValue, AnyTextOfAnyTypeIsExactOrSaidNotToBe) {
    EXPECT_TRUE(rc::check("text(value(t)) == t where it is said", [] {
        const auto type = static_cast<LogicalType>(*rc::gen::inRange(0, 19));
        sdk::Column column = ColumnOf(type, *rc::gen::element<std::string>("", "time(3)", "timestamp(6)"),
                                      *rc::gen::inRange(-1, 8), *rc::gen::inRange(-3, 8));
        column.element = static_cast<LogicalType>(*rc::gen::inRange(0, 19));
        const std::string text = *rc::gen::container<std::string>(
            rc::gen::elementOf(std::string("0123456789.-+: eTZtf{},\"\\xab\xc3\xa4")));
        std::string json;
        const bool exact = AppendCellValue(column, text, json);
        std::string_view raw;
        RC_ASSERT(JsonReader(json).Raw(raw));
        RC_ASSERT(raw == json);
        if (exact) {
            std::string again;
            RC_ASSERT(AppendCellText(column, json, again));
            RC_ASSERT(again == text);
        }
    }));
}

TEST(DecimalBytes, EveryLengthComesBack) {
    EXPECT_TRUE(rc::check("decimal(bytes(d)) == d", [] {
        const int scale = *rc::gen::inRange(0, 40);
        std::string digits =
            *rc::gen::container<std::string>(static_cast<std::size_t>(*rc::gen::inRange(scale + 1, scale + 80)),
                                             rc::gen::inRange<char>('0', '9' + 1));
        std::string whole = digits.substr(0, digits.size() - static_cast<std::size_t>(scale));
        whole.erase(0, std::min(whole.find_first_not_of('0'), whole.size() - 1));
        std::string text = whole + (scale > 0 ? "." + digits.substr(digits.size() - static_cast<std::size_t>(scale)) : "");
        const bool zero = text.find_first_not_of("0.") == std::string::npos;
        text = (!zero && *rc::gen::arbitrary<bool>() ? "-" : "") + text;
        std::string bytes;
        std::string again;
        RC_ASSERT(DecimalToBytes(text, scale, bytes));
        RC_ASSERT(BytesToDecimal(bytes, scale, again));
        RC_ASSERT(again == text);
    }));
}

TEST(TimeText, EveryDateAndTimestampComesBack) {
    EXPECT_TRUE(rc::check("number(text(n)) == n", [] {
        const auto days = *rc::gen::inRange<int64_t>(-1'700'000'000, 1'700'000'000);
        std::string text;
        RC_ASSERT(base::AppendDate(days, text));
        RC_ASSERT(base::DaysOfDate(text) == days);
        const auto micros = *rc::gen::inRange<int64_t>(-9'000'000'000'000'000'000, 9'000'000'000'000'000'000);
        text.clear();
        RC_ASSERT(base::AppendTimestamp(micros, text));
        RC_ASSERT(base::MicrosOfTimestamp(text) == micros);
    }));
}

TEST(Base64, AnyBytesComeBack) {
    EXPECT_TRUE(rc::check("bytes(base64(b)) == b", [] {
        const auto bytes = *rc::gen::arbitrary<std::string>();
        std::string text;
        std::string again;
        AppendBase64(bytes, text);
        RC_ASSERT(DecodeBase64(text, again));
        RC_ASSERT(again == bytes);
    }));
}

}  // namespace
}  // namespace millrace::codec
