#include "control-plane/api/grpc_fixture.h"

#include <stdlib.h>

#include "absl/time/clock.h"
#include "base/seal.h"
#include "base/status.h"
#include "control-plane/api/errors.h"
#include "control-plane/store/resources.h"
#include "control-plane/store/sqlite_store.h"

namespace millrace::api {
namespace {

constexpr std::chrono::seconds kPatience{20};

void AddDescriptors(v1::Hello& hello) {
    auto* postgres = hello.add_descriptors();
    postgres->set_type("postgres");
    postgres->set_is_source(true);
    postgres->set_is_destination(true);
    auto* host = postgres->add_options();
    host->set_name("host");
    host->set_required(true);
    host->set_kind(v1::OptionDescriptor::KIND_STRING);
    auto* password = postgres->add_options();
    password->set_name("password");
    password->set_secret(true);
    password->set_kind(v1::OptionDescriptor::KIND_STRING);
}

}  // namespace

const std::string& PublicKey() {
    static const std::string* key = new std::string(base::GenerateKeyPair().value().public_pem);
    return *key;
}

std::string KeyFingerprint() {
    return base::Fingerprint(PublicKey()).value();
}

std::string PipelineName(const std::string& id) {
    return std::string(kTenant) + "/pipelines/" + id;
}
std::string ConnectorName(const std::string& id) {
    return std::string(kTenant) + "/connectors/" + id;
}

v1::PipelineFacts LiveFacts(const std::string& pipeline_id, const std::string& worker_id) {
    v1::PipelineFacts facts;
    facts.set_name(PipelineName(pipeline_id));
    facts.mutable_publisher()->set_state(v1::PublisherFacts::STATE_STREAMING);
    facts.mutable_publisher()->set_worker_id(worker_id);
    auto* table = facts.add_tables();
    table->set_schema("public");
    table->set_table("orders");
    table->set_state(v1::TableStatus::STATE_LIVE);
    table->set_worker_id(worker_id);
    return facts;
}

std::optional<v1::CommandResult> AllIsWell(const v1::Command& command) {
    v1::CommandResult result;
    if (command.has_check_pipeline() || command.has_check()) {
        auto* finding = result.add_findings();
        finding->set_code("WAL_LEVEL");
        finding->set_severity(v1::Finding::SEVERITY_OK);
        finding->set_message("wal_level is logical.");
    }
    if (command.has_list_tables()) {
        result.add_tables()->set_table("orders");
    }
    result.set_position(command.has_mark_position() ? "0/10" : "");
    result.set_caught_up(command.has_caught_up() && command.caught_up().position() == "0/10");
    return result;
}

ControlPlane::ControlPlane() {
    std::string folder = std::filesystem::temp_directory_path() / "millrace-control-XXXXXX";
    folder_ = mkdtemp(folder.data());
    Start();
}

ControlPlane::~ControlPlane() {
    Stop();
    std::filesystem::remove_all(folder_);
}

void ControlPlane::Start() {
    metrics_ = std::make_unique<base::Metrics>();
    store_ = store::OpenSqliteStore(folder_ / "control.db").value();
    ASSERT_TRUE(store::EnsurePlane(*store_, kTenant, kPlane).ok());
    session::HubOptions options;
    options.heartbeat = absl::Milliseconds(200);
    hub_ = session::Hub::Start(*store_, *metrics_, options).value();
    ServerOptions server;
    server.listen = "127.0.0.1:0";
    server.tokens.api = base::Secret(kApiToken);
    server.tokens.plane = base::Secret(kPlaneToken);
    server_ = Server::Start(*store_, *hub_, *metrics_, server).value();
}

void ControlPlane::Stop() {
    server_.reset();
    hub_.reset();
    store_.reset();
    metrics_.reset();
}

std::shared_ptr<grpc::Channel> ControlPlane::Connect() const {
    return grpc::CreateChannel("127.0.0.1:" + std::to_string(server_->port()),
                               grpc::InsecureChannelCredentials());
}

FakeWorker::FakeWorker(const std::shared_ptr<grpc::Channel>& channel, const Options& options, Answer answer)
    : stub_(v1::DataPlaneLinkService::NewStub(channel)),
      answer_(std::move(answer)),
      acknowledge_(options.acknowledge) {
    context_.AddMetadata("authorization", "Bearer " + options.token);
    stream_ = stub_->Connect(&context_);
    v1::ConnectRequest message;
    v1::Hello& hello = *message.mutable_hello();
    hello.set_data_plane(options.data_plane);
    hello.set_worker_id(options.worker_id);
    hello.set_boot_id(options.boot_id);
    hello.set_version("test");
    hello.set_role("all");
    hello.set_public_key_pem(PublicKey());
    hello.set_applied_epoch(options.applied_epoch);
    hello.set_applied_generation(options.applied_generation);
    AddDescriptors(hello);
    Send(message);
    reader_ = std::thread([this] { Read(); });
}

FakeWorker::~FakeWorker() {
    Disconnect();
}

void FakeWorker::Disconnect() {
    context_.TryCancel();
    if (reader_.joinable()) {
        reader_.join();
    }
}

void FakeWorker::Send(const v1::ConnectRequest& message) {
    const std::lock_guard lock(write_mutex_);
    stream_->Write(message);
}

void FakeWorker::SendFacts(const v1::PipelineFacts& facts) {
    v1::ConnectRequest message;
    *message.mutable_facts()->add_pipelines() = facts;
    Send(message);
}

void FakeWorker::Acknowledge(const v1::ConfigSnapshot& snapshot, const std::vector<std::string>& removed) {
    v1::ConnectRequest message;
    v1::Ack& ack = *message.mutable_ack();
    ack.set_nonce(snapshot.nonce());
    ack.set_epoch(snapshot.epoch());
    ack.set_generation(snapshot.generation());
    ack.mutable_removed()->Assign(removed.begin(), removed.end());
    Send(message);
}

void FakeWorker::Reject(const v1::ConfigSnapshot& snapshot, const std::string& resource,
                        const std::string& reason) {
    v1::ConnectRequest message;
    v1::Nack& nack = *message.mutable_nack();
    nack.set_nonce(snapshot.nonce());
    nack.set_epoch(snapshot.epoch());
    nack.set_generation(snapshot.generation());
    v1::Rejection& rejection = *nack.add_rejected();
    rejection.set_resource(resource);
    rejection.set_reason(reason);
    rejection.set_message("It cannot run.");
    Send(message);
}

void FakeWorker::Read() {
    v1::ConnectResponse message;
    while (stream_->Read(&message)) {
        if (message.has_command() && answer_) {
            if (auto result = answer_(message.command())) {
                v1::ConnectRequest reply;
                *reply.mutable_command_result() = *std::move(result);
                reply.mutable_command_result()->set_id(message.command().id());
                Send(reply);
            }
        }
        if (message.has_snapshot() && acknowledge_) {
            Acknowledge(message.snapshot());
        }
        const std::lock_guard lock(mutex_);
        if (message.has_welcome()) {
            welcome_ = message.welcome();
        }
        if (message.has_snapshot()) {
            snapshots_.push_back(message.snapshot());
        }
        changed_.notify_all();
    }
    const grpc::Status status = stream_->Finish();
    const std::lock_guard lock(mutex_);
    status_ = status;
    ended_ = true;
    changed_.notify_all();
}

v1::ConfigSnapshot FakeWorker::AwaitSnapshot(int64_t generation) {
    std::unique_lock lock(mutex_);
    const bool came = changed_.wait_for(
        lock, kPatience, [&] { return !snapshots_.empty() && snapshots_.back().generation() >= generation; });
    EXPECT_TRUE(came) << "no snapshot of generation " << generation
                      << "; stream: " << status_.error_message();
    return came ? snapshots_.back() : v1::ConfigSnapshot();
}

v1::Welcome FakeWorker::AwaitWelcome() {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, kPatience, [&] { return welcome_.has_value(); }));
    return welcome_.value_or(v1::Welcome());
}

