/// Removes what a deleted pipeline has left at its source, in Kafka and in its destination. Not for: user
/// tables (they stay), stopping what still runs (the supervisor did).
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "connectors/sdk/connector.h"
#include "data-plane/config/pipeline_config.h"
#include "data-plane/runtime/runner.h"

namespace millrace::runtime {

/// Slot and publications, topics, groups, checkpoints. Idempotent; several workers may do it at once.
/// Aborted: another worker still runs the pipeline; try again. Other errors: all that could be removed is;
/// the rest is tried again.
absl::Status RemoveTraces(const config::KafkaConfig& kafka, const sdk::ConnectorRegistry& registry,
                          const config::PipelineConfig& pipeline);

/// Calls `remove` with backoff until it succeeds or is stopped.
class RemovalRunner final : public Runner {
 public:
    using Remove = std::function<absl::Status(const config::PipelineConfig&)>;

    RemovalRunner(const config::PipelineConfig& pipeline, Remove remove,
                  std::chrono::milliseconds first_retry, std::chrono::milliseconds max_retry);
    ~RemovalRunner() override { RequestStop(); }

    void Update(const config::PipelineConfig& pipeline) override;
    [[nodiscard]] PipelineFacts Facts() const override;
    void RequestStop() override;
    bool Drained(std::chrono::steady_clock::time_point deadline) override;

 private:
    void Run(const std::stop_token& stop, const config::PipelineConfig& pipeline);

    const Remove remove_;
    const std::chrono::milliseconds first_retry_;
    const std::chrono::milliseconds max_retry_;
    mutable std::mutex mutex_;
    std::condition_variable_any changed_;
    PipelineFacts facts_;
    bool ended_ = false;
    std::jthread thread_;
};

}  // namespace millrace::runtime
