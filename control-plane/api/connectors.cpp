#include "control-plane/api/connectors.h"

#include <google/protobuf/util/message_differencer.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "control-plane/api/resource_access.h"
#include "control-plane/domain/connector_spec.h"
#include "control-plane/domain/pipeline_spec.h"
#include "control-plane/domain/update_mask.h"

namespace millrace::api {
namespace {

using domain::Collection;

/// The plane that the spec names, which must be one of the tenant's.
absl::StatusOr<v1::DataPlane> LoadPlane(const store::Reader& reader, const std::string& tenant,
                                        const v1::ConnectorSpec& spec) {
    ASSIGN_OR_RETURN(const auto name, domain::ParseName(Collection::kDataPlanes, spec.data_plane()));
    if (name.parent != tenant) {
        return Named(absl::NotFoundError(""), "data_plane", spec.data_plane());
    }
    return LoadNamed<v1::DataPlane>(reader, spec.data_plane());
}

absl::StatusOr<std::vector<v1::Pipeline>> Users(const store::Reader& reader, const std::string& connector) {
    ASSIGN_OR_RETURN(const auto name, domain::ParseName(Collection::kConnectors, connector));
    ASSIGN_OR_RETURN(auto pipelines, store::LoadAll<v1::Pipeline>(reader, name.parent));
    std::erase_if(pipelines, [&](const v1::Pipeline& pipeline) {
        return pipeline.spec().source() != connector && pipeline.spec().destination() != connector;
    });
    return pipelines;
}

/// Makes the change known to the plane: the pipelines that run with it have a new configuration.
absl::Status RaiseUsers(store::Transaction& transaction, const v1::Connector& connector) {
    ASSIGN_OR_RETURN(auto users, Users(transaction, connector.metadata().name()));
    for (v1::Pipeline& pipeline : users) {
        if (domain::IsDeployed(pipeline)) {
            Touch(*pipeline.mutable_metadata(), true);
            RETURN_IF_ERROR(store::Save(transaction, pipeline, store::Expected::Any()));
            RETURN_IF_ERROR(transaction.AdvancePlane(connector.spec().data_plane()).status());
        }
    }
    return absl::OkStatus();
}

}  // namespace

absl::StatusOr<v1::Connector> Connectors::Create(const v1::CreateConnectorRequest& request) {
    RETURN_IF_ERROR(domain::CheckTenantName(request.parent()));
    RETURN_IF_ERROR(domain::CheckId("connector", request.connector_id()));
    const std::string name =
        domain::MakeName(Collection::kConnectors, request.parent(), request.connector_id());
    v1::Connector connector = request.connector();
    ASSIGN_OR_RETURN(*connector.mutable_metadata(), NewMetadata(name, request.connector().metadata()));
    const absl::Status written =
        Write(store_, request.validate_only(), [&](store::Transaction& transaction) -> absl::Status {
            RETURN_IF_ERROR(LoadNamed<v1::Tenant>(transaction, request.parent()).status());
            ASSIGN_OR_RETURN(const auto plane, LoadPlane(transaction, request.parent(), connector.spec()));
            RETURN_IF_ERROR(domain::CheckConnectorSpec(connector.spec(), plane));
            if (store::Load<v1::Connector>(transaction, name).ok()) {
                return base::MakeError(absl::StatusCode::kAlreadyExists, "CONNECTOR_EXISTS",
                                       absl::StrCat("The connector ", name, " exists already."),
                                       "Update it, or choose another name.");
            }
            return store::Save(transaction, connector, store::Expected::Absent());
        });
    RETURN_IF_ERROR(written);
    return connector;
}

absl::StatusOr<v1::Connector> Connectors::Get(const v1::GetConnectorRequest& request) const {
    RETURN_IF_ERROR(domain::ParseName(Collection::kConnectors, request.name()).status());
    v1::Connector connector;
    const absl::Status read = store_.View([&](const store::Reader& reader) -> absl::Status {
        ASSIGN_OR_RETURN(connector, LoadNamed<v1::Connector>(reader, request.name()));
        return absl::OkStatus();
    });
    RETURN_IF_ERROR(read);
    return connector;
}

absl::StatusOr<v1::ListConnectorsResponse> Connectors::List(const v1::ListConnectorsRequest& request) const {
    RETURN_IF_ERROR(domain::CheckTenantName(request.parent()));
    v1::ListConnectorsResponse response;
    const absl::Status read = store_.View([&](const store::Reader& reader) -> absl::Status {
        ASSIGN_OR_RETURN(auto connectors,
                         ListPage<v1::Connector>(reader, request.parent(), request.page_size(),
                                                 request.page_token(), *response.mutable_next_page_token()));
        for (v1::Connector& connector : connectors) {
            *response.add_connectors() = std::move(connector);
        }
        return absl::OkStatus();
    });
    RETURN_IF_ERROR(read);
    return response;
}

absl::StatusOr<v1::Connector> Connectors::Update(const v1::UpdateConnectorRequest& request) {
    const std::string& name = request.connector().metadata().name();
    ASSIGN_OR_RETURN(const auto parsed, domain::ParseName(Collection::kConnectors, name));
    v1::Connector connector;
    const absl::Status written =
        Write(store_, request.validate_only(), [&](store::Transaction& transaction) -> absl::Status {
            ASSIGN_OR_RETURN(connector, LoadNamed<v1::Connector>(transaction, name));
            RETURN_IF_ERROR(CheckEtag(connector.metadata(), request.connector().metadata().etag()));
            const v1::ConnectorSpec before = connector.spec();
            RETURN_IF_ERROR(domain::ApplyUpdate(request.connector(), request.update_mask(), connector));
            RETURN_IF_ERROR(CheckLabels(connector.metadata()));
            const bool changed =
                !google::protobuf::util::MessageDifferencer::Equals(before, connector.spec());
            if (changed) {
                ASSIGN_OR_RETURN(const auto plane, LoadPlane(transaction, parsed.parent, connector.spec()));
                RETURN_IF_ERROR(domain::CheckConnectorSpec(connector.spec(), plane));
                RETURN_IF_ERROR(RaiseUsers(transaction, connector));
            }
            Touch(*connector.mutable_metadata(), changed);
            return store::Save(transaction, connector, store::Expected::Any());
        });
    RETURN_IF_ERROR(written);
    return connector;
}

absl::StatusOr<google::protobuf::Empty> Connectors::Delete(const v1::DeleteConnectorRequest& request) {
    RETURN_IF_ERROR(domain::ParseName(Collection::kConnectors, request.name()).status());
    const absl::Status written = store_.Update([&](store::Transaction& transaction) -> absl::Status {
        ASSIGN_OR_RETURN(const auto connector, LoadNamed<v1::Connector>(transaction, request.name()));
        RETURN_IF_ERROR(CheckEtag(connector.metadata(), request.etag()));
        ASSIGN_OR_RETURN(const auto users, Users(transaction, request.name()));
        if (!users.empty()) {
            const std::string names =
                absl::StrJoin(users, ", ", [](std::string* out, const v1::Pipeline& pipeline) {
                    out->append(pipeline.metadata().name());
                });
            return base::MakeError(absl::StatusCode::kFailedPrecondition, "CONNECTOR_IN_USE",
                                   absl::StrCat(request.name(), " is used by ", names, "."),
                                   "Delete these pipelines first.");
        }
        return transaction.Delete(store::kKindOf<v1::Connector>, request.name(), store::Expected::Any());
    });
    RETURN_IF_ERROR(written);
    return google::protobuf::Empty();
}

absl::StatusOr<v1::CheckCommand> Connectors::MakeCheck(const v1::CheckConnectorRequest& request) const {
    v1::CheckCommand check;
    *check.mutable_tables() = request.tables();
    *check.mutable_exclude() = request.exclude();
    *check.mutable_keys() = request.keys();
    const bool stored = !request.name().empty();
    std::string tenant = request.parent();
    if (stored) {
        ASSIGN_OR_RETURN(const auto name, domain::ParseName(Collection::kConnectors, request.name()));
        tenant = name.parent;
    }
    RETURN_IF_ERROR(domain::CheckTenantName(tenant));
    const absl::Status read = store_.View([&](const store::Reader& reader) -> absl::Status {
        *check.mutable_connector() = request.spec();
        if (stored) {
            ASSIGN_OR_RETURN(const auto connector, LoadNamed<v1::Connector>(reader, request.name()));
            *check.mutable_connector() = connector.spec();
        }
        ASSIGN_OR_RETURN(const auto plane, LoadPlane(reader, tenant, check.connector()));
        RETURN_IF_ERROR(domain::CheckConnectorSpec(check.connector(), plane));
        const auto* descriptor =
            domain::FindDescriptor(plane.status().descriptors(), check.connector().type());
        const bool any = request.role() == v1::CheckConnectorRequest::ROLE_UNSPECIFIED;
        check.set_as_source(request.role() == v1::CheckConnectorRequest::ROLE_SOURCE ||
                            (any && descriptor->is_source()));
        check.set_as_destination(request.role() == v1::CheckConnectorRequest::ROLE_DESTINATION ||
                                 (any && descriptor->is_destination()));
        return absl::OkStatus();
    });
    RETURN_IF_ERROR(read);
    return check;
}

void Connectors::Check(const v1::CheckConnectorRequest& request, absl::Time deadline,
                       Done<v1::CheckConnectorResponse> done) {
    auto check = MakeCheck(request);
    if (!check.ok()) {
        done(check.status());
        return;
    }
    const std::string plane = check->connector().data_plane();
    v1::Command command;
    *command.mutable_check() = *std::move(check);
    Ask(hub_, plane, session::Choice::kFreshest, std::move(command), deadline,
        [done = std::move(done)](absl::StatusOr<v1::CommandResult> result) {
            if (!result.ok()) {
                done(result.status());
                return;
            }
            v1::CheckConnectorResponse response;
            *response.mutable_findings() = std::move(*result->mutable_findings());
            done(std::move(response));
        });
}

void Connectors::ListSourceTables(const v1::ListSourceTablesRequest& request, absl::Time deadline,
                                  Done<v1::ListSourceTablesResponse> done) {
    const auto connector = [&]() -> absl::StatusOr<v1::Connector> {
        v1::GetConnectorRequest get;
        get.set_name(request.name());
        return Get(get);
    }();
    if (!connector.ok()) {
        done(connector.status());
        return;
    }
    v1::Command command;
    v1::ListTablesCommand& list = *command.mutable_list_tables();
    *list.mutable_connector() = connector->spec();
    *list.mutable_tables() = request.tables();
    *list.mutable_exclude() = request.exclude();
    Ask(hub_, connector->spec().data_plane(), session::Choice::kFreshest, std::move(command), deadline,
        [done = std::move(done)](absl::StatusOr<v1::CommandResult> result) {
            if (!result.ok()) {
                done(result.status());
                return;
            }
            v1::ListSourceTablesResponse response;
            *response.mutable_tables() = std::move(*result->mutable_tables());
            done(std::move(response));
        });
}

}  // namespace millrace::api
