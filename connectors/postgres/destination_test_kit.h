/// Makes destinations and sessions over a test's own database. Not for: production code.
#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "connectors/postgres/destination.h"
#include "tests/support/postgres.h"

namespace millrace::postgres {

/// Options of the connector that point at `parameters`.
inline sdk::Options OptionsOf(const base::PqParameters& parameters) {
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

inline std::unique_ptr<sdk::Destination> OpenDestination(const base::PqParameters& parameters) {
    auto destination = MakeDestination(OptionsOf(parameters));
    EXPECT_TRUE(destination.ok()) << base::Describe(destination.status());
    return destination.ok() ? std::move(*destination) : nullptr;
}

/// A writer that has taken the table of `schema` over.
inline std::unique_ptr<sdk::TableWriter> OpenWriter(sdk::Destination& destination,
                                                    const sdk::TableSchema& schema) {
    auto writer = destination.OpenTable(
        {schema.schema, schema.table},
        {.pipeline = "tenants/t/pipelines/p", .pipeline_uid = "uid", .topic = "mr.p." + schema.table});
    EXPECT_TRUE(writer.ok()) << base::Describe(writer.status());
    const auto checkpoint = (*writer)->TakeOver();
    EXPECT_TRUE(checkpoint.ok()) << base::Describe(checkpoint.status());
    return std::move(*writer);
}

}  // namespace millrace::postgres
