#include "control-plane/api/services.h"

#include <memory>
#include <utility>

#include "control-plane/api/call.h"
#include "millrace/v1/control.grpc.pb.h"

namespace millrace::api {
namespace {

using Context = grpc::CallbackServerContext;
using Reactor = grpc::ServerUnaryReactor;

enum class Noise { kQuiet, kLogged };

/// Authenticates, lets `handle` answer now or later, finishes the call.
template <typename Response>
Reactor* Run(const ServiceContext& services, Context* context, const char* method, Noise noise,
             Response* response,
             const std::function<void(absl::Time deadline, Done<Response> done)>& handle) {
    Reactor* reactor = context->DefaultReactor();
    const auto call = std::make_shared<Call>(*context, services.metrics, method, noise == Noise::kQuiet);
    if (const absl::Status refused = call->Authenticate(services.token); !refused.ok()) {
        reactor->Finish(call->Finish(refused));
        return reactor;
    }
    handle(call->deadline(), [reactor, call, response](absl::StatusOr<Response> result) {
        if (result.ok()) {
            *response = *std::move(result);
        }
        reactor->Finish(call->Finish(result.status()));
    });
    return reactor;
}

/// As Run, for a handler that returns its answer.
template <typename Response>
Reactor* RunNow(const ServiceContext& services, Context* context, const char* method, Noise noise,
                Response* response, const std::function<absl::StatusOr<Response>()>& handle) {
    return Run<Response>(services, context, method, noise, response,
                         [&](absl::Time, const Done<Response>& done) { done(handle()); });
}

class TenantService final : public v1::TenantService::CallbackService {
 public:
    explicit TenantService(const ServiceContext& services) : s_(services) {}

    Reactor* GetTenant(Context* context, const v1::GetTenantRequest* request, v1::Tenant* response) override {
        return RunNow<v1::Tenant>(s_, context, "TenantService/GetTenant", Noise::kQuiet, response,
                                  [&] { return s_.planes.GetTenant(*request); });
    }
    Reactor* ListTenants(Context* context, const v1::ListTenantsRequest* request,
                         v1::ListTenantsResponse* response) override {
        return RunNow<v1::ListTenantsResponse>(s_, context, "TenantService/ListTenants", Noise::kQuiet,
                                               response, [&] { return s_.planes.ListTenants(*request); });
    }

 private:
    ServiceContext s_;
};

class DataPlaneService final : public v1::DataPlaneService::CallbackService {
 public:
    explicit DataPlaneService(const ServiceContext& services) : s_(services) {}

    Reactor* GetDataPlane(Context* context, const v1::GetDataPlaneRequest* request,
                          v1::DataPlane* response) override {
        return RunNow<v1::DataPlane>(s_, context, "DataPlaneService/GetDataPlane", Noise::kQuiet, response,
                                     [&] { return s_.planes.GetDataPlane(*request); });
    }
    Reactor* ListDataPlanes(Context* context, const v1::ListDataPlanesRequest* request,
                            v1::ListDataPlanesResponse* response) override {
        return RunNow<v1::ListDataPlanesResponse>(s_, context, "DataPlaneService/ListDataPlanes",
                                                  Noise::kQuiet, response,
                                                  [&] { return s_.planes.ListDataPlanes(*request); });
    }

 private:
    ServiceContext s_;
};

class ConnectorService final : public v1::ConnectorService::CallbackService {
 public:
    explicit ConnectorService(const ServiceContext& services) : s_(services) {}

