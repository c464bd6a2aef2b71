#include "connectors/postgres/destination.h"

#include <gtest/gtest.h>

#include <string>

#include "base/status.h"
#include "connectors/postgres/options.h"
#include "connectors/sdk/testing/destination_conformance.h"
#include "tests/support/postgres.h"

namespace millrace::postgres {
namespace {

using sdk::testing::DestinationConformance;
using sdk::testing::TestDatabase;
using testing_support::PostgresDatabase;

sdk::Options OptionsOf(const base::PqParameters& parameters) {
    sdk::Options options;
    for (const auto& [keyword, value] : parameters.keywords) {
        options.values[keyword == "dbname" ? "database" : keyword] = value;
    }
    if (!parameters.password.empty()) {
        options.secrets.emplace("password", parameters.password);
    }
    options.values["max_connections"] = "4";
    return options;
}

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
        auto destination = MakeDestination(OptionsOf(database_.parameters()));
        EXPECT_TRUE(destination.ok()) << destination.status();
        return destination.ok() ? std::move(*destination) : nullptr;
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
