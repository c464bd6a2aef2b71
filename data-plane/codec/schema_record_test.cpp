#include "base/status.h"
#include "data-plane/codec/event_codec.h"
#include "gtest/gtest.h"

namespace millrace::codec {
namespace {

sdk::TableSchema Orders() {
    sdk::TableSchema schema;
    schema.source = "postgres";
    schema.schema = "public";
    schema.table = "orders";
    schema.source_table_id = 16384;
    schema.columns.resize(3);
    schema.columns[0] = {.name = "id",
                         .source_type = "bigint",
                         .type = sdk::LogicalType::kInt64,
                         .nullable = false,
                         .key_ordinal = 1,
                         .source_id = 1};
    schema.columns[1] = {.name = "total",
                         .source_type = "numeric(10,2)",
                         .type = sdk::LogicalType::kNumeric,
                         .precision = 10,
                         .scale = 2,
                         .source_id = 2};
    schema.columns[2] = {.name = "tags",
                         .source_type = "text[]",
                         .type = sdk::LogicalType::kArray,
                         .element = sdk::LogicalType::kText,
                         .source_id = 4,
                         .declared_type = "public.tags",
                         .fill = std::string("{a\0b}", 5),
                         .labels = {"a", "", "it's"},
                         .source_version = 4711};
    schema.storage = "files/4";
    schema.id = sdk::ComputeSchemaId(schema);
    return schema;
}

TEST(SchemaRecord, ComesBackWhole) {
    for (const bool append_only : {false, true}) {
        sdk::TableSchema schema = Orders();
        schema.append_only = append_only;
        const auto back = DecodeSchema(EncodeSchema(schema));
        ASSERT_TRUE(back.ok()) << back.status();
        EXPECT_EQ((*back)->source, schema.source);
        EXPECT_EQ((*back)->schema, schema.schema);
        EXPECT_EQ((*back)->table, schema.table);
        EXPECT_EQ((*back)->source_table_id, schema.source_table_id);
        EXPECT_EQ((*back)->append_only, append_only);
        EXPECT_EQ((*back)->columns, schema.columns);
        EXPECT_EQ((*back)->storage, schema.storage);
        EXPECT_EQ((*back)->id, schema.id);
        EXPECT_EQ(sdk::ComputeSchemaId(**back), sdk::ComputeSchemaId(schema));
    }
}

TEST(SchemaRecord, BadBytesAreDataLoss) {
    const std::string bytes = EncodeSchema(Orders());
    const auto cut = DecodeSchema(std::string_view(bytes).substr(0, bytes.size() - 1));
    EXPECT_EQ(cut.status().code(), absl::StatusCode::kDataLoss);
    sdk::TableSchema schema = Orders();
    schema.columns[0].type = static_cast<sdk::LogicalType>(9999);
    const auto unknown = DecodeSchema(EncodeSchema(schema));
    EXPECT_EQ(unknown.status().code(), absl::StatusCode::kDataLoss);
    EXPECT_NE(unknown.status().message().find("public.orders"), std::string::npos);
}

TEST(SchemaRecord, KeyIsSixteenHexDigits) {
    EXPECT_EQ(SchemaKey(0), "0000000000000000");
    EXPECT_EQ(SchemaKey(0x0123456789abcdefU), "0123456789abcdef");
    EXPECT_EQ(SchemaKey(~uint64_t{0}), "ffffffffffffffff");
}

}  // namespace
}  // namespace millrace::codec