    Reactor* CreateConnector(Context* context, const v1::CreateConnectorRequest* request,
                             v1::Connector* response) override {
        return RunNow<v1::Connector>(s_, context, "ConnectorService/CreateConnector", Noise::kLogged,
                                     response, [&] { return s_.connectors.Create(*request); });
    }
    Reactor* GetConnector(Context* context, const v1::GetConnectorRequest* request,
                          v1::Connector* response) override {
        return RunNow<v1::Connector>(s_, context, "ConnectorService/GetConnector", Noise::kQuiet, response,
                                     [&] { return s_.connectors.Get(*request); });
    }
    Reactor* ListConnectors(Context* context, const v1::ListConnectorsRequest* request,
                            v1::ListConnectorsResponse* response) override {
        return RunNow<v1::ListConnectorsResponse>(s_, context, "ConnectorService/ListConnectors",
                                                  Noise::kQuiet, response,
                                                  [&] { return s_.connectors.List(*request); });
    }
    Reactor* UpdateConnector(Context* context, const v1::UpdateConnectorRequest* request,
                             v1::Connector* response) override {
        return RunNow<v1::Connector>(s_, context, "ConnectorService/UpdateConnector", Noise::kLogged,
                                     response, [&] { return s_.connectors.Update(*request); });
    }
    Reactor* DeleteConnector(Context* context, const v1::DeleteConnectorRequest* request,
                             google::protobuf::Empty* response) override {
        return RunNow<google::protobuf::Empty>(s_, context, "ConnectorService/DeleteConnector",
                                               Noise::kLogged, response,
                                               [&] { return s_.connectors.Delete(*request); });
    }
    Reactor* CheckConnector(Context* context, const v1::CheckConnectorRequest* request,
                            v1::CheckConnectorResponse* response) override {
        return Run<v1::CheckConnectorResponse>(s_, context, "ConnectorService/CheckConnector", Noise::kLogged,
                                               response, [&](absl::Time deadline, auto done) {
                                                   s_.connectors.Check(*request, deadline, std::move(done));
                                               });
    }
    Reactor* ListSourceTables(Context* context, const v1::ListSourceTablesRequest* request,
                              v1::ListSourceTablesResponse* response) override {
        return Run<v1::ListSourceTablesResponse>(
            s_, context, "ConnectorService/ListSourceTables", Noise::kLogged, response,
            [&](absl::Time deadline, auto done) {
                s_.connectors.ListSourceTables(*request, deadline, std::move(done));
            });
    }

 private:
    ServiceContext s_;
};

class PipelineService final : public v1::PipelineService::CallbackService {
 public:
    explicit PipelineService(const ServiceContext& services) : s_(services) {}

