#include "connectors/sdk/schema.h"

#include <gtest/gtest.h>

#include <functional>
#include <set>

namespace millrace::sdk {
namespace {

TableSchema Orders() {
    TableSchema schema;
    schema.source = "postgres";
    schema.schema = "public";
    schema.table = "orders";
    schema.source_table_id = 16384;
    schema.columns = {
        {.name = "id",
         .source_type = "bigint",
         .type = LogicalType::kInt64,
         .nullable = false,
         .key_ordinal = 2,
         .source_id = 1},
        {.name = "region", .source_type = "text", .nullable = false, .key_ordinal = 1, .source_id = 2},
        {.name = "total",
         .source_type = "numeric(10,2)",
         .type = LogicalType::kNumeric,
         .precision = 10,
         .scale = 2,
         .source_id = 4},
    };
    return schema;
}

TEST(TableSchema, KeyColumnsComeInKeyOrder) {
    TableSchema schema = Orders();
    EXPECT_EQ(schema.KeyColumns(), (std::vector<int>{1, 0}));
    schema.append_only = true;
    EXPECT_TRUE(schema.KeyColumns().empty());
    EXPECT_EQ(schema.DisplayName(), "public.orders");
}

// Records in Kafka carry this id: if this test fails, the form has changed and every stored record is
// orphaned.
TEST(ComputeSchemaId, IsTheSameForever) {
    EXPECT_EQ(ComputeSchemaId(TableSchema()), 0xa09d945a1cd8d6e5ULL);
    EXPECT_EQ(ComputeSchemaId(Orders()), 0x1eeaf43a6dd3ad8dULL);
}

TEST(ComputeSchemaId, EveryFieldCounts) {
    const std::function<void(TableSchema&)> kChanges[] = {
        [](TableSchema& s) { s.source = "mysql"; },
        [](TableSchema& s) { s.schema = "private"; },
        [](TableSchema& s) { s.table = "order"; },
        [](TableSchema& s) { s.source_table_id = 16385; },
        [](TableSchema& s) { s.append_only = true; },
        [](TableSchema& s) { s.columns.pop_back(); },
        [](TableSchema& s) { std::swap(s.columns[0], s.columns[1]); },
        [](TableSchema& s) { s.columns[0].name = "key"; },
        [](TableSchema& s) { s.columns[0].source_type = "int8"; },
        [](TableSchema& s) { s.columns[0].type = LogicalType::kInt32; },
        [](TableSchema& s) { s.columns[0].element = LogicalType::kInt32; },
        [](TableSchema& s) { s.columns[2].precision = 11; },
        [](TableSchema& s) { s.columns[2].scale = -1; },
        [](TableSchema& s) { s.columns[0].nullable = true; },
        [](TableSchema& s) { s.columns[0].key_ordinal = 0; },
        [](TableSchema& s) { s.columns[0].source_id = 9; },
        [](TableSchema& s) { s.columns[0].declared_type = "public.id"; },
    };
    std::set<uint64_t> ids = {ComputeSchemaId(Orders())};
    for (const auto& change : kChanges) {
        TableSchema changed = Orders();
        change(changed);
        EXPECT_TRUE(ids.insert(ComputeSchemaId(changed)).second)
            << "change " << ids.size() << " did not count";
    }
}

TEST(ComputeSchemaId, TextCannotMoveBetweenFields) {
    TableSchema one;
    one.schema = "ab";
    one.table = "c";
    TableSchema other;
    other.schema = "a";
    other.table = "bc";
    EXPECT_NE(ComputeSchemaId(one), ComputeSchemaId(other));
}

TEST(ComputeSchemaId, TheStoredIdIsNotPartOfItself) {
    TableSchema schema = Orders();
    const uint64_t id = ComputeSchemaId(schema);
    schema.id = 77;
    EXPECT_EQ(ComputeSchemaId(schema), id);
}

}  // namespace
}  // namespace millrace::sdk
