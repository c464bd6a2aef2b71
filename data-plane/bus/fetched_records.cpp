#include "data-plane/bus/fetched_records.h"

#include <librdkafka/rdkafka.h>

namespace millrace::bus {

FetchedMessages Fetch(rd_kafka_queue_s* queue, int timeout_ms, int max) {
    FetchedMessages messages;
    // Apart from the others, because the batch call waits until it is full or its time is up.
    rd_kafka_message_t* first = rd_kafka_consume_queue(queue, timeout_ms);
    if (first == nullptr) {
        return messages;
    }
    std::vector<rd_kafka_message_t*> others(static_cast<std::size_t>(max > 1 ? max - 1 : 0));
    const ssize_t count =
        others.empty() ? 0 : rd_kafka_consume_batch_queue(queue, 0, others.data(), others.size());
    messages.reserve(1 + static_cast<std::size_t>(count > 0 ? count : 0));
    messages.emplace_back(first);
    for (ssize_t i = 0; i < count; ++i) {
        messages.emplace_back(others[static_cast<std::size_t>(i)]);
    }
    return messages;
}

}  // namespace millrace::bus
