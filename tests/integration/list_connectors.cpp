// Prints the type of every connector in this build, one a line.
#include <cstdio>

#include "connectors/catalog.h"

int main() {
    millrace::sdk::ConnectorRegistry registry;
    millrace::RegisterAllConnectors(registry);
    for (const millrace::sdk::Connector* connector : registry.All()) {
        std::puts(connector->type.c_str());
    }
    return 0;
}
