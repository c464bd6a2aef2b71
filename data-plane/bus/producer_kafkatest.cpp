#include "data-plane/bus/producer.h"

#include "base/status.h"
#include "data-plane/bus/bus_fixture.h"
#include "data-plane/bus/compacted_topic.h"
#include "gmock/gmock.h"

namespace millrace::bus {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;

class ProducerTest : public BusTest {
 protected:
    std::map<std::string, std::string> Read(const std::string& topic) {
        const auto values = ReadCompactedTopic(kafka_, topic, 10s);
        EXPECT_TRUE(values.ok()) << values.status();
        return values.ok() ? *values : std::map<std::string, std::string>();
    }
    /// Reads until `key` has `value`: a commit becomes visible with its markers.
    void AwaitValue(const std::string& topic, const std::string& key, const std::string& value) {
        std::map<std::string, std::string> values;
        for (int i = 0; i < 200 && values[key] != value; ++i) {
            values = Read(topic);
        }
        EXPECT_THAT(values, UnorderedElementsAre(Pair(key, value)));
    }
};

TEST_F(ProducerTest, NothingIsVisibleBeforeCommit) {
    const std::string first = MakeTopic(CompactedTopicProperties());
    const std::string second = MakeTopic(CompactedTopicProperties());
    auto producer = MakeReadyProducer();
    EXPECT_FALSE(producer->in_transaction());
    MILLRACE_ASSERT_OK(producer->Begin());
    EXPECT_TRUE(producer->in_transaction());
    MILLRACE_ASSERT_OK(producer->Produce(first, "k", "1", 0));
    MILLRACE_ASSERT_OK(producer->Produce(second, "k", "2", 0));
    std::this_thread::sleep_for(200ms);
    EXPECT_THAT(Read(first), IsEmpty());
    EXPECT_THAT(Read(second), IsEmpty());
    MILLRACE_ASSERT_OK(producer->Commit());
    EXPECT_FALSE(producer->in_transaction());
    AwaitValue(first, "k", "1");
    AwaitValue(second, "k", "2");
}

TEST_F(ProducerTest, AbortedIsNeverVisible) {
    const std::string topic = MakeTopic(CompactedTopicProperties());
    auto producer = MakeReadyProducer();
    MILLRACE_ASSERT_OK(producer->Begin());
    MILLRACE_ASSERT_OK(producer->Produce(topic, "k", "aborted", 0));
    std::this_thread::sleep_for(100ms);
    MILLRACE_ASSERT_OK(producer->Abort());
    EXPECT_THAT(Read(topic), IsEmpty());
    MILLRACE_ASSERT_OK(WriteAll(*producer, topic, {{"k", "kept"}}));
    AwaitValue(topic, "k", "kept");
}

TEST_F(ProducerTest, ZombieIsFenced) {
    const std::string topic = MakeTopic(CompactedTopicProperties());
    const std::string id = testing_support::FreeKafkaName("bus-zombie");
    auto zombie = MakeProducer(id);
    MILLRACE_ASSERT_OK(zombie->Init());
    MILLRACE_ASSERT_OK(WriteAll(*zombie, topic, {{"k", "old"}}));
    MILLRACE_ASSERT_OK(zombie->Begin());
    MILLRACE_ASSERT_OK(zombie->Produce(topic, "k", "zombie", 0));
    std::this_thread::sleep_for(100ms);

    auto heir = MakeProducer(id);
    MILLRACE_ASSERT_OK(heir->Init());
    EXPECT_THAT(Read(topic), UnorderedElementsAre(Pair("k", "old"))) << "Init has aborted what was open";
    const absl::Status status = zombie->Commit();
    EXPECT_EQ(base::ReasonOf(status), "FENCED") << status;
    EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
    MILLRACE_ASSERT_OK(WriteAll(*heir, topic, {{"k", "new"}}));
    AwaitValue(topic, "k", "new");
}

TEST_F(ProducerTest, ZombieIsFencedWhenItProducesOn) {
    const std::string topic = MakeTopic(CompactedTopicProperties());
    const std::string id = testing_support::FreeKafkaName("bus-zombie");
    auto zombie = MakeProducer(id);
    MILLRACE_ASSERT_OK(zombie->Init());
    MILLRACE_ASSERT_OK(zombie->Begin());
    MILLRACE_ASSERT_OK(zombie->Produce(topic, "k", "1", 0));
    std::this_thread::sleep_for(100ms);
    auto heir = MakeProducer(id);
    MILLRACE_ASSERT_OK(heir->Init());
    absl::Status status;
    for (int i = 0; i < 100 && status.ok(); ++i) {
        status = zombie->Produce(topic, "k", "2", 0);
        std::this_thread::sleep_for(10ms);
    }
    if (status.ok()) {
        status = zombie->Commit();
    }
    // The broker may tell it of the partition before the coordinator tells it of the id; the abort ends every
    // doubt.
    if (base::ReasonOf(status) == "TXN_ABORTED") {
        status = zombie->Abort();
    }
    EXPECT_EQ(base::ReasonOf(status), "FENCED") << status;
    EXPECT_THAT(Read(topic), IsEmpty());
}

TEST_F(ProducerTest, SourceTransactionSplitOverSeveral) {
    const std::string table = MakeTopic();
    const std::string control = MakeTopic(CompactedTopicProperties());
    auto producer = MakeReadyProducer();
    int64_t expected_end = 0;
    for (int part = 0; part < 3; ++part) {
        MILLRACE_ASSERT_OK(producer->Begin());
        for (int i = 0; i < 1000; ++i) {
            MILLRACE_ASSERT_OK(producer->Produce(table, "k", std::string(200, 'x'), 0));
        }
        MILLRACE_ASSERT_OK(producer->Produce(control, "position", std::to_string(part * 1000 + 999), 0));
        MILLRACE_ASSERT_OK(producer->Commit());
        expected_end += 1001;
        AwaitEnd(table, expected_end);
        AwaitValue(control, "position", std::to_string(part * 1000 + 999));
    }
}

TEST_F(ProducerTest, MoreThanTheQueueHoldsWaitsForRoom) {
    const std::string topic = MakeTopic();
    int turns = 0;
    auto producer = MakeProducer(testing_support::FreeKafkaName("bus-full"), [&turns] {
        ++turns;
        return absl::OkStatus();
    });
    MILLRACE_ASSERT_OK(producer->Init());
    MILLRACE_ASSERT_OK(producer->Begin());
    std::string value(100'000, 'x');
    constexpr int kRecords = 1000;  // 100 MB against a queue of 32 MiB
    for (int i = 0; i < kRecords; ++i) {
        MILLRACE_ASSERT_OK(producer->Produce(topic, "k", value, 0));
    }
    MILLRACE_ASSERT_OK(producer->Commit());
    AwaitEnd(topic, kRecords + 1);
}

TEST_F(ProducerTest, MissingTopicAbortsTheTransaction) {
    kafka_.properties["topic.metadata.propagation.max.ms"] = "500";
    const std::string topic = MakeTopic(CompactedTopicProperties());
    const std::string missing = testing_support::FreeKafkaName("bus-missing");
    auto producer = MakeReadyProducer();
    MILLRACE_ASSERT_OK(producer->Begin());
    MILLRACE_ASSERT_OK(producer->Produce(topic, "k", "1", 0));
    absl::Status status = producer->Produce(missing, "k", "2", 0);
    if (status.ok()) {
        status = producer->Commit();
    }
    EXPECT_EQ(base::ReasonOf(status), "TXN_ABORTED") << status;
    EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
    EXPECT_THAT(std::string(status.message()), HasSubstr(missing));
    EXPECT_TRUE(producer->in_transaction());
    MILLRACE_ASSERT_OK(producer->Abort());
    EXPECT_THAT(Read(topic), IsEmpty());
    MILLRACE_ASSERT_OK(WriteAll(*producer, topic, {{"k", "3"}}));
    AwaitValue(topic, "k", "3");
}

TEST_F(ProducerTest, TooLargeRecordIsNamed) {
    const std::string topic = MakeTopic({{"max.message.bytes", "100000"}});
    auto producer = MakeReadyProducer();
    MILLRACE_ASSERT_OK(producer->Begin());
    const absl::Status beyond_client = producer->Produce(topic, "k", std::string(17 << 20, 'x'), 0);
    EXPECT_EQ(base::ReasonOf(beyond_client), "RECORD_TOO_LARGE") << beyond_client;
    EXPECT_EQ(beyond_client.code(), absl::StatusCode::kInvalidArgument);
    std::string noise(500'000, 'x');
    uint32_t random = 1;
    for (char& c : noise) {
        random = random * 1664525U + 1013904223U;
        c = static_cast<char>(random >> 24U);
    }
    MILLRACE_ASSERT_OK(producer->Produce(topic, "k", noise, 0));
    const absl::Status beyond_topic = producer->Commit();
    EXPECT_EQ(base::ReasonOf(beyond_topic), "RECORD_TOO_LARGE") << beyond_topic;
    EXPECT_THAT(std::string(beyond_topic.message()), HasSubstr(topic));
    MILLRACE_ASSERT_OK(producer->Abort());
}

TEST_F(ProducerTest, LargestRecordOfATableTopicPasses) {
    const std::string topic = MakeTopic();
    auto producer = MakeReadyProducer();
    std::string noise(16'000'000, 'x');
    uint32_t random = 1;
    for (char& c : noise) {
        random = random * 1664525U + 1013904223U;
        c = static_cast<char>(random >> 24U);
    }
    MILLRACE_ASSERT_OK(WriteAll(*producer, topic, {{"k", noise}}));
    AwaitEnd(topic, 2);
    EXPECT_TRUE(Read(topic)["k"] == noise);
}

TEST_F(ProducerTest, WaitingAsksTheCallerAndObeysIt) {
    config::KafkaConfig nowhere;
    nowhere.brokers = "127.0.0.1:1";
    int turns = 0;
    auto producer = TransactionalProducer::Create(nowhere, "bus-nowhere", [&turns]() -> absl::Status {
        return ++turns < 4 ? absl::OkStatus() : absl::CancelledError("the source said stop");
    });
    const auto before = std::chrono::steady_clock::now();
    const absl::Status status = (*producer)->Init();
    EXPECT_EQ(status.code(), absl::StatusCode::kCancelled) << status;
    EXPECT_EQ(turns, 4);
    EXPECT_LT(std::chrono::steady_clock::now() - before, 4 * 500ms + 500ms) << "a turn at least every 500 ms";
}

TEST_F(ProducerTest, CommitOfASmallTransactionIsQuick) {
    const std::string topic = MakeTopic();
    auto producer = MakeReadyProducer();
    MILLRACE_ASSERT_OK(WriteAll(*producer, topic, {{"k", "warm"}}));
    for (const auto pause : {0ms, 50ms}) {
        std::vector<double> times;
        for (int i = 0; i < 40; ++i) {
            std::this_thread::sleep_for(pause);
            const auto before = std::chrono::steady_clock::now();
            MILLRACE_ASSERT_OK(WriteAll(*producer, topic, {{"k", "v"}}));
            const std::chrono::duration<double, std::milli> taken = std::chrono::steady_clock::now() - before;
            times.push_back(taken.count());
        }
        std::sort(times.begin(), times.end());
        std::printf("one record, %d ms after the last commit: median %.1f ms, 90%% %.1f ms\n",
                    static_cast<int>(pause.count()), times[20], times[36]);
        EXPECT_LT(times[20], 500) << "a commit waits for the broker, never for a timer";
    }
}

}  // namespace
}  // namespace millrace::bus
