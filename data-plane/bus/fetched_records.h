/// What one call of librdkafka fetched, owned together. Private to this folder. Not for: what to deliver of
/// it (table_reader).
#pragma once

#include <memory>
#include <vector>

#include "data-plane/bus/kafka_client.h"

namespace millrace::bus {

/// Keeps messages of one topic, and the handle that they come from, until the last record that shares it is
/// gone: one allocation for many records, and a slow table never keeps another's memory.
class FetchedRecords final {
 public:
    explicit FetchedRecords(std::shared_ptr<KafkaClient> client) : client_(std::move(client)) {}
    void Keep(KafkaOwned<rd_kafka_message_s> message) { messages_.push_back(std::move(message)); }

 private:
    // Declared first, destroyed last.
    std::shared_ptr<KafkaClient> client_;
    std::vector<KafkaOwned<rd_kafka_message_s>> messages_;
};

using FetchedMessages = std::vector<KafkaOwned<rd_kafka_message_s>>;

/// Waits up to `timeout_ms` for the first message, then takes what is there, at most `max`.
FetchedMessages Fetch(rd_kafka_queue_s* queue, int timeout_ms, int max);

}  // namespace millrace::bus
