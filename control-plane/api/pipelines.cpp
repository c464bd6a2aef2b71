#include "control-plane/api/pipelines.h"

#include <google/protobuf/util/message_differencer.h>

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control-plane/api/resource_access.h"
#include "control-plane/domain/connector_spec.h"
#include "control-plane/domain/pipeline_spec.h"
#include "control-plane/domain/status.h"
#include "control-plane/domain/update_mask.h"

namespace millrace::api {
namespace {

using domain::Collection;
using v1::PipelineSpec;

absl::Status Deleting(const std::string& name) {
    return base::MakeError(absl::StatusCode::kFailedPrecondition, "PIPELINE_DELETING",
                           absl::StrCat(name, " is being deleted."),
                           "Wait until it is gone, then create it anew.");
}

absl::Status NotDeployed(const std::string& name) {
    return base::MakeError(absl::StatusCode::kFailedPrecondition, "NOT_DEPLOYED",
                           absl::StrCat(name, " is a draft."), "Deploy it first.");
}

/// The connector, which must be one of the pipeline's tenant.
absl::StatusOr<v1::Connector> LoadConnector(const store::Reader& reader, const std::string& tenant,
                                            const std::string& name) {
    ASSIGN_OR_RETURN(const auto parsed, domain::ParseName(Collection::kConnectors, name));
    if (parsed.parent != tenant) {
        return Named(absl::NotFoundError(""), "connector", name);
    }
    return LoadNamed<v1::Connector>(reader, name);
}

/// Saves it, and lets the plane know if it is to know.
absl::Status Store(store::Transaction& transaction, v1::Pipeline& pipeline, const std::string& plane,
                   store::Expected expected) {
    RETURN_IF_ERROR(store::Save(transaction, pipeline, expected));
    return domain::IsDeployed(pipeline) ? transaction.AdvancePlane(plane).status() : absl::OkStatus();
}

}  // namespace

v1::PipelineConfig Pipelines::Resolved::Config() const {
    return domain::MakePipelineConfig(pipeline, source, destination);
}

absl::StatusOr<Pipelines::Resolved> Pipelines::Resolve(const store::Reader& reader, v1::Pipeline pipeline) {
    Resolved resolved;
    resolved.pipeline = std::move(pipeline);
    const PipelineSpec& spec = resolved.pipeline.spec();
    ASSIGN_OR_RETURN(const auto name,
                     domain::ParseName(Collection::kPipelines, resolved.pipeline.metadata().name()));
    ASSIGN_OR_RETURN(resolved.source, LoadConnector(reader, name.parent, spec.source()));
    ASSIGN_OR_RETURN(resolved.destination, LoadConnector(reader, name.parent, spec.destination()));
    ASSIGN_OR_RETURN(resolved.plane, LoadNamed<v1::DataPlane>(reader, resolved.source.spec().data_plane()));
    return resolved;
}

absl::StatusOr<Pipelines::Resolved> Pipelines::LoadResolved(const std::string& name) const {
    RETURN_IF_ERROR(domain::ParseName(Collection::kPipelines, name).status());
    Resolved resolved;
    const absl::Status read = store_.View([&](const store::Reader& reader) -> absl::Status {
        ASSIGN_OR_RETURN(auto pipeline, LoadNamed<v1::Pipeline>(reader, name));
        ASSIGN_OR_RETURN(resolved, Resolve(reader, std::move(pipeline)));
        return absl::OkStatus();
    });
    RETURN_IF_ERROR(read);
    return resolved;
}

void Pipelines::FillStatus(v1::Pipeline& pipeline, const std::string& plane) const {
    const auto workers = hub_.Reports(plane, pipeline.metadata().name());
    *pipeline.mutable_status() = domain::DeriveStatus({pipeline, workers, hub_.Now(), hub_.heartbeat()});
}

absl::StatusOr<v1::Pipeline> Pipelines::Create(const v1::CreatePipelineRequest& request) {
    RETURN_IF_ERROR(domain::CheckTenantName(request.parent()));
    RETURN_IF_ERROR(domain::CheckId("pipeline", request.pipeline_id()));
    v1::Pipeline pipeline = request.pipeline();
    const std::string name =
        domain::MakeName(Collection::kPipelines, request.parent(), request.pipeline_id());
    ASSIGN_OR_RETURN(*pipeline.mutable_metadata(), NewMetadata(name, request.pipeline().metadata()));
    domain::FillDefaults(*pipeline.mutable_spec());
    pipeline.mutable_spec()->clear_table_overrides();
    pipeline.mutable_spec()->clear_resync_counter();
    RETURN_IF_ERROR(domain::CheckPipelineSpec(pipeline.spec()));
    if (domain::IsDeployed(pipeline)) {
        return base::MakeError(absl::StatusCode::kInvalidArgument, "FIELD_READ_ONLY",
                               "A pipeline is created as a draft.",
                               "Leave desired_state out and deploy it afterwards.");
    }
    std::string plane;
    const absl::Status written =
        Write(store_, request.validate_only(), [&](store::Transaction& transaction) -> absl::Status {
            RETURN_IF_ERROR(LoadNamed<v1::Tenant>(transaction, request.parent()).status());
            if (store::Load<v1::Pipeline>(transaction, name).ok()) {
                return base::MakeError(absl::StatusCode::kAlreadyExists, "PIPELINE_EXISTS",
                                       absl::StrCat("The pipeline ", name, " exists already."),
                                       "Update it, or choose another name.");
            }
            ASSIGN_OR_RETURN(const Resolved resolved, Resolve(transaction, pipeline));
            RETURN_IF_ERROR(
                domain::CheckPipelineConnectors(resolved.source, resolved.destination, resolved.plane));
            plane = resolved.plane.metadata().name();
            return store::Save(transaction, pipeline, store::Expected::Absent());
        });
    RETURN_IF_ERROR(written);
    FillStatus(pipeline, plane);
    return pipeline;
}

absl::StatusOr<v1::Pipeline> Pipelines::Get(const std::string& name) const {
    ASSIGN_OR_RETURN(Resolved resolved, LoadResolved(name));
    FillStatus(resolved.pipeline, resolved.plane.metadata().name());
    return std::move(resolved.pipeline);
}

absl::StatusOr<v1::ListPipelinesResponse> Pipelines::List(const v1::ListPipelinesRequest& request) const {
    RETURN_IF_ERROR(domain::CheckTenantName(request.parent()));
    v1::ListPipelinesResponse response;
    std::vector<std::string> planes;
    const absl::Status read = store_.View([&](const store::Reader& reader) -> absl::Status {
        ASSIGN_OR_RETURN(auto pipelines,
                         ListPage<v1::Pipeline>(reader, request.parent(), request.page_size(),
                                                request.page_token(), *response.mutable_next_page_token()));
        for (v1::Pipeline& pipeline : pipelines) {
            ASSIGN_OR_RETURN(Resolved resolved, Resolve(reader, std::move(pipeline)));
            planes.push_back(resolved.plane.metadata().name());
            *response.add_pipelines() = std::move(resolved.pipeline);
        }
        return absl::OkStatus();
    });
    RETURN_IF_ERROR(read);
    for (int i = 0; i < response.pipelines_size(); ++i) {
        FillStatus(*response.mutable_pipelines(i), planes[static_cast<size_t>(i)]);
    }
    return response;
}

absl::StatusOr<v1::Pipeline> Pipelines::Update(const v1::UpdatePipelineRequest& request) {
    const std::string& name = request.pipeline().metadata().name();
    RETURN_IF_ERROR(domain::ParseName(Collection::kPipelines, name).status());
    v1::Pipeline pipeline;
    std::string plane;
    const absl::Status written =
        Write(store_, request.validate_only(), [&](store::Transaction& transaction) -> absl::Status {
            ASSIGN_OR_RETURN(pipeline, LoadNamed<v1::Pipeline>(transaction, name));
            RETURN_IF_ERROR(CheckEtag(pipeline.metadata(), request.pipeline().metadata().etag()));
            if (pipeline.spec().desired_state() == PipelineSpec::DESIRED_STATE_DELETED) {
                return Deleting(name);
            }
            const PipelineSpec before = pipeline.spec();
            RETURN_IF_ERROR(domain::ApplyUpdate(request.pipeline(), request.update_mask(), pipeline));
            RETURN_IF_ERROR(CheckLabels(pipeline.metadata()));
            domain::FillDefaults(*pipeline.mutable_spec());
            RETURN_IF_ERROR(domain::CheckPipelineSpec(pipeline.spec()));
            ASSIGN_OR_RETURN(const Resolved resolved, Resolve(transaction, pipeline));
            RETURN_IF_ERROR(
                domain::CheckPipelineConnectors(resolved.source, resolved.destination, resolved.plane));
            plane = resolved.plane.metadata().name();
            const bool changed = !google::protobuf::util::MessageDifferencer::Equals(before, pipeline.spec());
            Touch(*pipeline.mutable_metadata(), changed);
            return changed ? Store(transaction, pipeline, plane, store::Expected::Any())
                           : store::Save(transaction, pipeline, store::Expected::Any());
        });
    RETURN_IF_ERROR(written);
    FillStatus(pipeline, plane);
    return pipeline;
}

absl::StatusOr<v1::Pipeline> Pipelines::Delete(const v1::DeletePipelineRequest& request) {
    RETURN_IF_ERROR(domain::ParseName(Collection::kPipelines, request.name()).status());
    v1::Pipeline pipeline;
    std::string plane;
    const absl::Status written = store_.Update([&](store::Transaction& transaction) -> absl::Status {
        ASSIGN_OR_RETURN(auto stored, LoadNamed<v1::Pipeline>(transaction, request.name()));
        RETURN_IF_ERROR(CheckEtag(stored.metadata(), request.etag()));
        ASSIGN_OR_RETURN(const Resolved resolved, Resolve(transaction, std::move(stored)));
        pipeline = resolved.pipeline;
        plane = resolved.plane.metadata().name();
        const bool deployed = domain::IsDeployed(pipeline);
        const bool marked = pipeline.spec().desired_state() == PipelineSpec::DESIRED_STATE_DELETED;
        pipeline.mutable_spec()->set_desired_state(PipelineSpec::DESIRED_STATE_DELETED);
        if (!deployed || request.force()) {
            RETURN_IF_ERROR(
                transaction.Delete(store::kKindOf<v1::Pipeline>, request.name(), store::Expected::Any()));
            RETURN_IF_ERROR(transaction.DeleteLog(request.name()));
            return deployed ? transaction.AdvancePlane(plane).status() : absl::OkStatus();
        }
        if (marked) {
            return absl::OkStatus();
        }
        Touch(*pipeline.mutable_metadata(), true);
        return Store(transaction, pipeline, plane, store::Expected::Any());
    });
    RETURN_IF_ERROR(written);
    FillStatus(pipeline, plane);
    return pipeline;
}

absl::StatusOr<v1::Pipeline> Pipelines::SetDesiredState(const std::string& name,
                                                        PipelineSpec::DesiredState state) {
    RETURN_IF_ERROR(domain::ParseName(Collection::kPipelines, name).status());
    v1::Pipeline pipeline;
    std::string plane;
    const absl::Status written = store_.Update([&](store::Transaction& transaction) -> absl::Status {
        ASSIGN_OR_RETURN(auto stored, LoadNamed<v1::Pipeline>(transaction, name));
        ASSIGN_OR_RETURN(const Resolved resolved, Resolve(transaction, std::move(stored)));
        pipeline = resolved.pipeline;
        plane = resolved.plane.metadata().name();
        if (!domain::IsDeployed(pipeline)) {
            return NotDeployed(name);
        }
        if (pipeline.spec().desired_state() == PipelineSpec::DESIRED_STATE_DELETED) {
            return Deleting(name);
        }
        if (pipeline.spec().desired_state() == state) {
            return absl::OkStatus();
        }
        pipeline.mutable_spec()->set_desired_state(state);
        Touch(*pipeline.mutable_metadata(), true);
        const bool paused = state == PipelineSpec::DESIRED_STATE_PAUSED;
        RETURN_IF_ERROR(store::AppendEvent(
            transaction, name,
            MakeEvent(paused ? v1::PipelineEvent::TYPE_PAUSED : v1::PipelineEvent::TYPE_RESUMED,
                      paused ? "the pipeline was paused by a user" : "the pipeline was resumed by a user")));
        return Store(transaction, pipeline, plane, store::Expected::Any());
    });
    RETURN_IF_ERROR(written);
    FillStatus(pipeline, plane);
    return pipeline;
}

absl::StatusOr<v1::Pipeline> Pipelines::Resync(const std::string& name) {
    RETURN_IF_ERROR(domain::ParseName(Collection::kPipelines, name).status());
    ASSIGN_OR_RETURN(Resolved before, LoadRunning(name));
    const std::string& plane = before.plane.metadata().name();
    v1::Pipeline pipeline;
    const absl::Status written = store_.Update([&](store::Transaction& transaction) -> absl::Status {
        ASSIGN_OR_RETURN(pipeline, LoadNamed<v1::Pipeline>(transaction, name));
        pipeline.mutable_spec()->set_resync_counter(pipeline.spec().resync_counter() + 1);
        Touch(*pipeline.mutable_metadata(), true);
        RETURN_IF_ERROR(store::AppendEvent(
            transaction, name,
            MakeEvent(v1::PipelineEvent::TYPE_PIPELINE_RESYNC,
                      "a new slot and a new copy of every table were asked for by a user")));
        return Store(transaction, pipeline, plane, store::Expected::Any());
    });
    RETURN_IF_ERROR(written);
    FillStatus(pipeline, plane);
    return pipeline;
}

absl::StatusOr<Pipelines::Resolved> Pipelines::LoadRunning(const std::string& name) const {
    ASSIGN_OR_RETURN(Resolved resolved, LoadResolved(name));
    if (!domain::IsDeployed(resolved.pipeline)) {
        return NotDeployed(name);
    }
    if (resolved.pipeline.spec().desired_state() == PipelineSpec::DESIRED_STATE_DELETED) {
        return Deleting(name);
    }
    return resolved;
}

void Pipelines::Deploy(const v1::DeployPipelineRequest& request, absl::Time deadline,
                       Done<v1::DeployPipelineResponse> done) {
    const auto plan = [&]() -> absl::StatusOr<Resolved> {
        ASSIGN_OR_RETURN(Resolved resolved, LoadResolved(request.name()));
        RETURN_IF_ERROR(CheckEtag(resolved.pipeline.metadata(), request.etag()));
        if (resolved.pipeline.spec().desired_state() == PipelineSpec::DESIRED_STATE_DELETED) {
            return Deleting(request.name());
        }
        RETURN_IF_ERROR(domain::CheckConnectorSpec(resolved.source.spec(), resolved.plane));
        RETURN_IF_ERROR(domain::CheckConnectorSpec(resolved.destination.spec(), resolved.plane));
        return resolved;
    };
    auto checked = plan();
    if (!checked.ok()) {
        done(checked.status());
        return;
    }
    v1::Command command;
    *command.mutable_check_pipeline()->mutable_pipeline() = checked->Config();
    const std::string plane = checked->plane.metadata().name();
    Ask(hub_, plane, session::Choice::kFreshest, std::move(command), deadline,
        [this, checked = *std::move(checked), validate_only = request.validate_only(),
         done = std::move(done)](absl::StatusOr<v1::CommandResult> result) {
            const absl::Status verdict = result.ok() ? StatusOf(result->findings()) : result.status();
            if (!verdict.ok()) {
                done(verdict);
                return;
            }
            v1::DeployPipelineResponse response;
            *response.mutable_findings() = std::move(*result->mutable_findings());
            auto pipeline = validate_only ? Get(checked.pipeline.metadata().name()) : FinishDeploy(checked);
            if (!pipeline.ok()) {
                done(pipeline.status());
                return;
            }
            *response.mutable_pipeline() = *std::move(pipeline);
            done(std::move(response));
        });
}

absl::StatusOr<v1::Pipeline> Pipelines::FinishDeploy(const Resolved& checked) {
    const std::string& name = checked.pipeline.metadata().name();
    const std::string& plane = checked.plane.metadata().name();
    v1::Pipeline pipeline;
    const absl::Status written = store_.Update([&](store::Transaction& transaction) -> absl::Status {
        ASSIGN_OR_RETURN(pipeline, LoadNamed<v1::Pipeline>(transaction, name));
        ASSIGN_OR_RETURN(const Resolved current, Resolve(transaction, pipeline));
        if (pipeline.metadata().etag() != checked.pipeline.metadata().etag() ||
            current.source.metadata().etag() != checked.source.metadata().etag() ||
            current.destination.metadata().etag() != checked.destination.metadata().etag()) {
            return base::MakeError(
                absl::StatusCode::kAborted, "CHANGED_DURING_CHECKS",
                absl::StrCat(name, " or one of its connectors was changed while it was checked."),
                "Deploy it again.");
        }
        if (pipeline.spec().desired_state() == PipelineSpec::DESIRED_STATE_RUNNING) {
            return absl::OkStatus();
        }
        pipeline.mutable_spec()->set_desired_state(PipelineSpec::DESIRED_STATE_RUNNING);
        Touch(*pipeline.mutable_metadata(), true);
        RETURN_IF_ERROR(store::AppendEvent(
            transaction, name, MakeEvent(v1::PipelineEvent::TYPE_DEPLOYED, "the pipeline was deployed")));
        return Store(transaction, pipeline, plane, store::Expected::Any());
    });
    RETURN_IF_ERROR(written);
    FillStatus(pipeline, plane);
    return pipeline;
}

void Pipelines::MarkSourcePosition(const v1::MarkSourcePositionRequest& request, absl::Time deadline,
                                   Done<v1::MarkSourcePositionResponse> done) {
    const auto resolved = LoadRunning(request.name());
    if (!resolved.ok()) {
        done(resolved.status());
        return;
    }
    v1::Command command;
    *command.mutable_mark_position()->mutable_pipeline() = resolved->Config();
    Ask(hub_, resolved->plane.metadata().name(), session::Choice::kFreshest, std::move(command), deadline,
        [done = std::move(done)](absl::StatusOr<v1::CommandResult> result) {
            if (!result.ok()) {
                done(result.status());
                return;
            }
            v1::MarkSourcePositionResponse response;
            response.set_position(result->position());
            done(std::move(response));
        });
}

void Pipelines::GetCaughtUp(const v1::GetCaughtUpRequest& request, absl::Time deadline,
                            Done<v1::GetCaughtUpResponse> done) {
    const auto resolved = LoadRunning(request.name());
    if (!resolved.ok()) {
        done(resolved.status());
        return;
    }
    v1::Command command;
    *command.mutable_caught_up()->mutable_pipeline() = resolved->Config();
    command.mutable_caught_up()->set_position(request.position());
    Ask(hub_, resolved->plane.metadata().name(), session::Choice::kSteady, std::move(command), deadline,
        [done = std::move(done)](absl::StatusOr<v1::CommandResult> result) {
            if (!result.ok()) {
                done(result.status());
                return;
            }
            v1::GetCaughtUpResponse response;
            response.set_caught_up(result->caught_up());
            *response.mutable_waiting_for() = std::move(*result->mutable_waiting_for());
            done(std::move(response));
        });
}

}  // namespace millrace::api
