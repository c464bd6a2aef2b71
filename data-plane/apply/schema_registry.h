/// Table schemas of one pipeline by id, read from its compacted topic when one is missing. Not for: writing
/// them.
#pragma once

#include <chrono>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "absl/status/statusor.h"
#include "connectors/sdk/destination.h"
#include "connectors/sdk/schema.h"
#include "data-plane/config/pipeline_config.h"

namespace millrace::apply {

/// Any thread; a miss blocks for up to ten seconds, once for all who ask meanwhile.
class SchemaRegistry final {
 public:
    SchemaRegistry(config::KafkaConfig kafka, std::string pipeline_id);

    /// DataLoss, SCHEMA_UNKNOWN: the topic does not hold it. Unavailable: Kafka does not answer, or (SCHEMA_PENDING) the
    /// schema may still become visible; retry.
    absl::StatusOr<sdk::SchemaPtr> Lookup(uint64_t schema_id);

    /// Table of a topic, from its name or, where that is a hash, from the schemas. Unavailable,
    /// TABLE_UNKNOWN: no schema of it has been written yet.
    absl::StatusOr<sdk::TableTarget> TableOf(const std::string& topic);

 private:
    absl::Status Refresh();

    config::KafkaConfig kafka_;
    std::string pipeline_id_;
    std::mutex mutex_;
    std::unordered_map<uint64_t, sdk::SchemaPtr> schemas_;
    std::map<std::string, sdk::TableTarget> tables_;
    /// When a schema that is not there was first asked for.
    std::unordered_map<uint64_t, std::chrono::steady_clock::time_point> missing_;
};

}  // namespace millrace::apply
