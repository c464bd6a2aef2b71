#include "connectors/sdk/connector.h"

#include <gtest/gtest.h>

#include "base/status.h"

namespace millrace::sdk {
namespace {

Connector Named(const std::string& type) {
    Connector connector;
    connector.type = type;
    return connector;
}

TEST(ConnectorRegistry, FindsWhatWasAdded) {
    ConnectorRegistry registry;
    ASSERT_TRUE(registry.Add(Named("postgres")).ok());
    ASSERT_TRUE(registry.Add(Named("duckdb")).ok());
    ASSERT_TRUE(registry.Find("postgres").ok());
    EXPECT_EQ((*registry.Find("postgres"))->type, "postgres");
    ASSERT_EQ(registry.All().size(), 2U);
    EXPECT_EQ(registry.All()[0]->type, "duckdb");
}

TEST(ConnectorRegistry, SecondOfOneTypeIsRefusedAndTheFirstStays) {
    ConnectorRegistry registry;
    Connector first = Named("postgres");
    first.display_name = "first";
    ASSERT_TRUE(registry.Add(std::move(first)).ok());
    EXPECT_EQ(registry.Add(Named("postgres")).code(), absl::StatusCode::kAlreadyExists);
    EXPECT_EQ((*registry.Find("postgres"))->display_name, "first");
}

TEST(ConnectorRegistry, UnknownTypeNamesTheKnownOnes) {
    ConnectorRegistry registry;
    ASSERT_TRUE(registry.Add(Named("postgres")).ok());
    ASSERT_TRUE(registry.Add(Named("duckdb")).ok());
    const absl::Status status = registry.Find("oracle").status();
    EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
    EXPECT_EQ(base::Describe(status), "unknown connector type 'oracle'. This build has: duckdb, postgres.");
}

}  // namespace
}  // namespace millrace::sdk
