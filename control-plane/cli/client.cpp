#include "control-plane/cli/client.h"

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <thread>

#include "base/file.h"
#include "base/status.h"
#include "control-plane/api/errors.h"
#include "millrace/v1/control.grpc.pb.h"

namespace millrace::cli {
namespace {

// A check may have to wait for a connection's time-out on the data plane.
constexpr std::chrono::seconds kDeadline{60};
constexpr std::chrono::seconds kTablesTold{10};
constexpr std::chrono::milliseconds kTablesLook{200};
constexpr int kMaxMessageSize = 64 * 1024 * 1024;

std::string Trailer(const grpc::ClientContext& context, const std::string& key) {
    const auto& trailers = context.GetServerTrailingMetadata();
    const auto found = trailers.find(key);
    return found == trailers.end() ? "" : std::string(found->second.data(), found->second.size());
}

}  // namespace

struct Client::Impl final {
    std::string endpoint;
    base::Secret token;
    std::shared_ptr<grpc::Channel> channel;
    std::unique_ptr<v1::DataPlaneService::Stub> planes;
    std::unique_ptr<v1::ConnectorService::Stub> connectors;
    std::unique_ptr<v1::PipelineService::Stub> pipelines;

    void Prepare(grpc::ClientContext& context) const {
        context.set_deadline(std::chrono::system_clock::now() + kDeadline);
        context.AddMetadata("authorization", "Bearer " + token.Reveal());
    }

    absl::Status ToStatus(const grpc::Status& status, const grpc::ClientContext& context) const {
        if (status.ok()) {
            return absl::OkStatus();
        }
        const std::string reason = Trailer(context, api::kReasonKey);
        if (status.error_code() == grpc::StatusCode::UNAVAILABLE && reason.empty()) {
            return base::MakeError(absl::StatusCode::kUnavailable, "CONTROL_PLANE_UNREACHABLE",
                                   "the control plane at " + endpoint + " does not answer",
                                   "Start it (deploy/local/up) or give its address with --endpoint");
        }
        return api::ErrorFromWire(status.error_code(), status.error_message(), reason,
                                  Trailer(context, api::kRemedyKey));
    }

    template <typename Stub, typename Request, typename Response>
    absl::StatusOr<Response> Call(Stub& stub,
                                  grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                               Response*),
                                  const Request& request) const {
        const auto given_up = std::chrono::steady_clock::now() + kTablesTold;
        for (;;) {
            grpc::ClientContext context;
            Prepare(context);
            Response response;
            const absl::Status status = ToStatus((stub.*method)(&context, request, &response), context);
            if (status.ok()) {
                return response;
            }
            // A worker that has just begun has its tables some heartbeats later.
            if (base::ReasonOf(status) != "TABLES_NOT_TOLD" || std::chrono::steady_clock::now() >= given_up) {
                return status;
            }
            std::this_thread::sleep_for(kTablesLook);
        }
    }
};

namespace {

template <typename Request>
Request Named(const std::string& name) {
    Request request;
    request.set_name(name);
    return request;
}

}  // namespace

