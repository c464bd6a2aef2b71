#include "data-plane/apply/schema_registry.h"

#include <optional>
#include <utility>

#include "base/log.h"
#include "base/status.h"
#include "base/text.h"
#include "data-plane/bus/compacted_topic.h"
#include "data-plane/codec/event_codec.h"
#include "data-plane/config/topic_name.h"

namespace millrace::apply {

namespace {

constexpr std::chrono::seconds kReadTimeout{10};
/// A Kafka transaction becomes visible topic by topic: a record may be seen before the schema that it came with.
constexpr std::chrono::seconds kCommitPatience{30};

}  // namespace

SchemaRegistry::SchemaRegistry(config::KafkaConfig kafka, std::string pipeline_id)
    : kafka_(std::move(kafka)), pipeline_id_(std::move(pipeline_id)) {}

absl::StatusOr<sdk::SchemaPtr> SchemaRegistry::Lookup(uint64_t schema_id) {
    const std::lock_guard lock(mutex_);
    auto found = schemas_.find(schema_id);
    if (found == schemas_.end()) {
        RETURN_IF_ERROR(Refresh());
        found = schemas_.find(schema_id);
    }
    if (found == schemas_.end()) {
        const auto now = std::chrono::steady_clock::now();
        if (now - missing_.try_emplace(schema_id, now).first->second < kCommitPatience) {
            return base::MakeError(absl::StatusCode::kUnavailable, "SCHEMA_PENDING",
                                   base::Concat("schema ", codec::SchemaKey(schema_id), " is not visible in topic ",
                                                config::SchemaTopic(kafka_.topic_prefix, pipeline_id_), " yet"));
        }
        return base::MakeError(absl::StatusCode::kDataLoss, "SCHEMA_UNKNOWN",
                               base::Concat("schema ", codec::SchemaKey(schema_id), " is not in topic ",
                                            config::SchemaTopic(kafka_.topic_prefix, pipeline_id_)),
                               "resync the table");
    }
    missing_.erase(schema_id);
    return found->second;
}

absl::StatusOr<sdk::TableTarget> SchemaRegistry::TableOf(const std::string& topic) {
    if (auto name = config::TableOfTopic(kafka_.topic_prefix, pipeline_id_, topic)) {
        return sdk::TableTarget{name->schema, name->table};
    }
    const std::lock_guard lock(mutex_);
    auto found = tables_.find(topic);
    if (found == tables_.end()) {
        RETURN_IF_ERROR(Refresh());
        found = tables_.find(topic);
    }
    if (found == tables_.end()) {
        return base::MakeError(
            absl::StatusCode::kUnavailable, "TABLE_UNKNOWN",
            base::Concat("no schema of the table of topic ", topic, " has been written yet"));
    }
    return found->second;
}

absl::Status SchemaRegistry::Refresh() {
    const std::string topic = config::SchemaTopic(kafka_.topic_prefix, pipeline_id_);
    ASSIGN_OR_RETURN(const auto values, bus::ReadCompactedTopic(kafka_, topic, kReadTimeout));
    for (const auto& [key, value] : values) {
        absl::StatusOr<sdk::SchemaPtr> schema = codec::DecodeSchema(value);
        if (!schema.ok()) {
            // Only the table that asks for it must not go on: its lookup fails with SCHEMA_UNKNOWN.
            base::LogError("a schema cannot be read",
                           {{"topic", topic}, {"schema", key}, base::LogField(schema.status())});
            continue;
        }
        tables_[config::TableTopic(kafka_.topic_prefix, pipeline_id_, (*schema)->schema, (*schema)->table)] =
            {(*schema)->schema, (*schema)->table};
        schemas_[(*schema)->id] = *std::move(schema);
    }
    return absl::OkStatus();
}

}  // namespace millrace::apply