    Reactor* CreatePipeline(Context* context, const v1::CreatePipelineRequest* request,
                            v1::Pipeline* response) override {
        return RunNow<v1::Pipeline>(s_, context, "PipelineService/CreatePipeline", Noise::kLogged, response,
                                    [&] { return s_.pipelines.Create(*request); });
    }
    Reactor* GetPipeline(Context* context, const v1::GetPipelineRequest* request,
                         v1::Pipeline* response) override {
        return RunNow<v1::Pipeline>(s_, context, "PipelineService/GetPipeline", Noise::kQuiet, response,
                                    [&] { return s_.pipelines.Get(request->name()); });
    }
    Reactor* ListPipelines(Context* context, const v1::ListPipelinesRequest* request,
                           v1::ListPipelinesResponse* response) override {
        return RunNow<v1::ListPipelinesResponse>(s_, context, "PipelineService/ListPipelines", Noise::kQuiet,
                                                 response, [&] { return s_.pipelines.List(*request); });
    }
    Reactor* UpdatePipeline(Context* context, const v1::UpdatePipelineRequest* request,
                            v1::Pipeline* response) override {
        return RunNow<v1::Pipeline>(s_, context, "PipelineService/UpdatePipeline", Noise::kLogged, response,
                                    [&] { return s_.pipelines.Update(*request); });
    }
    Reactor* DeletePipeline(Context* context, const v1::DeletePipelineRequest* request,
                            v1::Pipeline* response) override {
        return RunNow<v1::Pipeline>(s_, context, "PipelineService/DeletePipeline", Noise::kLogged, response,
                                    [&] { return s_.pipelines.Delete(*request); });
    }
    Reactor* PausePipeline(Context* context, const v1::PausePipelineRequest* request,
                           v1::Pipeline* response) override {
        return RunNow<v1::Pipeline>(
            s_, context, "PipelineService/PausePipeline", Noise::kLogged, response, [&] {
                return s_.pipelines.SetDesiredState(request->name(), v1::PipelineSpec::DESIRED_STATE_PAUSED);
            });
    }
    Reactor* ResumePipeline(Context* context, const v1::ResumePipelineRequest* request,
                            v1::Pipeline* response) override {
        return RunNow<v1::Pipeline>(
            s_, context, "PipelineService/ResumePipeline", Noise::kLogged, response, [&] {
                return s_.pipelines.SetDesiredState(request->name(), v1::PipelineSpec::DESIRED_STATE_RUNNING);
            });
    }
    Reactor* PausePipelineTable(Context* context, const v1::PausePipelineTableRequest* request,
                               v1::Pipeline* response) override {
        return RunNow<v1::Pipeline>(s_, context, "PipelineService/PausePipelineTable", Noise::kLogged, response,
                                    [&] { return s_.pipelines.PauseTable(*request); });
    }
    Reactor* ResumePipelineTable(Context* context, const v1::ResumePipelineTableRequest* request,
                               v1::Pipeline* response) override {
        return RunNow<v1::Pipeline>(s_, context, "PipelineService/ResumePipelineTable", Noise::kLogged, response,
                                    [&] { return s_.pipelines.ResumeTable(*request); });
    }
    Reactor* ResyncPipelineTable(Context* context, const v1::ResyncPipelineTableRequest* request,
                               v1::Pipeline* response) override {
        return RunNow<v1::Pipeline>(s_, context, "PipelineService/ResyncPipelineTable", Noise::kLogged, response,
                                    [&] { return s_.pipelines.ResyncTable(*request); });
    }
    Reactor* StartPipelineTableBackfill(Context* context, const v1::StartPipelineTableBackfillRequest* request,
                                        v1::Pipeline* response) override {
        return RunNow<v1::Pipeline>(s_, context, "PipelineService/StartPipelineTableBackfill", Noise::kLogged, response,
                                    [&] { return s_.pipelines.StartBackfill(*request); });
    }
    Reactor* PausePipelineTableBackfill(Context* context, const v1::PausePipelineTableBackfillRequest* request,
                                        v1::Pipeline* response) override {
        return RunNow<v1::Pipeline>(s_, context, "PipelineService/PausePipelineTableBackfill", Noise::kLogged, response,
                                    [&] { return s_.pipelines.PauseBackfill(*request); });
    }
    Reactor* ResumePipelineTableBackfill(Context* context, const v1::ResumePipelineTableBackfillRequest* request,
                                        v1::Pipeline* response) override {
        return RunNow<v1::Pipeline>(s_, context, "PipelineService/ResumePipelineTableBackfill", Noise::kLogged, response,
                                    [&] { return s_.pipelines.ResumeBackfill(*request); });
    }
    Reactor* CancelPipelineTableBackfill(Context* context, const v1::CancelPipelineTableBackfillRequest* request,
                                        v1::Pipeline* response) override {
        return RunNow<v1::Pipeline>(s_, context, "PipelineService/CancelPipelineTableBackfill", Noise::kLogged, response,
                                    [&] { return s_.pipelines.CancelBackfill(*request); });
    }
    Reactor* SkipPipelineTable(Context* context, const v1::SkipPipelineTableRequest* request,
                               v1::Pipeline* response) override {
        return RunNow<v1::Pipeline>(s_, context, "PipelineService/SkipPipelineTable", Noise::kLogged, response,
                                    [&] { return s_.pipelines.SkipTable(*request); });
    }
    Reactor* ConfirmPipelineTableDrop(Context* context, const v1::ConfirmPipelineTableDropRequest* request,
                                      v1::Pipeline* response) override {
        return RunNow<v1::Pipeline>(s_, context, "PipelineService/ConfirmPipelineTableDrop", Noise::kLogged,
                                    response, [&] { return s_.pipelines.ConfirmDrop(*request); });
    }
    Reactor* ReplayPipelineTableDeadLetters(Context* context,
                                            const v1::ReplayPipelineTableDeadLettersRequest* request,
                                            v1::Pipeline* response) override {
        return RunNow<v1::Pipeline>(s_, context, "PipelineService/ReplayPipelineTableDeadLetters",
                                    Noise::kLogged, response,
                                    [&] { return s_.pipelines.ReplayDeadLetters(*request); });
    }
    Reactor* ResyncPipeline(Context* context, const v1::ResyncPipelineRequest* request,
                            v1::Pipeline* response) override {
        return RunNow<v1::Pipeline>(s_, context, "PipelineService/ResyncPipeline", Noise::kLogged, response,
                                    [&] { return s_.pipelines.Resync(request->name()); });
    }
    Reactor* ListPipelineEvents(Context* context, const v1::ListPipelineEventsRequest* request,
                                v1::ListPipelineEventsResponse* response) override {
        return RunNow<v1::ListPipelineEventsResponse>(s_, context, "PipelineService/ListPipelineEvents",
                                                      Noise::kQuiet, response,
                                                      [&] { return s_.pipelines.ListEvents(*request); });
    }
    Reactor* DeployPipeline(Context* context, const v1::DeployPipelineRequest* request,
                            v1::DeployPipelineResponse* response) override {
        return Run<v1::DeployPipelineResponse>(s_, context, "PipelineService/DeployPipeline", Noise::kLogged,
                                               response, [&](absl::Time deadline, auto done) {
                                                   s_.pipelines.Deploy(*request, deadline, std::move(done));
                                               });
    }
    Reactor* MarkSourcePosition(Context* context, const v1::MarkSourcePositionRequest* request,
                                v1::MarkSourcePositionResponse* response) override {
        return Run<v1::MarkSourcePositionResponse>(
            s_, context, "PipelineService/MarkSourcePosition", Noise::kLogged, response,
            [&](absl::Time deadline, auto done) {
                s_.pipelines.MarkSourcePosition(*request, deadline, std::move(done));
            });
    }
    Reactor* GetCaughtUp(Context* context, const v1::GetCaughtUpRequest* request,
                         v1::GetCaughtUpResponse* response) override {
        return Run<v1::GetCaughtUpResponse>(s_, context, "PipelineService/GetCaughtUp", Noise::kQuiet,
                                            response, [&](absl::Time deadline, auto done) {
                                                s_.pipelines.GetCaughtUp(*request, deadline, std::move(done));
                                            });
    }
    grpc::ServerWriteReactor<v1::WatchPipelineResponse>* WatchPipeline(
        Context* context, const v1::WatchPipelineRequest* request) override;

