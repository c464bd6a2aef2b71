#include "data-plane/runtime/removal.h"

#include <chrono>
#include <utility>

#include "base/backoff.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/status.h"
#include "data-plane/bus/topic_admin.h"
#include "data-plane/config/topic_name.h"

namespace millrace::runtime {
namespace {

constexpr std::chrono::seconds kKafkaTimeout{15};

absl::Status RemoveAtSource(const sdk::ConnectorRegistry& registry, const config::PipelineConfig& pipeline) {
    ASSIGN_OR_RETURN(const sdk::Connector* connector, registry.Find(pipeline.source.type));
    ASSIGN_OR_RETURN(const auto source, connector->make_source(pipeline.source.options, pipeline.id));
    return source->Remove();
}

absl::Status RemoveAtKafka(const config::KafkaConfig& kafka, const config::PipelineConfig& pipeline) {
    const std::string& prefix = kafka.topic_prefix;
    ASSIGN_OR_RETURN(const auto admin, bus::TopicAdmin::Create(kafka));
    ASSIGN_OR_RETURN(const std::vector<std::string> topics,
                     admin->ListTopics(prefix + "." + pipeline.id + ".", kKafkaTimeout));
    if (!topics.empty()) {
        RETURN_IF_ERROR(admin->DeleteTopics(topics, kKafkaTimeout));
    }
    return admin->DeleteGroups(
        {config::AssignmentGroup(prefix, pipeline.id), config::AppliedGroup(prefix, pipeline.id)},
        kKafkaTimeout);
}

absl::Status RemoveAtDestination(const sdk::ConnectorRegistry& registry,
                                 const config::PipelineConfig& pipeline) {
    ASSIGN_OR_RETURN(const sdk::Connector* connector, registry.Find(pipeline.destination.type));
    ASSIGN_OR_RETURN(const auto destination, connector->make_destination(pipeline.destination.options));
    return destination->Remove(pipeline.uid);
}

}  // namespace

absl::Status RemoveTraces(const config::KafkaConfig& kafka, const sdk::ConnectorRegistry& registry,
                          const config::PipelineConfig& pipeline) {
    const absl::Status source = RemoveAtSource(registry, pipeline);
    if (source.code() == absl::StatusCode::kAborted) {
        // A publisher that still runs would make its topics again.
        return base::Annotate(source, "removing from the source");
    }
    MILLRACE_FAILPOINT("runtime.after_source_removed");
    const absl::Status kafka_status = RemoveAtKafka(kafka, pipeline);
    MILLRACE_FAILPOINT("runtime.after_topics_deleted");
    const absl::Status destination = RemoveAtDestination(registry, pipeline);
    MILLRACE_FAILPOINT("runtime.after_destination_removed");
    if (!source.ok()) {
        return base::Annotate(source, "removing from the source");
    }
    if (!kafka_status.ok()) {
        return base::Annotate(kafka_status, "removing from Kafka");
    }
    return destination.ok() ? destination : base::Annotate(destination, "removing from the destination");
}

RemovalRunner::RemovalRunner(const config::PipelineConfig& pipeline, Remove remove,
                             std::chrono::milliseconds first_retry, std::chrono::milliseconds max_retry)
    : remove_(std::move(remove)), first_retry_(first_retry), max_retry_(max_retry) {
    facts_.name = pipeline.name;
    facts_.generation = pipeline.generation;
    thread_ = std::jthread([this, pipeline](const std::stop_token& stop) { Run(stop, pipeline); });
}

void RemovalRunner::Run(const std::stop_token& stop, const config::PipelineConfig& pipeline) {
    base::Backoff backoff(first_retry_, max_retry_);
    std::unique_lock lock(mutex_);
    while (!stop.stop_requested() && !facts_.removed) {
        lock.unlock();
        const absl::Status status = remove_(pipeline);
        lock.lock();
        facts_.error = status;
        facts_.removed = status.ok();
        if (status.ok()) {
            base::LogInfo("a pipeline is removed", {{"pipeline", pipeline.name}});
            break;
        }
        base::LogWarning("a pipeline cannot be removed yet",
                         {{"pipeline", pipeline.name}, base::LogField(status)});
        changed_.wait_for(lock, stop, backoff.Next(), [] { return false; });
    }
    ended_ = true;
    changed_.notify_all();
}

void RemovalRunner::Update(const config::PipelineConfig& pipeline) {
    const std::lock_guard lock(mutex_);
    facts_.generation = pipeline.generation;
}

PipelineFacts RemovalRunner::Facts() const {
    const std::lock_guard lock(mutex_);
    return facts_;
}

void RemovalRunner::RequestStop() {
    thread_.request_stop();
}

bool RemovalRunner::Drained(std::chrono::steady_clock::time_point deadline) {
    std::unique_lock lock(mutex_);
    return changed_.wait_until(lock, deadline, [this] { return ended_; });
}

}  // namespace millrace::runtime
