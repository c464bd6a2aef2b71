#include "data-plane/bus/compacted_topic.h"

#include <librdkafka/rdkafka.h>

#include <algorithm>

#include "base/status.h"
#include "data-plane/bus/kafka_client.h"
#include "data-plane/bus/kafka_error.h"
#include "data-plane/bus/kafka_handle.h"

namespace millrace::bus {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

ClientSetup Setup() {
    ClientSetup setup;
    setup.kind = ClientSetup::Kind::kConsumer;
    setup.defaults = {{"client.id", "millrace-state-reader"},
                      {"fetch.wait.max.ms", "20"},
                      {"fetch.error.backoff.ms", "20"},
                      {"fetch.message.max.bytes", "8388608"},
                      {"queued.max.messages.kbytes", "16384"}};
    setup.fixed = {{"isolation.level", "read_committed"},
                   {"enable.partition.eof", "true"},
                   {"enable.auto.commit", "false"},
                   {"auto.offset.reset", "earliest"},
                   // librdkafka wants a group for any assignment; nothing is ever committed in it.
                   {"group.id", "millrace-state-reader"}};
    return setup;
}

int LeftMs(Clock::time_point deadline) {
    return static_cast<int>(
        std::max<int64_t>(0, std::chrono::duration_cast<milliseconds>(deadline - Clock::now()).count()));
}

absl::StatusOr<bool> Exists(const KafkaClient& client, const std::string& topic, Clock::time_point deadline) {
    const KafkaOwned<rd_kafka_topic_s> target(rd_kafka_topic_new(client.get(), topic.c_str(), nullptr));
    const rd_kafka_metadata_t* metadata = nullptr;
    auto code = rd_kafka_metadata(client.get(), 0, target.get(), &metadata, std::max(1, LeftMs(deadline)));
    const KafkaOwned<const rd_kafka_metadata_t> owned(metadata);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        code = metadata->topic_cnt == 1 ? metadata->topics[0].err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    }
    if (IsMissingTopic(code)) {
        return false;
    }
    // An election of a leader is no reason to call the topic missing: the read below waits for it.
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR && !IsTransient(code)) {
        rd_kafka_poll(client.get(), 0);
        return client.Error(code, "reading topic " + topic);
    }
    return true;
}

void Apply(const rd_kafka_message_t& message, std::map<std::string, std::string>& values) {
    std::string key(static_cast<const char*>(message.key), message.key_len);
    if (message.payload == nullptr) {
        values.erase(key);
    } else {
        values.insert_or_assign(std::move(key),
                                std::string(static_cast<const char*>(message.payload), message.len));
    }
}

}  // namespace

absl::StatusOr<std::map<std::string, std::string>> ReadCompactedTopic(const config::KafkaConfig& kafka,
                                                                      const std::string& topic,
                                                                      milliseconds timeout) {
    const Clock::time_point deadline = Clock::now() + timeout;
    ASSIGN_OR_RETURN(const auto client, KafkaClient::Create(kafka, Setup()));
    std::map<std::string, std::string> values;
    ASSIGN_OR_RETURN(const bool exists, Exists(*client, topic, deadline));
    if (!exists) {
        return values;
    }
    rd_kafka_poll_set_consumer(client->get());
    const KafkaOwned<rd_kafka_topic_partition_list_s> list(rd_kafka_topic_partition_list_new(1));
    rd_kafka_topic_partition_list_add(list.get(), topic.c_str(), 0)->offset = RD_KAFKA_OFFSET_BEGINNING;
    if (const auto code = rd_kafka_assign(client->get(), list.get()); code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return client->Error(code, "reading topic " + topic);
    }
    for (;;) {
        const KafkaOwned<rd_kafka_message_s> message(
            rd_kafka_consumer_poll(client->get(), std::min(200, LeftMs(deadline))));
        if (message != nullptr && message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            Apply(*message, values);
        } else if (message != nullptr && message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
            return values;
        } else if (message != nullptr && !IsTransient(message->err) && !IsUnreachable(message->err)) {
            return client->Error(message->err, "reading topic " + topic);
        }
        if (LeftMs(deadline) == 0) {
            return client->Error(RD_KAFKA_RESP_ERR__TIMED_OUT, "reading topic " + topic);
        }
    }
}

}  // namespace millrace::bus
