/// Runs one pipeline on this worker: its publisher, its consumer, or both. Not for: removal (removal.h), the
/// change path itself (publish, apply).
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/metrics.h"
#include "base/secret.h"
#include "connectors/sdk/connector.h"
#include "data-plane/config/pipeline_config.h"
#include "data-plane/events/event_log.h"
#include "data-plane/runtime/runner.h"

namespace millrace::runtime {

/// Which halves of a pipeline a worker runs.
struct Role final {
    bool publisher = true;
    bool consumer = true;
};

/// What all pipelines of a worker share. What it refers to outlives them.
struct WorkerContext final {
    config::KafkaConfig kafka;
    const sdk::ConnectorRegistry& registry;
    base::Metrics& metrics;
    std::string worker_id;
    Role role;
    /// Threads of each pipeline's own pool: a destination that hangs stops no other pipeline.
    int apply_threads = 4;
    /// What happens to the pipelines; the agent sends it on.
    events::EventLog* events = nullptr;
    /// Of hashed columns; the same on every worker of the plane.
    base::Secret hash_key = {};
    /// How long batches in flight may take when it stops.
    std::chrono::milliseconds grace{7'000};
};

class PipelineRunner final : public Runner {
 public:
    PipelineRunner(const WorkerContext& context, const config::PipelineConfig& pipeline);
    ~PipelineRunner() override;

    /// Pausing and resuming, of single tables too, reach the consumer as they are, resyncs the publisher; new flush
    /// rules make the consumer anew. The publisher runs on.
    void Update(const config::PipelineConfig& pipeline) override;
    [[nodiscard]] PipelineFacts Facts() const override;
    void RequestStop() override;
    bool Drained(std::chrono::steady_clock::time_point deadline) override;

 private:
    struct Engine;

    void RunPublisher(const std::stop_token& stop);
    void RunConsumer(const std::stop_token& stop);
    absl::Status StartEngine();
    void ServeEngine(const std::stop_token& stop);
    void StopEngine();
    void Ended();
    [[nodiscard]] events::Recorder MakeRecorder() const;

    const WorkerContext& context_;
    const std::string name_;
    mutable std::mutex mutex_;
    std::condition_variable_any changed_;
    /// What is wanted; the consumer's thread follows it.
    config::PipelineConfig pipeline_;
    /// Written by the consumer's thread under `mutex_`.
    std::unique_ptr<Engine> engine_;
    absl::Status engine_error_;
    int running_ = 0;
    std::unique_ptr<publish::Publisher> publisher_;
    std::jthread publisher_thread_;
    std::jthread consumer_thread_;
};

/// Replication for a pipeline that is wanted, removal for one that is deleted. `context` outlives the
/// factory.
RunnerFactory MakeRunnerFactory(const WorkerContext& context);

}  // namespace millrace::runtime
