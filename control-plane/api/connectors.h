/// Handlers of ConnectorService. Not for: the wire (server.cpp), rules of specs (domain).
#pragma once

#include <google/protobuf/empty.pb.h>

#include "absl/status/statusor.h"
#include "control-plane/api/forward.h"
#include "control-plane/session/hub.h"
#include "control-plane/store/store.h"
#include "millrace/v1/control.pb.h"

namespace millrace::api {

/// Any thread.
class Connectors final {
 public:
    Connectors(store::Store& store, session::Hub& hub) : store_(store), hub_(hub) {}

    absl::StatusOr<v1::Connector> Create(const v1::CreateConnectorRequest& request);
    absl::StatusOr<v1::Connector> Get(const v1::GetConnectorRequest& request) const;
    absl::StatusOr<v1::ListConnectorsResponse> List(const v1::ListConnectorsRequest& request) const;
    /// Deployed pipelines that use the connector run the change at once.
    absl::StatusOr<v1::Connector> Update(const v1::UpdateConnectorRequest& request);
    /// FailedPrecondition (CONNECTOR_IN_USE) names the pipelines.
    absl::StatusOr<google::protobuf::Empty> Delete(const v1::DeleteConnectorRequest& request);
    void Check(const v1::CheckConnectorRequest& request, absl::Time deadline,
               Done<v1::CheckConnectorResponse> done);
    void ListSourceTables(const v1::ListSourceTablesRequest& request, absl::Time deadline,
                          Done<v1::ListSourceTablesResponse> done);

 private:
    absl::StatusOr<v1::CheckCommand> MakeCheck(const v1::CheckConnectorRequest& request) const;

    store::Store& store_;
    session::Hub& hub_;
};

}  // namespace millrace::api
