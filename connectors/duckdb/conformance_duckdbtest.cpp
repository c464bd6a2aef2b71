#include <memory>

#include "connectors/duckdb/duckdb_fixture.h"
#include "connectors/sdk/testing/destination_conformance.h"

namespace millrace::sdk::testing {
namespace {

class DuckDbTestDatabase final : public TestDatabase {
 public:
    std::unique_ptr<Destination> OpenDestination() override {
        return duckdb::MakeTestDestination(files_, folder_.File());
    }
    void Execute(const std::string& sql) override { duckdb::ExecuteOnFile(files_, folder_.File(), sql); }
    std::vector<Row> Query(const std::string& sql) override {
        return duckdb::QueryFile(files_, folder_.File(), sql);
    }

 private:
    duckdb::TestFolder folder_;
    duckdb::DatabaseFiles files_;
};

std::unique_ptr<TestDatabase> MakeDatabase() {
    return std::make_unique<DuckDbTestDatabase>();
}

INSTANTIATE_TEST_SUITE_P(DuckDb, DestinationConformance, ::testing::Values(&MakeDatabase));

}  // namespace
}  // namespace millrace::sdk::testing
