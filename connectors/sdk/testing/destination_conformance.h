/// The tests that every destination must pass. A connector's test binary links millrace_sdk_testing, gives
/// the suite a factory and says INSTANTIATE_TEST_SUITE_P(Name, DestinationConformance,
/// ::testing::Values(&MakeDatabase)). Not for: what one product alone promises (types, locks, connection
/// errors).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "connectors/sdk/destination.h"
#include "connectors/sdk/testing/batch_builder.h"
#include "gtest/gtest.h"

namespace millrace::sdk::testing {

/// An empty database of a test, dropped with the object.
class TestDatabase {
 public:
    using Row = std::vector<std::optional<std::string>>;

    virtual ~TestDatabase() = default;
    /// A destination over it, as a worker would make it; several may live at once.
    virtual std::unique_ptr<Destination> OpenDestination() = 0;
    /// Runs a statement; fails the test on an error.
    virtual void Execute(const std::string& sql) = 0;
    /// Cells as PostgreSQL would write them, for integers, numeric, text and dates.
    virtual std::vector<Row> Query(const std::string& sql) = 0;
};

using MakeTestDatabase = std::unique_ptr<TestDatabase> (*)();

class DestinationConformance : public ::testing::TestWithParam<MakeTestDatabase> {
 protected:
    using Row = TestDatabase::Row;

    void SetUp() override;

    /// A writer that has taken `schema`'s table over; `stream` tells pipelines apart.
    std::unique_ptr<TableWriter> Open(const SchemaPtr& schema, const std::string& stream = "p1");
    static StreamId Stream(const TableSchema& schema, const std::string& stream = "p1");
    static TableTarget Target(const TableSchema& schema) { return {schema.schema, schema.table}; }

    /// Applies and expects success; repeats what the contract lets a caller repeat.
    static ApplyResult Apply(TableWriter& writer, const Batch& batch);
    /// The same for taking over.
    static Checkpoint TakeOver(TableWriter& writer);

    /// All rows of the table in text order, the columns of `schema` in order.
    std::vector<Row> ReadRows(const TableSchema& schema);
    [[nodiscard]] bool TableExists(const std::string& schema, const std::string& table);
    [[nodiscard]] int64_t Count(const TableSchema& schema);

    std::unique_ptr<TestDatabase> database_;
    std::unique_ptr<Destination> destination_;
};

/// (id bigint key, name text, amount numeric(12,2), note text)
SchemaPtr Orders(const std::string& table = "orders");

/// `name` in double quotes.
std::string Quoted(const std::string& name);

}  // namespace millrace::sdk::testing