size_t FakeWorker::snapshots() const {
    const std::lock_guard lock(mutex_);
    return snapshots_.size();
}

grpc::Status FakeWorker::AwaitEnd() {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, kPatience, [&] { return ended_; }));
    return status_;
}

std::string FakeWorker::TrailerOf(const std::string& key) const {
    const auto& trailers = context_.GetServerTrailingMetadata();
    const auto found = trailers.find(key);
    return found == trailers.end() ? "" : std::string(found->second.data(), found->second.size());
}

Client::Client(std::shared_ptr<grpc::Channel> channel, std::string token)
    : tenants(v1::TenantService::NewStub(channel)),
      planes(v1::DataPlaneService::NewStub(channel)),
      connectors(v1::ConnectorService::NewStub(channel)),
      pipelines(v1::PipelineService::NewStub(channel)),
      token_(std::move(token)) {}

void Client::Prepare(grpc::ClientContext& context, std::chrono::milliseconds timeout) const {
    context.set_deadline(std::chrono::system_clock::now() + timeout);
    if (!token_.empty()) {
        context.AddMetadata("authorization", "Bearer " + token_);
    }
}

void Client::Keep(const grpc::ClientContext& context, const grpc::Status& status) {
    status_ = status;
    trailers_.clear();
    for (const auto& [key, value] : context.GetServerTrailingMetadata()) {
        trailers_.emplace(std::string(key.data(), key.size()), std::string(value.data(), value.size()));
    }
}

