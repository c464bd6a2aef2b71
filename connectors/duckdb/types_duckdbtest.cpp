#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/status.h"
#include "connectors/duckdb/duckdb_fixture.h"

namespace millrace::duckdb {
namespace {

using sdk::Column;
using sdk::LogicalType;
using sdk::testing::BatchBuilder;
using sdk::testing::MakeColumn;
using sdk::testing::MakeSchema;

struct TypeCase final {
    LogicalType type;
    const char* destination;
    /// As PostgreSQL writes it.
    const char* text;
    /// As DuckDB writes it.
    const char* stored;
    int precision = -1;
    int scale = -1;
};

Column ColumnOf(const TypeCase& value) {
    Column column;
    column.name = "v";
    column.type = value.type;
    column.source_type = "of the test";
    column.precision = value.precision;
    column.scale = value.scale;
    return column;
}

class DuckDbTypes : public testing::Test {
 protected:
    absl::StatusOr<sdk::ApplyResult> Write(const Column& column, const char* text,
                                           std::string* table_name = nullptr) {
        const std::string table = "t" + std::to_string(tables_++);
        const auto writer = TakeOver(*destination_, table);
        const auto schema = MakeSchema(table, {MakeColumn("id", "bigint", 1), column});
        if (table_name != nullptr) {
            *table_name = table;
        }
        return writer->Apply(BatchBuilder(schema).Full({"1", text}).Full({"2", nullptr}).Build(0, 2));
    }