 private:
    ServiceContext s_;
};

/// One watcher's stream. Owns itself until gRPC is done with it.
class WatchStream final : public grpc::ServerWriteReactor<v1::WatchPipelineResponse>,
                          public Watcher,
                          public std::enable_shared_from_this<WatchStream> {
 public:
    WatchStream(const ServiceContext& services, Context* context, std::string name)
        : watches_(services.watches),
          call_(*context, services.metrics, "PipelineService/WatchPipeline", true),
          refused_(call_.Authenticate(services.token)),
          name_(std::move(name)) {}

    void Begin() {
        self_ = shared_from_this();
        if (!refused_.ok()) {
            End(refused_);
        } else if (!watches_.Add(self_)) {
            End(Watches::ShuttingDown());
        }
    }

    const std::string& name() const override { return name_; }

    void Offer(const v1::Pipeline& pipeline, const std::string& bytes) override {
        {
            const std::lock_guard lock(mutex_);
            if (ended_ || writing_ || bytes == last_bytes_) {
                return;
            }
            last_bytes_ = bytes;
            *response_.mutable_pipeline() = pipeline;
            writing_ = true;
        }
        StartWrite(&response_);
    }

    void End(const absl::Status& status) override {
        {
            const std::lock_guard lock(mutex_);
            if (ended_) {
                return;
            }
            ended_ = true;
            end_ = status;
            if (writing_) {
                return;
            }
        }
        Finish(call_.Finish(end_));
    }

    void OnWriteDone(bool ok) override {
        {
            const std::lock_guard lock(mutex_);
            writing_ = false;
            if (ok && !ended_) {
                return;
            }
            if (!ended_) {
                ended_ = true;
                end_ = absl::CancelledError("the client has gone");
            }
        }
        Finish(call_.Finish(end_));
    }

    void OnCancel() override { End(absl::CancelledError("the client has gone")); }

    void OnDone() override {
        watches_.Remove(this);
        self_.reset();
    }

 private:
    Watches& watches_;
    Call call_;
    absl::Status refused_;
    std::string name_;
    std::shared_ptr<WatchStream> self_;
    std::mutex mutex_;
    bool writing_ = false;
    bool ended_ = false;
    absl::Status end_;
    std::string last_bytes_;
    v1::WatchPipelineResponse response_;
};

grpc::ServerWriteReactor<v1::WatchPipelineResponse>* PipelineService::WatchPipeline(
    Context* context, const v1::WatchPipelineRequest* request) {
    const auto stream = std::make_shared<WatchStream>(s_, context, request->name());
    stream->Begin();
    return stream.get();
}

}  // namespace

std::vector<std::unique_ptr<grpc::Service>> MakeServices(const ServiceContext& context) {
    std::vector<std::unique_ptr<grpc::Service>> services;
    services.push_back(std::make_unique<TenantService>(context));
    services.push_back(std::make_unique<DataPlaneService>(context));
    services.push_back(std::make_unique<ConnectorService>(context));
    services.push_back(std::make_unique<PipelineService>(context));
    return services;
}

}  // namespace millrace::api
