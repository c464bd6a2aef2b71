#include "connectors/postgres/copy_binary.h"

#include <gtest/gtest.h>

#include "connectors/sdk/testing/batch_builder.h"

namespace millrace::postgres {
namespace {

using sdk::testing::BatchBuilder;
using sdk::testing::MakeColumn;
using sdk::testing::MakeSchema;

sql::LoadTable OneColumn(const std::string& type) {
    sql::LoadTable table{.schema = "s", .table = "t"};
    table.columns = {{.name = "v", .type = type}};
    return table;
}

/// The field of `text` in hexadecimal, without its length; "none" when it has no form.
std::string Field(const std::string& type, const char* text) {
    const auto schema = MakeSchema("t", {MakeColumn("v", type)});
    const sdk::Batch batch = BatchBuilder(schema).Full({text}).Build(0, 1);
    const sql::LoadTable table = OneColumn(type);
    const auto binary = CopyBinary::For(table);
    std::string out;
    if (!binary || !binary->AppendRow(out, batch, 0)) {
        return "none";
    }
    EXPECT_EQ(out.substr(0, 2), std::string("\0\1", 2));
    const std::string_view field = std::string_view(out).substr(6);
    EXPECT_EQ(static_cast<size_t>(static_cast<unsigned char>(out[5])), text == nullptr ? 255U : field.size());
    std::string hex;
    for (const char c : field) {
        constexpr std::string_view kDigits = "0123456789abcdef";
        hex.push_back(kDigits[static_cast<unsigned char>(c) >> 4U]);
        hex.push_back(kDigits[static_cast<unsigned char>(c) & 0xFU]);
    }
    return hex;
}

// What servers send for these values in binary form.
TEST(CopyBinary, WritesWhatServersSend) {
    EXPECT_EQ(Field("boolean", "t"), "01");
    EXPECT_EQ(Field("smallint", "-2"), "fffe");
    EXPECT_EQ(Field("integer", "258"), "00000102");
    EXPECT_EQ(Field("bigint", "-1"), "ffffffffffffffff");
    EXPECT_EQ(Field("real", "1.5"), "3fc00000");
    EXPECT_EQ(Field("double precision", "-0"), "8000000000000000");
    EXPECT_EQ(Field("text", "ab"), "6162");
    EXPECT_EQ(Field("jsonb", "1"), "0131");
    EXPECT_EQ(Field("bytea", "\\x00ff"), "00ff");
    EXPECT_EQ(Field("uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), "a0eebc999c0b4ef8bb6d6bb9bd380a11");
    EXPECT_EQ(Field("date", "2000-01-02"), "00000001");
    EXPECT_EQ(Field("time without time zone", "00:00:01"), "00000000000f4240");
    EXPECT_EQ(Field("timestamp(3) without time zone", "1999-12-31 23:59:59"), "fffffffffff0bdc0");
    EXPECT_EQ(Field("timestamp with time zone", "2000-01-01 00:00:00.000001+00"), "0000000000000001");
    EXPECT_EQ(Field("timestamp with time zone", "infinity"), "7fffffffffffffff");
    EXPECT_EQ(Field("numeric(12,2)", "0.00"), "0000000000000002");
    EXPECT_EQ(Field("numeric", "12345.67"), "000300010000000200010929" "1a2c");
    EXPECT_EQ(Field("numeric", "-0.0001"), "0001ffff400000040001");
    EXPECT_EQ(Field("numeric", "100000000"), "00010002000000000001");
    EXPECT_EQ(Field("text", nullptr), "");
}

TEST(CopyBinary, LeavesToTheServerWhatItDoesNotKnow) {
    for (const char* type : {"money", "text[]", "public.mood", "interval", "time with time zone", "\"char\""}) {
        EXPECT_FALSE(CopyBinary::For(OneColumn(type)).has_value()) << type;
    }
    EXPECT_EQ(Field("numeric", "NaN"), "none");
    EXPECT_EQ(Field("numeric", "1e5"), "none");
    EXPECT_EQ(Field("numeric", "1."), "none");
    EXPECT_EQ(Field("numeric", "-"), "none");
    EXPECT_EQ(Field("integer", "12x"), "none");
    EXPECT_EQ(Field("integer", "3000000000"), "none");
    EXPECT_EQ(Field("boolean", "yes"), "none");
    EXPECT_EQ(Field("bytea", "\\x0"), "none");
    EXPECT_EQ(Field("bytea", "abc"), "none");
    EXPECT_EQ(Field("uuid", "a0eebc99"), "none");
    EXPECT_EQ(Field("timestamp with time zone", "2000-01-01 00:00:00+02"), "none");
    EXPECT_EQ(Field("timestamp with time zone", "0044-03-15 12:00:00+00 BC"), "none");
}

}  // namespace
}  // namespace millrace::postgres