std::string Client::Trailer(const std::string& key) const {
    const auto found = trailers_.find(key);
    return found == trailers_.end() ? "" : found->second;
}

absl::Status Client::Error(const grpc::Status& status) const {
    return ErrorFromWire(status.error_code(), status.error_message(), Trailer(kReasonKey),
                         Trailer(kRemedyKey));
}

absl::StatusOr<v1::Connector> Client::CreateConnector(const std::string& id, const std::string& type) {
    v1::CreateConnectorRequest request;
    request.set_parent(kTenant);
    request.set_connector_id(id);
    v1::ConnectorSpec& spec = *request.mutable_connector()->mutable_spec();
    spec.set_type(type);
    spec.set_data_plane(kPlane);
    (*spec.mutable_options())["host"] = "db." + id;
    return Call(*connectors, &v1::ConnectorService::Stub::CreateConnector, request);
}

absl::StatusOr<v1::Pipeline> Client::CreatePipeline(const std::string& id) {
    v1::CreatePipelineRequest request;
    request.set_parent(kTenant);
    request.set_pipeline_id(id);
    request.mutable_pipeline()->mutable_spec()->set_source(ConnectorName("src"));
    request.mutable_pipeline()->mutable_spec()->set_destination(ConnectorName("dst"));
    return Call(*pipelines, &v1::PipelineService::Stub::CreatePipeline, request);
}

absl::StatusOr<v1::Pipeline> Client::GetPipeline(const std::string& id) {
    v1::GetPipelineRequest request;
    request.set_name(PipelineName(id));
    return Call(*pipelines, &v1::PipelineService::Stub::GetPipeline, request);
}

absl::StatusOr<v1::DeployPipelineResponse> Client::Deploy(const std::string& id, bool validate_only) {
    v1::DeployPipelineRequest request;
    request.set_name(PipelineName(id));
    request.set_validate_only(validate_only);
    return Call(*pipelines, &v1::PipelineService::Stub::DeployPipeline, request);
}

absl::StatusOr<v1::Pipeline> Client::Delete(const std::string& id, bool force) {
    v1::DeletePipelineRequest request;
    request.set_name(PipelineName(id));
    request.set_force(force);
    return Call(*pipelines, &v1::PipelineService::Stub::DeletePipeline, request);
}

absl::StatusOr<v1::DataPlane> Client::GetPlane() {
    v1::GetDataPlaneRequest request;
    request.set_name(kPlane);
    return Call(*planes, &v1::DataPlaneService::Stub::GetDataPlane, request);
}

v1::PipelineStatus Client::AwaitState(const std::string& id, v1::PipelineStatus::State state) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    v1::PipelineStatus status;
    while (std::chrono::steady_clock::now() < deadline) {
        const auto pipeline = GetPipeline(id);
        if (pipeline.ok()) {
            status = pipeline->status();
            if (status.state() == state) {
                return status;
            }
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    ADD_FAILURE() << id << " did not reach state " << state << "; it is " << status.ShortDebugString();
    return status;
}

}  // namespace millrace::api
