/// For tests: a control plane on a free local port, its clients, and a worker that speaks the real link.
/// Not for: production code.
#pragma once

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "base/metrics.h"
#include "control-plane/api/server.h"
#include "control-plane/session/hub.h"
#include "control-plane/store/store.h"
#include "millrace/v1/control.grpc.pb.h"
#include "millrace/v1/link.grpc.pb.h"

namespace millrace::api {

inline constexpr char kTenant[] = "tenants/default";
inline constexpr char kPlane[] = "tenants/default/dataPlanes/default";
inline constexpr char kApiToken[] = "api-token-0123456789";
inline constexpr char kPlaneToken[] = "plane-token-0123456789";

/// The key pair's public half that all fake workers share; made once.
const std::string& PublicKey();
std::string KeyFingerprint();

/// Store, hub and server; can be stopped and started on the same store.
class ControlPlane final {
 public:
    ControlPlane();
    ~ControlPlane();

    void Start();
    void Stop();
    [[nodiscard]] std::shared_ptr<grpc::Channel> Connect() const;
    [[nodiscard]] store::Store& store() { return *store_; }
    [[nodiscard]] Server& server() { return *server_; }
    [[nodiscard]] const base::Metrics& metrics() const { return *metrics_; }

 private:
    std::filesystem::path folder_;
    std::unique_ptr<base::Metrics> metrics_;
    std::unique_ptr<store::Store> store_;
    std::unique_ptr<session::Hub> hub_;
    std::unique_ptr<Server> server_;
};

/// A worker's end of the link. Reads on a thread of its own.
class FakeWorker final {
 public:
    /// Answers a command; `id` is filled in. nullopt leaves it unanswered.
    using Answer = std::function<std::optional<v1::CommandResult>(const v1::Command&)>;

    struct Options {
        std::string worker_id = "w1";
        std::string boot_id = "boot-1";
        std::string token = kPlaneToken;
        std::string data_plane = kPlane;
        std::string applied_epoch;
        int64_t applied_generation = 0;
        /// Acknowledge snapshots by itself.
        bool acknowledge = true;
    };

    FakeWorker(const std::shared_ptr<grpc::Channel>& channel, const Options& options,
               Answer answer = nullptr);
    ~FakeWorker();

    void Send(const v1::ConnectRequest& message);
    void SendFacts(const v1::PipelineFacts& facts);
    void Acknowledge(const v1::ConfigSnapshot& snapshot, const std::vector<std::string>& removed = {});
    void Reject(const v1::ConfigSnapshot& snapshot, const std::string& resource, const std::string& reason);

    /// The newest snapshot of at least this generation; fails the test after some seconds.
    v1::ConfigSnapshot AwaitSnapshot(int64_t generation);
    v1::Welcome AwaitWelcome();
    [[nodiscard]] size_t snapshots() const;
    /// Waits until the server has ended the stream.
    grpc::Status AwaitEnd();
    [[nodiscard]] std::string TrailerOf(const std::string& key) const;
    void Disconnect();

 private:
    void Read();

    grpc::ClientContext context_;
    std::unique_ptr<v1::DataPlaneLinkService::Stub> stub_;
    std::unique_ptr<grpc::ClientReaderWriter<v1::ConnectRequest, v1::ConnectResponse>> stream_;
    Answer answer_;
    bool acknowledge_;
    std::mutex write_mutex_;
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::optional<v1::Welcome> welcome_;
    std::deque<v1::ConfigSnapshot> snapshots_;
    bool ended_ = false;
    grpc::Status status_;
    std::thread reader_;
};

/// Calls of the API with the token; keeps the trailers of the last call.
class Client final {
 public:
    explicit Client(std::shared_ptr<grpc::Channel> channel, std::string token = kApiToken);

    template <typename Stub, typename Request, typename Response>
    absl::StatusOr<Response> Call(
        Stub& stub, grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
        const Request& request, std::chrono::milliseconds timeout = std::chrono::seconds(20)) {
        grpc::ClientContext context;
        Prepare(context, timeout);
        Response response;
        const grpc::Status status = (stub.*method)(&context, request, &response);
        Keep(context, status);
        if (!status.ok()) {
            return Error(status);
        }
        return response;
    }

    absl::StatusOr<v1::Connector> CreateConnector(const std::string& id, const std::string& type);
    absl::StatusOr<v1::Pipeline> CreatePipeline(const std::string& id);
    absl::StatusOr<v1::Pipeline> GetPipeline(const std::string& id);
    absl::StatusOr<v1::DeployPipelineResponse> Deploy(const std::string& id, bool validate_only = false);
    absl::StatusOr<v1::Pipeline> Delete(const std::string& id, bool force = false);
    absl::StatusOr<v1::DataPlane> GetPlane();
    /// Waits until the pipeline's status is in this state; returns the last status seen.
    v1::PipelineStatus AwaitState(const std::string& id, v1::PipelineStatus::State state);

    void Prepare(grpc::ClientContext& context, std::chrono::milliseconds timeout) const;
    [[nodiscard]] std::string Trailer(const std::string& key) const;
    [[nodiscard]] const grpc::Status& last_status() const { return status_; }

    std::unique_ptr<v1::TenantService::Stub> tenants;
    std::unique_ptr<v1::DataPlaneService::Stub> planes;
    std::unique_ptr<v1::ConnectorService::Stub> connectors;
    std::unique_ptr<v1::PipelineService::Stub> pipelines;

 private:
    void Keep(const grpc::ClientContext& context, const grpc::Status& status);
    [[nodiscard]] absl::Status Error(const grpc::Status& status) const;

    std::string token_;
    grpc::Status status_;
    std::multimap<std::string, std::string> trailers_;
};

std::string PipelineName(const std::string& id);
std::string ConnectorName(const std::string& id);
/// Facts of a worker that streams one live table.
v1::PipelineFacts LiveFacts(const std::string& pipeline_id, const std::string& worker_id);

/// No critical finding, an answer for every command.
std::optional<v1::CommandResult> AllIsWell(const v1::Command& command);

class LinkTest : public testing::Test {
 protected:
    LinkTest() : client_(control_.Connect()) {}

    std::unique_ptr<FakeWorker> Worker(FakeWorker::Options options = {},
                                       FakeWorker::Answer answer = AllIsWell) {
        auto worker = std::make_unique<FakeWorker>(control_.Connect(), options, std::move(answer));
        return worker;
    }

    /// Connectors src and dst and a draft p; a worker must have connected.
    void MakeDraft() {
        ASSERT_TRUE(client_.CreateConnector("src", "postgres").ok());
        ASSERT_TRUE(client_.CreateConnector("dst", "postgres").ok());
        const auto pipeline = client_.CreatePipeline("p");
        ASSERT_TRUE(pipeline.ok()) << pipeline.status();
        ASSERT_EQ(pipeline->status().state(), v1::PipelineStatus::STATE_DRAFT);
    }

    ControlPlane control_;
    Client client_;
};

}  // namespace millrace::api
