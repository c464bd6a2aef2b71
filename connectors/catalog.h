/// The generated list of the connectors in this build; only the worker's main includes it. Not for: anything else.
#pragma once

#include "connectors/sdk/connector.h"

namespace millrace {

/// Registers every connector found at configure time.
void RegisterAllConnectors(sdk::ConnectorRegistry& registry);

}  // namespace millrace