    int tables_ = 0;
    TestFolder folder_;
    DatabaseFiles files_;
    std::unique_ptr<sdk::Destination> destination_ = MakeTestDestination(files_, folder_.File());
};

TEST_F(DuckDbTypes, StoresExactly) {
    const std::vector<TypeCase> cases = {
        {LogicalType::kBoolean, "BOOLEAN", "t", "true"},
        {LogicalType::kBoolean, "BOOLEAN", "f", "false"},
        {LogicalType::kInt16, "SMALLINT", "-32768", "-32768"},
        {LogicalType::kInt32, "INTEGER", "2147483647", "2147483647"},
        {LogicalType::kInt64, "BIGINT", "-9223372036854775808", "-9223372036854775808"},
        {LogicalType::kFloat32, "FLOAT", "3.4028235e+38", "3.4028235e+38"},
        {LogicalType::kFloat32, "FLOAT", "1e-45", "1e-45"},
        {LogicalType::kFloat64, "DOUBLE", "0.1", "0.1"},
        {LogicalType::kFloat64, "DOUBLE", "5e-324", "5e-324"},
        {LogicalType::kFloat64, "DOUBLE", "1.7976931348623157e+308", "1.7976931348623157e+308"},
        {LogicalType::kFloat64, "DOUBLE", "NaN", "nan"},
        {LogicalType::kFloat64, "DOUBLE", "-Infinity", "-inf"},
        {LogicalType::kFloat64, "DOUBLE", "-0", "-0.0"},
        {LogicalType::kNumeric, "DECIMAL(10,2)", "-12345678.90", "-12345678.90", 10, 2},
        {LogicalType::kNumeric, "DECIMAL(38,10)", "1234567890123456789012345678.0123456789",
         "1234567890123456789012345678.0123456789", 38, 10},
        {LogicalType::kNumeric, "DECIMAL(5,0)", "12300", "12300", 3, -2},
        {LogicalType::kNumeric, "VARCHAR", "1.50000", "1.50000"},
        {LogicalType::kNumeric, "VARCHAR", "NaN", "NaN"},
        {LogicalType::kNumeric, "VARCHAR", "123456789012345678901234567890123456789012",
         "123456789012345678901234567890123456789012", 42, 0},
        {LogicalType::kText, "VARCHAR", "", ""},
        {LogicalType::kText, "VARCHAR", "gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80\n\t'\"\\",
         "gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80\n\t'\"\\"},
        {LogicalType::kBytes, "BLOB", "\\x0041ff", "\\x00A\\xFF"},
        {LogicalType::kBytes, "BLOB", "\\x", ""},
        {LogicalType::kDate, "DATE", "2024-02-29", "2024-02-29"},
        {LogicalType::kDate, "DATE", "5874897-12-31", "5874897-12-31"},
        {LogicalType::kDate, "DATE", "4713-01-01 BC", "4713-01-01 (BC)"},
        {LogicalType::kDate, "DATE", "infinity", "infinity"},
        {LogicalType::kDate, "DATE", "-infinity", "-infinity"},
        {LogicalType::kTime, "TIME", "23:59:59.999999", "23:59:59.999999"},
        {LogicalType::kTime, "TIME", "24:00:00", "24:00:00"},
        {LogicalType::kTimeTz, "TIME WITH TIME ZONE", "10:00:00.5+05:30:15", "10:00:00.5+05:30:15"},
        {LogicalType::kTimestamp, "TIMESTAMP", "2024-01-01 10:00:00.123456", "2024-01-01 10:00:00.123456"},
        {LogicalType::kTimestamp, "TIMESTAMP", "infinity", "infinity"},
        {LogicalType::kTimestamp, "TIMESTAMP", "12024-01-01 10:00:00", "12024-01-01 10:00:00"},
        {LogicalType::kTimestamp, "TIMESTAMP", "0044-03-15 10:00:00 BC", "0044-03-15 (BC) 10:00:00"},
        {LogicalType::kTimestampTz, "TIMESTAMP WITH TIME ZONE", "2024-01-01 10:00:00.5+00",
         "2024-01-01 10:00:00.5+00"},
        {LogicalType::kTimestampTz, "TIMESTAMP WITH TIME ZONE", "2024-01-01 10:00:00+05:30",
         "2024-01-01 04:30:00+00"},
        {LogicalType::kTimestampTz, "TIMESTAMP WITH TIME ZONE", "0001-12-31 10:00:00+00 BC",
         "0001-12-31 (BC) 10:00:00+00"},
        {LogicalType::kTimestampTz, "TIMESTAMP WITH TIME ZONE", "-infinity", "-infinity"},
        {LogicalType::kInterval, "INTERVAL", "-1 years -2 mons +3 days -04:05:06.789",
         "-1 year -2 months 3 days -04:05:06.789"},
        {LogicalType::kInterval, "INTERVAL", "100:00:00", "100:00:00"},
        {LogicalType::kUuid, "UUID", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
         "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
        {LogicalType::kJson, "JSON", "{\"a\": 1.0, \"b\": 123456789012345678901234567890}",
         "{\"a\": 1.0, \"b\": 123456789012345678901234567890}"},
        {LogicalType::kArray, "VARCHAR", "{1,NULL,\"a b\"}", "{1,NULL,\"a b\"}"},
        {LogicalType::kEnum, "VARCHAR", "happy", "happy"},
    };
    for (const TypeCase& value : cases) {
        std::string table;
        const auto result = Write(ColumnOf(value), value.text, &table);
        ASSERT_TRUE(result.ok()) << value.text << ": " << base::Describe(result.status());
        const auto types =
            QueryFile(files_, folder_.File(),
                      "SELECT data_type FROM duckdb_columns() WHERE column_name = 'v' AND table_name = '" +
                          table + "'");
        EXPECT_EQ(types.front()[0], value.destination) << value.text;
        const auto rows = QueryFile(files_, folder_.File(), "SELECT v FROM shop." + table + " ORDER BY id");
        ASSERT_EQ(rows.size(), 2U);
        EXPECT_EQ(rows[0][0], value.stored) << value.text;
        EXPECT_EQ(rows[1][0], std::nullopt);
    }
}

TEST_F(DuckDbTypes, RefusesWithNamesAndWithoutTheValue) {
    const std::vector<TypeCase> cases = {
        {LogicalType::kNumeric, "DECIMAL(10,2)", "NaN", "", 10, 2},
        {LogicalType::kNumeric, "DECIMAL(10,2)", "4711.001", "", 10, 2},
        {LogicalType::kNumeric, "DECIMAL(4,2)", "4711.00", "", 4, 2},
        {LogicalType::kTimestamp, "TIMESTAMP", "294276-12-31 23:59:59.999999", ""},
        {LogicalType::kInterval, "INTERVAL", "2562047788:00:54.775807", ""},
        {LogicalType::kInterval, "INTERVAL", "infinity", ""},
        {LogicalType::kJson, "JSON", "\"4711\\ud800\"", ""},
        {LogicalType::kBytes, "BLOB", "4711", ""},
        {LogicalType::kText, "VARCHAR", "4711\xff", ""},
        {LogicalType::kInt16, "SMALLINT", "4711000", ""},
    };
    for (const TypeCase& value : cases) {
        std::string table;
        const auto result = Write(ColumnOf(value), value.text, &table);
        EXPECT_EQ(result.status().code(), absl::StatusCode::kFailedPrecondition) << value.text;
        EXPECT_EQ(base::ReasonOf(result.status()), "VALUE_REJECTED") << value.text;
        const std::string said = base::Describe(result.status());
        EXPECT_THAT(said, testing::HasSubstr("column v of shop." + table)) << value.text;
        EXPECT_THAT(said, testing::Not(testing::HasSubstr("4711"))) << said;
    }
}

TEST_F(DuckDbTypes, ARefusedValueLeavesTheTableAndItsCheckpointAlone) {
    const auto writer = TakeOver(*destination_, "orders");
    const auto schema = MakeSchema("orders", {MakeColumn("id", "bigint", 1), MakeColumn("day", "date")});
    ASSERT_TRUE(writer->Apply(BatchBuilder(schema).Full({"1", "2024-01-01"}).Build(0, 1)).ok());
    EXPECT_FALSE(
        writer->Apply(BatchBuilder(schema).Full({"1", "2024-01-02"}).Full({"2", "nonsense"}).Build(1, 3))
            .ok());
    EXPECT_EQ(QueryFile(files_, folder_.File(), "SELECT day FROM shop.orders").front()[0], "2024-01-01");
    EXPECT_EQ(QueryFile(files_, folder_.File(), "SELECT next_offset FROM _millrace.checkpoints").front()[0],
              "1");
    ASSERT_TRUE(writer->Apply(BatchBuilder(schema).Full({"1", "2024-01-02"}).Build(1, 3)).ok());
}

TEST_F(DuckDbTypes, TextColumnsTakeTheSourcesText) {
    ExecuteOnFile(files_, folder_.File(), "CREATE SCHEMA shop; CREATE TABLE shop.t0 (id BIGINT, v VARCHAR)");
    TypeCase value{LogicalType::kTimestamp, "", "0044-03-15 10:00:00 BC", ""};
    const auto result = Write(ColumnOf(value), value.text);
    ASSERT_TRUE(result.ok()) << base::Describe(result.status());
    EXPECT_EQ(QueryFile(files_, folder_.File(), "SELECT v FROM shop.t0 WHERE id = 1").front()[0], value.text);
}

}  // namespace
}  // namespace millrace::duckdb
