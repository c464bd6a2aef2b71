#include <memory>
#include <utility>

#include "connectors/duckdb/database_file.h"
#include "connectors/duckdb/destination.h"
#include "connectors/sdk/connector.h"

namespace millrace::duckdb {

void Register(sdk::ConnectorRegistry& registry) {
    // Shared by every destination made here: two openings of one file in one process would not see each
    // other's lock.
    const auto files = std::make_shared<DatabaseFiles>();
    sdk::Connector connector;
    connector.type = "duckdb";
    connector.display_name = "DuckDB";
    connector.documentation =
        "One DuckDB file on the machine of the worker; readers open it READ_ONLY between flushes.";
    connector.url_schemes = {"duckdb"};
    connector.options = DestinationOptions();
    connector.make_destination = [files](const sdk::Options& options) {
        return MakeDestination(*files, options);
    };
    // Connector types are folder names, so this one cannot be taken.
    registry.Add(std::move(connector)).IgnoreError();
}

}  // namespace millrace::duckdb
