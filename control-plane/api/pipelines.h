/// Handlers of PipelineService. Not for: the wire (server.cpp), rules of specs and status (domain).
#pragma once

#include <functional>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "control-plane/api/forward.h"
#include "control-plane/session/hub.h"
#include "control-plane/store/store.h"
#include "millrace/v1/control.pb.h"
#include "millrace/v1/link.pb.h"

namespace millrace::api {

/// With an id and the time; something that a user did.
v1::PipelineEvent MakeEvent(v1::PipelineEvent::Type type, const std::string& message);

/// Any thread. Every pipeline that is returned carries its status as of now.
class Pipelines final {
 public:
    Pipelines(store::Store& store, session::Hub& hub) : store_(store), hub_(hub) {}

    absl::StatusOr<v1::Pipeline> Create(const v1::CreatePipelineRequest& request);
    absl::StatusOr<v1::Pipeline> Get(const std::string& name) const;
    absl::StatusOr<v1::ListPipelinesResponse> List(const v1::ListPipelinesRequest& request) const;
    /// A deployed pipeline runs the change at once.
    absl::StatusOr<v1::Pipeline> Update(const v1::UpdatePipelineRequest& request);
    /// A draft is gone at once, a deployed pipeline when a worker says so, with force at once.
    absl::StatusOr<v1::Pipeline> Delete(const v1::DeletePipelineRequest& request);
    /// RUNNING or PAUSED. FailedPrecondition: NOT_DEPLOYED, PIPELINE_DELETING.
    absl::StatusOr<v1::Pipeline> SetDesiredState(const std::string& name,
                                                 v1::PipelineSpec::DesiredState state);

    /// Of one table; NotFound (TABLE_UNKNOWN), FailedPrecondition as SetDesiredState, SKIP_RANGE and
    /// DROP_NOT_PENDING.
    absl::StatusOr<v1::Pipeline> PauseTable(const v1::PausePipelineTableRequest& request);
    absl::StatusOr<v1::Pipeline> ResumeTable(const v1::ResumePipelineTableRequest& request);
    absl::StatusOr<v1::Pipeline> ResyncTable(const v1::ResyncPipelineTableRequest& request);
    absl::StatusOr<v1::Pipeline> StartBackfill(const v1::StartPipelineTableBackfillRequest& request);
    absl::StatusOr<v1::Pipeline> PauseBackfill(const v1::PausePipelineTableBackfillRequest& request);
    absl::StatusOr<v1::Pipeline> ResumeBackfill(const v1::ResumePipelineTableBackfillRequest& request);
    absl::StatusOr<v1::Pipeline> CancelBackfill(const v1::CancelPipelineTableBackfillRequest& request);
    absl::StatusOr<v1::Pipeline> SkipTable(const v1::SkipPipelineTableRequest& request);
    absl::StatusOr<v1::Pipeline> ConfirmDrop(const v1::ConfirmPipelineTableDropRequest& request);
    absl::StatusOr<v1::Pipeline> ReplayDeadLetters(const v1::ReplayPipelineTableDeadLettersRequest& request);
    /// A new slot, and every table copied anew.
    absl::StatusOr<v1::Pipeline> Resync(const std::string& name);
    absl::StatusOr<v1::ListPipelineEventsResponse> ListEvents(
        const v1::ListPipelineEventsRequest& request) const;

    /// FailedPrecondition with the findings when one is critical; Aborted (CHANGED_DURING_CHECKS).
    void Deploy(const v1::DeployPipelineRequest& request, absl::Time deadline,
                Done<v1::DeployPipelineResponse> done);
    void MarkSourcePosition(const v1::MarkSourcePositionRequest& request, absl::Time deadline,
                            Done<v1::MarkSourcePositionResponse> done);
    void GetCaughtUp(const v1::GetCaughtUpRequest& request, absl::Time deadline,
                     Done<v1::GetCaughtUpResponse> done);

 private:
    /// A pipeline with what its plane needs to know of it.
    struct Resolved {
        v1::Pipeline pipeline;
        v1::Connector source;
        v1::Connector destination;
        v1::DataPlane plane;

        [[nodiscard]] v1::PipelineConfig Config() const;
    };

    static absl::StatusOr<Resolved> Resolve(const store::Reader& reader, v1::Pipeline pipeline);
    absl::StatusOr<Resolved> LoadResolved(const std::string& name) const;
    /// As LoadResolved; FailedPrecondition when it is a draft or being deleted.
    absl::StatusOr<Resolved> LoadRunning(const std::string& name) const;
    absl::StatusOr<v1::Pipeline> FinishDeploy(const Resolved& checked);
    /// Writes what `order` makes of the table's override and appends the event.
    absl::StatusOr<v1::Pipeline> OrderTable(
        const std::string& name, const std::string& schema, const std::string& table, v1::PipelineEvent event,
        const std::function<absl::Status(const v1::TableStatus&, v1::TableOverride&)>& order);
    /// False for a worker that has just begun: it has its tables some heartbeats later.
    [[nodiscard]] bool HasToldItsTables(const v1::Pipeline& pipeline, const std::string& plane) const;
    void FillStatus(v1::Pipeline& pipeline, const std::string& plane) const;

    store::Store& store_;
    session::Hub& hub_;
};

}  // namespace millrace::api
