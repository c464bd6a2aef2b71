#include "connectors/sdk/connector.h"

#include <utility>

#include "base/status.h"
#include "base/text.h"

namespace millrace::sdk {

absl::Status ConnectorRegistry::Add(Connector connector) {
    const std::string type = connector.type;
    if (!connectors_.emplace(type, std::move(connector)).second) {
        return base::MakeError(absl::StatusCode::kAlreadyExists, "CONNECTOR_EXISTS",
                               base::Concat("connector type '", type, "' is registered twice"),
                               "Give each connector folder a type of its own.");
    }
    return absl::OkStatus();
}

absl::StatusOr<const Connector*> ConnectorRegistry::Find(const std::string& type) const {
    if (const auto it = connectors_.find(type); it != connectors_.end()) {
        return &it->second;
    }
    std::string known;
    for (const auto& [name, connector] : connectors_) {
        base::Append(known, known.empty() ? "" : ", ", name);
    }
    return base::MakeError(absl::StatusCode::kNotFound, "CONNECTOR_UNKNOWN",
                           base::Concat("unknown connector type '", type, "'"),
                           base::Concat("This build has: ", known.empty() ? "none" : known, "."));
}

std::vector<const Connector*> ConnectorRegistry::All() const {
    std::vector<const Connector*> all;
    all.reserve(connectors_.size());
    for (const auto& [name, connector] : connectors_) {
        all.push_back(&connector);
    }
    return all;
}

}  // namespace millrace::sdk
