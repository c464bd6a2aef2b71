/// Topics and offsets through Kafka's admin protocol. Not for: producing and consuming.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "data-plane/bus/record_limits.h"
#include "data-plane/config/pipeline_config.h"

namespace millrace::bus {

struct TopicSpec final {
    std::string name;
    std::map<std::string, std::string> properties;
};

/// Properties of table topics (delete, 7 days) and of the compacted ones; both take records of
/// `message_bytes` and the frame around them.
std::map<std::string, std::string> TableTopicProperties(int64_t message_bytes = kDefaultMessageBytes);
std::map<std::string, std::string> CompactedTopicProperties(int64_t message_bytes = kDefaultMessageBytes);

/// Thread-safe. Unavailable (KAFKA_UNREACHABLE, naming the brokers) when no broker answers within `timeout`.
class TopicAdmin final {
 public:
    static absl::StatusOr<std::unique_ptr<TopicAdmin>> Create(const config::KafkaConfig& kafka);
    ~TopicAdmin();

    /// Reaches a broker.
    absl::Status Ping(std::chrono::milliseconds timeout);
    /// One partition each; those that exist are left as they are. Returns once every leader is known. Some hundred at a
    /// time; `timeout` is for each time.
    absl::Status CreateTopics(const std::vector<TopicSpec>& topics, std::chrono::milliseconds timeout);
    /// Missing ones are not an error.
    absl::Status DeleteTopics(const std::vector<std::string>& topics, std::chrono::milliseconds timeout);
    absl::Status DeleteGroups(const std::vector<std::string>& groups, std::chrono::milliseconds timeout);
    absl::StatusOr<std::vector<std::string>> ListTopics(const std::string& name_prefix,
                                                        std::chrono::milliseconds timeout);
    /// max.message.bytes of each topic that exists. PermissionDenied: the user lacks DescribeConfigs.
    absl::StatusOr<std::map<std::string, int64_t>> MessageLimits(const std::vector<std::string>& topics,
                                                                 std::chrono::milliseconds timeout);
    /// replica.fetch.max.bytes of each broker, by its id. PermissionDenied: the user lacks DescribeConfigs on
    /// the cluster.
    absl::StatusOr<std::map<std::string, int64_t>> ReplicaFetchLimits(std::chrono::milliseconds timeout);
    /// Offset after the last record of partition 0 of each topic, whatever its transaction came to:
    /// everything committed before the call lies below it. (The last stable offset will not do: it passes a
    /// commit only once the broker has written its markers, milliseconds after Commit returned.) NotFound
    /// (TOPIC_MISSING) names a topic that is not there.
    absl::StatusOr<std::map<std::string, int64_t>> EndOffsets(const std::vector<std::string>& topics,
                                                              std::chrono::milliseconds timeout);
    /// Committed offsets of `group`; topics without one are absent.
    absl::StatusOr<std::map<std::string, int64_t>> CommittedOffsets(const std::string& group,
                                                                    const std::vector<std::string>& topics,
                                                                    std::chrono::milliseconds timeout);

 private:
    struct Impl;
    explicit TopicAdmin(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::bus
