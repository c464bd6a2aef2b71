#include <gtest/gtest.h>

#include <string>

#include "connectors/postgres/destination_test_kit.h"
#include "connectors/sdk/testing/destination_conformance.h"

namespace millrace::postgres {
namespace {

using sdk::testing::DestinationConformance;
using sdk::testing::TestDatabase;
using testing_support::PostgresDatabase;

// One database for the whole binary, emptied for every test: making one takes half a second.
PostgresDatabase& SharedDatabase() {
    static PostgresDatabase database;
    return database;
}

class Database final : public TestDatabase {
 public:
    ~Database() override {
        database_.Execute(
            "DO $$ DECLARE s name; BEGIN FOR s IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' "
            "AND "
            "nspname NOT IN ('information_schema', 'public') LOOP EXECUTE format('DROP SCHEMA %I CASCADE', "
            "s); END "
            "LOOP; END $$");
    }
    std::unique_ptr<sdk::Destination> OpenDestination() override {
        return postgres::OpenDestination(database_.parameters());
    }
    void Execute(const std::string& sql) override { database_.Execute(sql); }
    std::vector<Row> Query(const std::string& sql) override { return database_.Query(sql); }

 private:
    PostgresDatabase& database_ = SharedDatabase();
};

std::unique_ptr<TestDatabase> MakeDatabase() {
    return std::make_unique<Database>();
}

}  // namespace
}  // namespace millrace::postgres

namespace millrace::sdk::testing {
INSTANTIATE_TEST_SUITE_P(Postgres, DestinationConformance, ::testing::Values(&postgres::MakeDatabase));
}  // namespace millrace::sdk::testing
