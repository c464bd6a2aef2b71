#include "data-plane/bus/kafka_handle.h"

#include <librdkafka/rdkafka.h>

namespace millrace::bus {

void KafkaDelete::operator()(rd_kafka_conf_s* conf) const {
    rd_kafka_conf_destroy(conf);
}
void KafkaDelete::operator()(rd_kafka_topic_s* topic) const {
    rd_kafka_topic_destroy(topic);
}
void KafkaDelete::operator()(rd_kafka_queue_s* queue) const {
    rd_kafka_queue_destroy(queue);
}
void KafkaDelete::operator()(rd_kafka_op_s* event) const {
    rd_kafka_event_destroy(event);
}
void KafkaDelete::operator()(rd_kafka_message_s* message) const {
    rd_kafka_message_destroy(message);
}
void KafkaDelete::operator()(rd_kafka_error_s* error) const {
    rd_kafka_error_destroy(error);
}
void KafkaDelete::operator()(rd_kafka_topic_partition_list_s* list) const {
    rd_kafka_topic_partition_list_destroy(list);
}
void KafkaDelete::operator()(rd_kafka_AdminOptions_s* options) const {
    rd_kafka_AdminOptions_destroy(options);
}
void KafkaDelete::operator()(const struct rd_kafka_metadata* metadata) const {
    rd_kafka_metadata_destroy(metadata);
}

}  // namespace millrace::bus
