#include "data-plane/bus/compacted_topic.h"

#include <librdkafka/rdkafka.h>

#include "base/status.h"
#include "data-plane/bus/bus_fixture.h"
#include "gmock/gmock.h"

namespace millrace::bus {
namespace {

using testing::Pair;
using testing::UnorderedElementsAre;

class CompactedTopicTest : public BusTest {};

/// A tombstone, which the producer of this folder never writes.
void WriteTombstone(const std::string& brokers, const std::string& topic, const std::string& key) {
    rd_kafka_conf_t* conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", brokers.c_str(), nullptr, 0);
    rd_kafka_t* handle = rd_kafka_new(RD_KAFKA_PRODUCER, conf, nullptr, 0);
    ASSERT_NE(handle, nullptr);
    rd_kafka_topic_t* target = rd_kafka_topic_new(handle, topic.c_str(), nullptr);
    rd_kafka_produce(target, 0, RD_KAFKA_MSG_F_COPY, nullptr, 0, key.data(), key.size(), nullptr);
    EXPECT_EQ(rd_kafka_flush(handle, 10'000), RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_topic_destroy(target);
    rd_kafka_destroy(handle);
}

TEST_F(CompactedTopicTest, LatestValueOfEveryKeyWithoutTombstones) {
    const std::string topic = MakeTopic(CompactedTopicProperties());
    auto producer = MakeReadyProducer();
    MILLRACE_ASSERT_OK(WriteAll(*producer, topic, {{"a", "1"}, {"b", "1"}, {"a", "2"}, {"empty", ""}}));
    MILLRACE_ASSERT_OK(WriteAll(*producer, topic, {{"gone", "1"}, {"a", "3"}}));
    WriteTombstone(kafka_.brokers, topic, "gone");
    AwaitEnd(topic, 9);
    const auto values = ReadCompactedTopic(kafka_, topic, 10s);
    ASSERT_TRUE(values.ok()) << values.status();
    EXPECT_THAT(*values, UnorderedElementsAre(Pair("a", "3"), Pair("b", "1"), Pair("empty", "")));
}

TEST_F(CompactedTopicTest, MissingAndEmptyTopicsAreEmpty) {
    const auto missing = ReadCompactedTopic(kafka_, testing_support::FreeKafkaName("bus-missing"), 10s);
    ASSERT_TRUE(missing.ok()) << missing.status();
    EXPECT_TRUE(missing->empty());
    const auto empty = ReadCompactedTopic(kafka_, MakeTopic(CompactedTopicProperties()), 10s);
    ASSERT_TRUE(empty.ok()) << empty.status();
    EXPECT_TRUE(empty->empty());
}

TEST_F(CompactedTopicTest, OpenTransactionEndsTheRead) {
    const std::string topic = MakeTopic(CompactedTopicProperties());
    auto producer = MakeReadyProducer();
    MILLRACE_ASSERT_OK(WriteAll(*producer, topic, {{"a", "1"}}));
    AwaitEnd(topic, 2);
    MILLRACE_ASSERT_OK(producer->Begin());
    MILLRACE_ASSERT_OK(producer->Produce(topic, "a", "2", 0));
    std::this_thread::sleep_for(200ms);
    const auto before = std::chrono::steady_clock::now();
    const auto values = ReadCompactedTopic(kafka_, topic, 10s);
    ASSERT_TRUE(values.ok()) << values.status();
    EXPECT_THAT(*values, UnorderedElementsAre(Pair("a", "1")));
    std::printf("read of a compacted topic: %.0f ms\n",
                std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - before).count());
    MILLRACE_ASSERT_OK(producer->Abort());
}

TEST_F(CompactedTopicTest, NoBrokerIsUnreachable) {
    config::KafkaConfig nowhere;
    nowhere.brokers = "127.0.0.1:1";
    const auto values = ReadCompactedTopic(nowhere, "t", 500ms);
    EXPECT_EQ(base::ReasonOf(values.status()), "KAFKA_UNREACHABLE") << values.status();
}

}  // namespace
}  // namespace millrace::bus
