/// One pipeline's consuming half in one worker: joins its group, gives every table assigned to it an actor,
/// feeds them. Not for: folding and applying (table_actor), making topics, publishing.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/metrics.h"
#include "connectors/sdk/destination.h"
#include "data-plane/apply/consumer_limits.h"
#include "data-plane/apply/table_facts.h"
#include "data-plane/apply/worker_pool.h"
#include "data-plane/codec/event_codec.h"
#include "data-plane/config/pipeline_config.h"
#include "data-plane/events/event_log.h"

namespace millrace::apply {

using CodecFactory = std::function<std::unique_ptr<codec::EventCodec>()>;

/// Every method from any thread; Start, Stop and the destructor by one.
class Consumer final {
 public:
    /// `member`: this worker's name, for people. References outlive the consumer. `pool`: see WorkerPool.
    Consumer(config::KafkaConfig kafka, config::PipelineConfig pipeline, std::string member,
             sdk::Destination& destination, CodecFactory codecs, base::Metrics& metrics, WorkerPool& pool,
             ConsumerLimits limits = {}, events::Recorder recorder = {});
    /// Waits for batches in flight, however long; Stop first.
    ~Consumer();
    Consumer(const Consumer&) = delete;
    Consumer& operator=(const Consumer&) = delete;

    /// Joins the group and begins; paused when the pipeline is. InvalidArgument: a Kafka property is refused.
    /// A broker that cannot be reached is no error here: it is tried until it answers, see health().
    absl::Status Start();

    /// Stops applying every table and lets go of its memory; the assignment stays. Returns at once.
    void Pause();
    /// Goes on from the checkpoints. Returns at once.
    void Resume();
    /// What verbs ask of single tables and, with `resync_counter`, of all of them now. Returns at once.
    void Order(std::vector<config::TableOverride> overrides, int64_t resync_counter);
    /// Tries every retrying or held table now, those that wait for an operator too.
    void Kick();

    /// Ends batches in flight, drops the rest (it is in Kafka), leaves the group. DeadlineExceeded: a batch
    /// was still in flight after `grace`; the destructor waits for it.
    absl::Status Stop(std::chrono::milliseconds grace);

    /// One entry per table assigned to this worker, by topic.
    [[nodiscard]] std::vector<TableFacts> Facts() const;

    /// Last error of the group membership; OK while it works.
    [[nodiscard]] absl::Status health() const;

 private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::apply
