/// Handlers of TenantService and DataPlaneService. Not for: the wire (server.cpp).
#pragma once

#include "absl/status/statusor.h"
#include "control-plane/session/hub.h"
#include "control-plane/store/store.h"
#include "millrace/v1/control.pb.h"

namespace millrace::api {

/// Any thread.
class Planes final {
 public:
    Planes(store::Store& store, session::Hub& hub) : store_(store), hub_(hub) {}

    absl::StatusOr<v1::Tenant> GetTenant(const v1::GetTenantRequest& request) const;
    absl::StatusOr<v1::ListTenantsResponse> ListTenants(const v1::ListTenantsRequest& request) const;
    absl::StatusOr<v1::DataPlane> GetDataPlane(const v1::GetDataPlaneRequest& request) const;
    absl::StatusOr<v1::ListDataPlanesResponse> ListDataPlanes(const v1::ListDataPlanesRequest& request) const;

 private:
    void FillWorkers(v1::DataPlane& plane) const;

    store::Store& store_;
    session::Hub& hub_;
};

}  // namespace millrace::api