Client::Client(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Client::~Client() = default;

absl::StatusOr<std::unique_ptr<Client>> Client::Create(const Credentials& credentials,
                                                       const std::string& tls_ca) {
    auto impl = std::make_unique<Impl>();
    impl->endpoint = credentials.endpoint;
    impl->token = credentials.token;
    std::shared_ptr<grpc::ChannelCredentials> channel_credentials = grpc::InsecureChannelCredentials();
    if (!tls_ca.empty()) {
        grpc::SslCredentialsOptions options;
        ASSIGN_OR_RETURN(options.pem_root_certs, base::ReadFile(tls_ca));
        channel_credentials = grpc::SslCredentials(options);
    }
    // The status of ten thousand tables passes gRPC's limit of 4 MiB.
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(kMaxMessageSize);
    impl->channel = grpc::CreateCustomChannel(credentials.endpoint, channel_credentials, arguments);
    impl->planes = v1::DataPlaneService::NewStub(impl->channel);
    impl->connectors = v1::ConnectorService::NewStub(impl->channel);
    impl->pipelines = v1::PipelineService::NewStub(impl->channel);
    return std::unique_ptr<Client>(new Client(std::move(impl)));
}

const std::string& Client::endpoint() const {
    return impl_->endpoint;
}

absl::StatusOr<v1::DataPlane> Client::GetDataPlane(const std::string& name) {
    return impl_->Call(*impl_->planes, &v1::DataPlaneService::Stub::GetDataPlane,
                       Named<v1::GetDataPlaneRequest>(name));
}

absl::StatusOr<v1::Connector> Client::GetConnector(const std::string& name) {
    return impl_->Call(*impl_->connectors, &v1::ConnectorService::Stub::GetConnector,
                       Named<v1::GetConnectorRequest>(name));
}

absl::StatusOr<std::vector<v1::Connector>> Client::ListConnectors(const std::string& parent) {
    std::vector<v1::Connector> all;
    v1::ListConnectorsRequest request;
    request.set_parent(parent);
    do {
        ASSIGN_OR_RETURN(
            auto page, impl_->Call(*impl_->connectors, &v1::ConnectorService::Stub::ListConnectors, request));
        all.insert(all.end(), page.connectors().begin(), page.connectors().end());
        request.set_page_token(page.next_page_token());
    } while (!request.page_token().empty());
    return all;
}

absl::StatusOr<v1::Connector> Client::CreateConnector(const v1::CreateConnectorRequest& request) {
    return impl_->Call(*impl_->connectors, &v1::ConnectorService::Stub::CreateConnector, request);
}

absl::StatusOr<v1::Connector> Client::UpdateConnector(const v1::UpdateConnectorRequest& request) {
    return impl_->Call(*impl_->connectors, &v1::ConnectorService::Stub::UpdateConnector, request);
}

absl::Status Client::DeleteConnector(const std::string& name) {
    return impl_
        ->Call(*impl_->connectors, &v1::ConnectorService::Stub::DeleteConnector,
               Named<v1::DeleteConnectorRequest>(name))
        .status();
}

absl::StatusOr<v1::CheckConnectorResponse> Client::CheckConnector(const v1::CheckConnectorRequest& request) {
    return impl_->Call(*impl_->connectors, &v1::ConnectorService::Stub::CheckConnector, request);
}

absl::StatusOr<v1::Pipeline> Client::GetPipeline(const std::string& name) {
    return impl_->Call(*impl_->pipelines, &v1::PipelineService::Stub::GetPipeline,
                       Named<v1::GetPipelineRequest>(name));
}

absl::StatusOr<std::vector<v1::Pipeline>> Client::ListPipelines(const std::string& parent) {
    std::vector<v1::Pipeline> all;
    v1::ListPipelinesRequest request;
    request.set_parent(parent);
    do {
        ASSIGN_OR_RETURN(auto page,
                         impl_->Call(*impl_->pipelines, &v1::PipelineService::Stub::ListPipelines, request));
        all.insert(all.end(), page.pipelines().begin(), page.pipelines().end());
        request.set_page_token(page.next_page_token());
    } while (!request.page_token().empty());
    return all;
}

absl::StatusOr<v1::Pipeline> Client::CreatePipeline(const v1::CreatePipelineRequest& request) {
    return impl_->Call(*impl_->pipelines, &v1::PipelineService::Stub::CreatePipeline, request);
}

absl::StatusOr<v1::Pipeline> Client::UpdatePipeline(const v1::UpdatePipelineRequest& request) {
    return impl_->Call(*impl_->pipelines, &v1::PipelineService::Stub::UpdatePipeline, request);
}

absl::StatusOr<v1::Pipeline> Client::DeletePipeline(const std::string& name, bool force) {
    auto request = Named<v1::DeletePipelineRequest>(name);
    request.set_force(force);
    return impl_->Call(*impl_->pipelines, &v1::PipelineService::Stub::DeletePipeline, request);
}

absl::StatusOr<v1::Pipeline> Client::DeployPipeline(const std::string& name, bool validate_only,
                                                    std::vector<v1::Finding>& findings) {
    auto request = Named<v1::DeployPipelineRequest>(name);
    request.set_validate_only(validate_only);
    grpc::ClientContext context;
    impl_->Prepare(context);
    v1::DeployPipelineResponse response;
    const grpc::Status status = impl_->pipelines->DeployPipeline(&context, request, &response);
    v1::CheckConnectorResponse refused;
    if (!status.ok() && refused.ParseFromString(Trailer(context, api::kFindingsKey))) {
        findings.assign(refused.findings().begin(), refused.findings().end());
    }
    RETURN_IF_ERROR(impl_->ToStatus(status, context));
    findings.assign(response.findings().begin(), response.findings().end());
    return response.pipeline();
}

absl::StatusOr<v1::Pipeline> Client::PausePipeline(const std::string& name) {
    return impl_->Call(*impl_->pipelines, &v1::PipelineService::Stub::PausePipeline,
                       Named<v1::PausePipelineRequest>(name));
}

absl::StatusOr<v1::Pipeline> Client::ResumePipeline(const std::string& name) {
    return impl_->Call(*impl_->pipelines, &v1::PipelineService::Stub::ResumePipeline,
                       Named<v1::ResumePipelineRequest>(name));
}

absl::StatusOr<v1::Pipeline> Client::PauseTable(const v1::PausePipelineTableRequest& request) {
    return impl_->Call(*impl_->pipelines, &v1::PipelineService::Stub::PausePipelineTable, request);
}

absl::StatusOr<v1::Pipeline> Client::ResumeTable(const v1::ResumePipelineTableRequest& request) {
    return impl_->Call(*impl_->pipelines, &v1::PipelineService::Stub::ResumePipelineTable, request);
}

absl::StatusOr<v1::Pipeline> Client::ResyncTable(const v1::ResyncPipelineTableRequest& request) {
    return impl_->Call(*impl_->pipelines, &v1::PipelineService::Stub::ResyncPipelineTable, request);
}

absl::StatusOr<v1::Pipeline> Client::StartBackfill(const v1::StartPipelineTableBackfillRequest& request) {
    return impl_->Call(*impl_->pipelines, &v1::PipelineService::Stub::StartPipelineTableBackfill, request);
}

absl::StatusOr<v1::Pipeline> Client::PauseBackfill(const v1::PausePipelineTableBackfillRequest& request) {
    return impl_->Call(*impl_->pipelines, &v1::PipelineService::Stub::PausePipelineTableBackfill, request);
}

absl::StatusOr<v1::Pipeline> Client::ResumeBackfill(const v1::ResumePipelineTableBackfillRequest& request) {
    return impl_->Call(*impl_->pipelines, &v1::PipelineService::Stub::ResumePipelineTableBackfill, request);
}

absl::StatusOr<v1::Pipeline> Client::CancelBackfill(const v1::CancelPipelineTableBackfillRequest& request) {
    return impl_->Call(*impl_->pipelines, &v1::PipelineService::Stub::CancelPipelineTableBackfill, request);
}

absl::StatusOr<v1::Pipeline> Client::ConfirmDrop(const v1::ConfirmPipelineTableDropRequest& request) {
    return impl_->Call(*impl_->pipelines, &v1::PipelineService::Stub::ConfirmPipelineTableDrop, request);
}

absl::StatusOr<v1::Pipeline> Client::SkipTable(const v1::SkipPipelineTableRequest& request) {
    return impl_->Call(*impl_->pipelines, &v1::PipelineService::Stub::SkipPipelineTable, request);
}

absl::StatusOr<v1::Pipeline> Client::ReplayDeadLetters(
    const v1::ReplayPipelineTableDeadLettersRequest& request) {
    return impl_->Call(*impl_->pipelines, &v1::PipelineService::Stub::ReplayPipelineTableDeadLetters, request);
}

absl::StatusOr<v1::Pipeline> Client::ResyncPipeline(const std::string& name) {
    return impl_->Call(*impl_->pipelines, &v1::PipelineService::Stub::ResyncPipeline,
                       Named<v1::ResyncPipelineRequest>(name));
}

absl::StatusOr<v1::ListPipelineEventsResponse> Client::ListEvents(
    const v1::ListPipelineEventsRequest& request) {
    return impl_->Call(*impl_->pipelines, &v1::PipelineService::Stub::ListPipelineEvents, request);
}

absl::StatusOr<std::string> Client::MarkSourcePosition(const std::string& name) {
    ASSIGN_OR_RETURN(auto response,
                     impl_->Call(*impl_->pipelines, &v1::PipelineService::Stub::MarkSourcePosition,
                                 Named<v1::MarkSourcePositionRequest>(name)));
    return response.position();
}

absl::StatusOr<v1::GetCaughtUpResponse> Client::GetCaughtUp(const std::string& name,
                                                            const std::string& position) {
    auto request = Named<v1::GetCaughtUpRequest>(name);
    request.set_position(position);
    return impl_->Call(*impl_->pipelines, &v1::PipelineService::Stub::GetCaughtUp, request);
}

}  // namespace millrace::cli
