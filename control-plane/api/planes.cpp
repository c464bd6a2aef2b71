#include "control-plane/api/planes.h"

#include "control-plane/api/resource_access.h"

namespace millrace::api {

absl::StatusOr<v1::Tenant> Planes::GetTenant(const v1::GetTenantRequest& request) const {
    RETURN_IF_ERROR(domain::CheckTenantName(request.name()));
    v1::Tenant tenant;
    const absl::Status read = store_.View([&](const store::Reader& reader) -> absl::Status {
        ASSIGN_OR_RETURN(tenant, LoadNamed<v1::Tenant>(reader, request.name()));
        return absl::OkStatus();
    });
    RETURN_IF_ERROR(read);
    return tenant;
}

absl::StatusOr<v1::ListTenantsResponse> Planes::ListTenants(const v1::ListTenantsRequest& request) const {
    v1::ListTenantsResponse response;
    const absl::Status read = store_.View([&](const store::Reader& reader) -> absl::Status {
        ASSIGN_OR_RETURN(auto tenants,
                         ListPage<v1::Tenant>(reader, "", request.page_size(), request.page_token(),
                                              *response.mutable_next_page_token()));
        for (v1::Tenant& tenant : tenants) {
            *response.add_tenants() = std::move(tenant);
        }
        return absl::OkStatus();
    });
    RETURN_IF_ERROR(read);
    return response;
}

absl::StatusOr<v1::DataPlane> Planes::GetDataPlane(const v1::GetDataPlaneRequest& request) const {
    RETURN_IF_ERROR(domain::ParseName(domain::Collection::kDataPlanes, request.name()).status());
    v1::DataPlane plane;
    const absl::Status read = store_.View([&](const store::Reader& reader) -> absl::Status {
        ASSIGN_OR_RETURN(plane, LoadNamed<v1::DataPlane>(reader, request.name()));
        return absl::OkStatus();
    });
    RETURN_IF_ERROR(read);
    FillWorkers(plane);
    return plane;
}

absl::StatusOr<v1::ListDataPlanesResponse> Planes::ListDataPlanes(
    const v1::ListDataPlanesRequest& request) const {
    RETURN_IF_ERROR(domain::CheckTenantName(request.parent()));
    v1::ListDataPlanesResponse response;
    const absl::Status read = store_.View([&](const store::Reader& reader) -> absl::Status {
        ASSIGN_OR_RETURN(auto planes,
                         ListPage<v1::DataPlane>(reader, request.parent(), request.page_size(),
                                                 request.page_token(), *response.mutable_next_page_token()));
        for (v1::DataPlane& plane : planes) {
            *response.add_data_planes() = std::move(plane);
        }
        return absl::OkStatus();
    });
    RETURN_IF_ERROR(read);
    for (v1::DataPlane& plane : *response.mutable_data_planes()) {
        FillWorkers(plane);
    }
    return response;
}

void Planes::FillWorkers(v1::DataPlane& plane) const {
    for (v1::WorkerStatus& worker : hub_.Workers(plane.metadata().name())) {
        *plane.mutable_status()->add_workers() = std::move(worker);
    }
}

}  // namespace millrace::api
