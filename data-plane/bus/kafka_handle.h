/// Owners of librdkafka's objects. Private to this folder. Not for: configuration (kafka_client), errors
/// (kafka_error).
#pragma once

#include <memory>

struct rd_kafka_s;
struct rd_kafka_conf_s;
struct rd_kafka_topic_s;
struct rd_kafka_queue_s;
struct rd_kafka_op_s;
struct rd_kafka_message_s;
struct rd_kafka_error_s;
struct rd_kafka_topic_partition_list_s;
struct rd_kafka_AdminOptions_s;
struct rd_kafka_metadata;

namespace millrace::bus {

struct KafkaDelete final {
    void operator()(rd_kafka_conf_s* conf) const;
    void operator()(rd_kafka_topic_s* topic) const;
    void operator()(rd_kafka_queue_s* queue) const;
    /// An event (librdkafka's name for it is older than events).
    void operator()(rd_kafka_op_s* event) const;
    void operator()(rd_kafka_message_s* message) const;
    void operator()(rd_kafka_error_s* error) const;
    void operator()(rd_kafka_topic_partition_list_s* list) const;
    void operator()(rd_kafka_AdminOptions_s* options) const;
    void operator()(const struct rd_kafka_metadata* metadata) const;
};

template <typename T>
using KafkaOwned = std::unique_ptr<T, KafkaDelete>;

}  // namespace millrace::bus
