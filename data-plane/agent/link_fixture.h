/// A fake control plane and a worker without main, for tests of the link. Not for: production.
#pragma once

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "data-plane/agent/agent.h"
#include "data-plane/agent/plane_key.h"
#include "data-plane/agent/toy_connector.h"
#include "millrace/v1/link.grpc.pb.h"

namespace millrace::agent::testing {

constexpr std::chrono::seconds kPatience{20};

/// A control plane of one worker: what comes up is queued by kind, what goes down is said by the test.
class FakeControl final : public v1::DataPlaneLinkService::Service {
 public:
    FakeControl() { Listen(); }
    ~FakeControl() override { Shutdown(); }

    void Listen() {
        grpc::ServerBuilder builder;
        builder.AddListeningPort("127.0.0.1:" + std::to_string(port_), grpc::InsecureServerCredentials(),
                                 &port_);
        builder.RegisterService(this);
        server_ = builder.BuildAndStart();
        ASSERT_TRUE(server_ != nullptr);
    }
    void Shutdown() {
        if (server_) {
            server_->Shutdown(std::chrono::system_clock::now());
            server_.reset();
        }
    }
    [[nodiscard]] std::string endpoint() const { return "127.0.0.1:" + std::to_string(port_); }

    grpc::Status Connect(grpc::ServerContext* context,
                         grpc::ServerReaderWriter<v1::ConnectResponse, v1::ConnectRequest>* stream) override {
        const auto& metadata = context->client_metadata();
        const auto bearer = metadata.find("authorization");
        if (bearer == metadata.end() || bearer->second != "Bearer plane-token") {
            return {grpc::StatusCode::UNAUTHENTICATED, "the token is not known"};
        }
        {
            const std::lock_guard lock(mutex_);
            if (!refusal_.ok()) {
                ++refused_;
                changed_.notify_all();
                return refusal_;
            }
            stream_ = stream;
        }
        v1::ConnectRequest message;
        while (stream->Read(&message)) {
            const std::lock_guard lock(mutex_);
            received_.push_back(message);
            changed_.notify_all();
        }
        const std::lock_guard lock(mutex_);
        stream_ = nullptr;
        return grpc::Status::OK;
    }

    /// The next message for which `is` holds; others before it are dropped.
    template <typename Predicate>
    std::optional<v1::ConnectRequest> Await(Predicate is) {
        std::unique_lock lock(mutex_);
        const auto deadline = std::chrono::steady_clock::now() + kPatience;
        while (true) {
            while (!received_.empty()) {
                const v1::ConnectRequest message = received_.front();
                received_.pop_front();
                if (is(message)) {
                    return message;
                }
            }
            if (changed_.wait_until(lock, deadline) == std::cv_status::timeout) {
                return std::nullopt;
            }
        }
    }
    std::optional<v1::ConnectRequest> Await(v1::ConnectRequest::MessageCase kind) {
        return Await([kind](const v1::ConnectRequest& message) { return message.message_case() == kind; });
    }

    void Say(const v1::ConnectResponse& message) {
        const std::lock_guard lock(mutex_);
        ASSERT_TRUE(stream_ != nullptr);
        stream_->Write(message);
    }
    void Welcome(int heartbeat_ms = 20) {
        v1::ConnectResponse message;
        message.mutable_welcome()->set_heartbeat_ms(heartbeat_ms);
        Say(message);
    }
    void Refuse(const grpc::Status& status) {
        const std::lock_guard lock(mutex_);
        refusal_ = status;
    }
    bool AwaitRefusals(int count) {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, kPatience, [&] { return refused_ >= count; });
    }

 private:
    int port_ = 0;
    std::unique_ptr<grpc::Server> server_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<v1::ConnectRequest> received_;
    grpc::ServerReaderWriter<v1::ConnectResponse, v1::ConnectRequest>* stream_ = nullptr;
    grpc::Status refusal_;
    int refused_ = 0;
};

/// Runs nothing, but says what it was given.
class QuietRunner final : public runtime::Runner {
 public:
    explicit QuietRunner(const config::PipelineConfig& pipeline) { Update(pipeline); }
    void Update(const config::PipelineConfig& pipeline) override {
        const std::lock_guard lock(mutex_);
        facts_.name = pipeline.name;
        facts_.generation = pipeline.generation;
        facts_.paused = pipeline.paused;
        facts_.removed = pipeline.removed;
    }
    [[nodiscard]] runtime::PipelineFacts Facts() const override {
        const std::lock_guard lock(mutex_);
        return facts_;
    }
    void RequestStop() override {}
    bool Drained(std::chrono::steady_clock::time_point) override { return true; }

 private:
    mutable std::mutex mutex_;
    runtime::PipelineFacts facts_;
};

/// A worker without main.
class Worker final {
 public:
    Worker(const std::string& endpoint, const std::filesystem::path& folder, ToyServer& toy,
           const std::string& token = "plane-token")
        : folder_(folder) {
        RegisterToy(toy, registry_);
        keys_ = *LoadOrMakeKeys(folder / "plane.key");
        const std::string fingerprint = *base::Fingerprint(keys_.public_pem);
        translator_.emplace(registry_, keys_, fingerprint);
        config::KafkaConfig kafka;
        kafka.brokers = "127.0.0.1:1";
        commands_.emplace(registry_, *translator_, kafka);
        LinkOptions link;
        link.endpoint = endpoint;
        link.token = base::Secret(token);
        link.first_retry = std::chrono::milliseconds(10);
        link.max_retry = std::chrono::milliseconds(50);
        link.superseded_retry = std::chrono::milliseconds(100);
        agent_.emplace(
            WorkerIdentity{"tenants/default/dataPlanes/default", "w1", "boot", "all", keys_.public_pem},
            registry_, *translator_, *commands_,
            LastGood(folder_ / "last-good", "tenants/default/dataPlanes/default"), supervisor_, link,
            metrics_);
        agent_->Start();
    }

    Agent& agent() { return *agent_; }
    runtime::Supervisor& supervisor() { return supervisor_; }
    std::string metrics() const { return metrics_.Render(); }
    const base::KeyPair& keys() const { return keys_; }

 private:
    const std::filesystem::path folder_;
    sdk::ConnectorRegistry registry_;
    base::Metrics metrics_;
    base::KeyPair keys_;
    std::optional<Translator> translator_;
    std::optional<Commands> commands_;
    runtime::Supervisor supervisor_{
        [](const config::PipelineConfig& pipeline) { return std::make_unique<QuietRunner>(pipeline); },
        std::chrono::milliseconds(1000)};
    std::optional<Agent> agent_;
};

}  // namespace millrace::agent::testing
