#include <utility>

#include "connectors/postgres/destination.h"
#include "connectors/postgres/options.h"
#include "connectors/postgres/source.h"
#include "connectors/sdk/connector.h"

namespace millrace::postgres {

void Register(sdk::ConnectorRegistry& registry) {
    sdk::Connector connector;
    connector.type = "postgres";
    connector.display_name = "PostgreSQL";
    connector.documentation = "PostgreSQL 12 or newer.";
    connector.url_schemes = {"postgres", "postgresql"};
    connector.options = ConnectionOptions();
    for (const auto& options : {SourceOptions(), DestinationOptions()}) {
        connector.options.insert(connector.options.end(), options.begin(), options.end());
    }
    connector.make_source = MakeSource;
    connector.make_destination = MakeDestination;
    // Connector types are folder names, so this one cannot be taken.
    registry.Add(std::move(connector)).IgnoreError();
}

}  // namespace millrace::postgres
