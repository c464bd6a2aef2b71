#include <utility>

#include "base/status.h"
#include "data-plane/agent/caught_up.h"
#include "data-plane/bus/compacted_topic.h"
#include "data-plane/bus/topic_admin.h"
#include "data-plane/config/topic_name.h"
#include "data-plane/publish/stream_position.h"

namespace millrace::agent {
namespace {

class KafkaProgress final : public PipelineProgress {
 public:
    KafkaProgress(config::KafkaConfig kafka, std::string pipeline_id, std::chrono::milliseconds timeout)
        : kafka_(std::move(kafka)), pipeline_id_(std::move(pipeline_id)), timeout_(timeout) {}

    absl::StatusOr<std::optional<DurableProgress>> Durable() override {
        const std::string topic = config::ControlTopic(kafka_.topic_prefix, pipeline_id_);
        ASSIGN_OR_RETURN(const auto records, bus::ReadCompactedTopic(kafka_, topic, timeout_));
        publish::ControlState state;
        for (const auto& [key, value] : records) {
            RETURN_IF_ERROR(publish::DecodeControlRecord(key, value, state));
        }
        if (state.position.generation == 0) {
            return std::optional<DurableProgress>();
        }
        DurableProgress progress{.end_lsn = state.position.end, .streaming = state.position.streaming, .held = {}};
        for (const auto& [name, table] : state.tables) {
            if (table.held()) {
                progress.held.push_back("table " + table.schema + "." + table.table + " is held (" +
                                        table.held_reason + "): " + table.held_remedy);
            }
            if (table.copied) {
                progress.copied[table.topic] = {.id = table.source_table_id, .stream_entry = table.stream_entry};
            }
        }
        return std::optional(std::move(progress));
    }

    absl::StatusOr<Offsets> Ends() override {
        ASSIGN_OR_RETURN(bus::TopicAdmin * admin, Admin());
        const std::string& prefix = kafka_.topic_prefix;
        ASSIGN_OR_RETURN(std::vector<std::string> topics,
                         admin->ListTopics(prefix + "." + pipeline_id_ + ".", timeout_));
        std::erase(topics, config::ControlTopic(prefix, pipeline_id_));
        std::erase(topics, config::SchemaTopic(prefix, pipeline_id_));
        if (topics.empty()) {
            return Offsets();
        }
        return admin->EndOffsets(topics, timeout_);
    }

    absl::StatusOr<Offsets> Applied(const Offsets& ends) override {
        std::vector<std::string> topics;
        for (const auto& [topic, end] : ends) {
            if (end > 0) {
                topics.push_back(topic);
            }
        }
        if (topics.empty()) {
            return Offsets();
        }
        ASSIGN_OR_RETURN(bus::TopicAdmin * admin, Admin());
        return admin->CommittedOffsets(config::AppliedGroup(kafka_.topic_prefix, pipeline_id_), topics,
                                       timeout_);
    }

 private:
    absl::StatusOr<bus::TopicAdmin*> Admin() {
        if (!admin_) {
            ASSIGN_OR_RETURN(admin_, bus::TopicAdmin::Create(kafka_));
        }
        return admin_.get();
    }

    config::KafkaConfig kafka_;
    std::string pipeline_id_;
    std::chrono::milliseconds timeout_;
    std::unique_ptr<bus::TopicAdmin> admin_;
};

}  // namespace

std::unique_ptr<PipelineProgress> MakeKafkaProgress(const config::KafkaConfig& kafka,
                                                    const std::string& pipeline_id,
                                                    std::chrono::milliseconds timeout) {
    return std::make_unique<KafkaProgress>(kafka, pipeline_id, timeout);
}

}  // namespace millrace::agent
