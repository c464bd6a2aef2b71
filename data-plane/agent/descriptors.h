/// The connectors of this build as the control plane learns them. Not for: running connectors.
#pragma once

#include <string>

#include "connectors/sdk/connector.h"

namespace millrace::v1 {
class ConnectorDescriptor;
}  // namespace millrace::v1

namespace millrace::agent {

void DescribeConnector(const sdk::Connector& connector, v1::ConnectorDescriptor* descriptor);

/// {"connectors": […]} in the proto's JSON form, for people and scripts.
std::string DescribeConnectorsAsJson(const sdk::ConnectorRegistry& registry);

}  // namespace millrace::agent
