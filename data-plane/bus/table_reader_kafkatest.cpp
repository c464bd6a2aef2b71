#include "data-plane/bus/table_reader.h"

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <atomic>

#include "base/status.h"
#include "data-plane/bus/bus_fixture.h"
#include "gmock/gmock.h"

namespace millrace::bus {
namespace {

using Kind = TopicEvent::Kind;
using Clock = std::chrono::steady_clock;
using testing::ElementsAre;
using testing::IsEmpty;

class TableReaderTest : public BusTest {
 protected:
    void SetUp() override {
        BusTest::SetUp();
        groups_.push_back(testing_support::FreeKafkaName("bus-applied"));
        reader_ = MakeReader();
    }

    std::unique_ptr<TableReader> MakeReader() {
        auto reader = TableReader::Create(kafka_, groups_.front());
        EXPECT_TRUE(reader.ok()) << reader.status();
        return *std::move(reader);
    }

    /// Polls until `done` says so, at most `patience`; keeps every event.
    template <typename Done>
    std::vector<TopicEvent> PollUntil(Done done, std::chrono::milliseconds patience = 10s) {
        std::vector<TopicEvent> all;
        const auto deadline = Clock::now() + patience;
        while (!done(all) && Clock::now() < deadline) {
            for (TopicEvent& event : reader_->Poll(100ms, 1000)) {
                all.push_back(std::move(event));
            }
        }
        return all;
    }
    std::vector<TopicEvent> PollToEnd(int64_t end) {
        return PollUntil([end](const auto& all) {
            return !all.empty() && all.back().kind != Kind::kRecord && all.back().record.offset >= end;
        });
    }

    static std::vector<std::string> Values(const std::vector<TopicEvent>& events) {
        std::vector<std::string> values;
        for (const TopicEvent& event : events) {
            if (event.kind == Kind::kRecord) {
                values.emplace_back(event.record.value);
            }
        }
        return values;
    }

    /// Deletes the records below `offset`, as retention does.
    void DeleteRecords(const std::string& topic, int64_t offset) {
        rd_kafka_conf_t* conf = rd_kafka_conf_new();
        rd_kafka_conf_set(conf, "bootstrap.servers", kafka_.brokers.c_str(), nullptr, 0);
        rd_kafka_t* handle = rd_kafka_new(RD_KAFKA_PRODUCER, conf, nullptr, 0);
        rd_kafka_topic_partition_list_t* list = rd_kafka_topic_partition_list_new(1);
        rd_kafka_topic_partition_list_add(list, topic.c_str(), 0)->offset = offset;
        rd_kafka_DeleteRecords_t* request = rd_kafka_DeleteRecords_new(list);
        rd_kafka_queue_t* queue = rd_kafka_queue_new(handle);
        rd_kafka_DeleteRecords(handle, &request, 1, nullptr, queue);
        rd_kafka_event_t* event = rd_kafka_queue_poll(queue, 10'000);
        ASSERT_NE(event, nullptr);
        EXPECT_EQ(rd_kafka_event_error(event), RD_KAFKA_RESP_ERR_NO_ERROR);
        rd_kafka_event_destroy(event);
        rd_kafka_queue_destroy(queue);
        rd_kafka_DeleteRecords_destroy(request);
        rd_kafka_topic_partition_list_destroy(list);
        rd_kafka_destroy(handle);
    }

    std::unique_ptr<TableReader> reader_;
};

TEST_F(TableReaderTest, ReadsFromAnOffsetToTheEndBeyondMarkers) {
    const std::string topic = MakeTopic();
    auto producer = MakeReadyProducer();
    MILLRACE_ASSERT_OK(WriteAll(*producer, topic, {{"a", "0"}, {"b", "1"}, {"c", "2"}}));  // marker 3
    MILLRACE_ASSERT_OK(WriteAll(*producer, topic, {{"d", "4"}}));                          // marker 5
    AwaitEnd(topic, 6);
    MILLRACE_ASSERT_OK(reader_->Add(topic, 1));
    const auto events = PollToEnd(6);
    EXPECT_THAT(Values(events), ElementsAre("1", "2", "4"));
    ASSERT_FALSE(events.empty());
    EXPECT_EQ(events.front().record.offset, 1);
    EXPECT_EQ(events.front().record.key, "b");
    EXPECT_EQ(events.front().topic, topic);
    EXPECT_GT(events.front().record.timestamp_ms, 1'700'000'000'000) << "the time of arrival";
    EXPECT_EQ(events.back().kind, Kind::kEnd);
    EXPECT_EQ(events.back().record.offset, 6) << "the markers count";
}

TEST_F(TableReaderTest, AbortedAndOpenTransactionsAreNotDelivered) {
    const std::string topic = MakeTopic();
    auto producer = MakeReadyProducer();
    auto other = MakeReadyProducer();
    MILLRACE_ASSERT_OK(reader_->Add(topic, 0));
    MILLRACE_ASSERT_OK(producer->Begin());
    MILLRACE_ASSERT_OK(producer->Produce(topic, "a", "aborted", 0));
    std::this_thread::sleep_for(100ms);
    MILLRACE_ASSERT_OK(producer->Abort());
    AwaitEnd(topic, 2);
    EXPECT_THAT(Values(PollToEnd(2)), IsEmpty()) << "the end passes what was aborted";
    MILLRACE_ASSERT_OK(other->Begin());
    MILLRACE_ASSERT_OK(other->Produce(topic, "a", "open", 0));
    std::this_thread::sleep_for(100ms);
    MILLRACE_ASSERT_OK(WriteAll(*producer, topic, {{"a", "committed"}}));
    EXPECT_THAT(PollUntil([](const auto& all) { return !all.empty(); }, 500ms), IsEmpty());
    MILLRACE_ASSERT_OK(other->Commit());
    EXPECT_THAT(Values(PollToEnd(6)), ElementsAre("open", "committed"));
}

TEST_F(TableReaderTest, StartingExactlyAtTheEndIsFine) {
    const std::string topic = MakeTopic();
    auto producer = MakeReadyProducer();
    MILLRACE_ASSERT_OK(WriteAll(*producer, topic, {{"a", "0"}}));
    AwaitEnd(topic, 2);
    MILLRACE_ASSERT_OK(reader_->Add(topic, 2));
    const auto events = PollUntil([](const auto& all) { return !all.empty(); });
    ASSERT_EQ(events.size(), 1U);
    EXPECT_EQ(events[0].kind, Kind::kEnd);
    EXPECT_EQ(events[0].record.offset, 2);
    MILLRACE_ASSERT_OK(WriteAll(*producer, topic, {{"a", "2"}}));
    EXPECT_THAT(Values(PollToEnd(4)), ElementsAre("2"));
}

TEST_F(TableReaderTest, OffsetsThatAreGoneAreAnError) {
    const std::string passed = MakeTopic();
    const std::string anew = MakeTopic();
    auto producer = MakeReadyProducer();
    MILLRACE_ASSERT_OK(WriteAll(*producer, passed, {{"a", "0"}, {"a", "1"}, {"a", "2"}}));
    AwaitEnd(passed, 4);
    DeleteRecords(passed, 2);
    MILLRACE_ASSERT_OK(reader_->Add(passed, 1));
    MILLRACE_ASSERT_OK(reader_->Add(anew, 1000));  // beyond its end: another topic of this name had that many
    const auto errors = PollUntil([](const auto& all) { return all.size() >= 2; });
    ASSERT_EQ(errors.size(), 2U);
    for (const TopicEvent& event : errors) {
        EXPECT_EQ(event.kind, Kind::kError);
        EXPECT_EQ(event.status.code(), absl::StatusCode::kOutOfRange) << event.status;
        EXPECT_EQ(base::ReasonOf(event.status), "OFFSET_GONE");
    }
    EXPECT_NE(errors[0].topic, errors[1].topic);
    EXPECT_THAT(PollUntil([](const auto& all) { return !all.empty(); }, 500ms), IsEmpty()) << "said once";
    MILLRACE_ASSERT_OK(reader_->Add(passed, 2));
    EXPECT_THAT(Values(PollToEnd(4)), ElementsAre("2"));
}

TEST_F(TableReaderTest, TopicThatIsToComeIsWaitedForAndOneThatIsDeletedIsNotFound) {
    const std::string late = testing_support::FreeKafkaName("bus-late");
    MILLRACE_ASSERT_OK(reader_->Add(late, 0));
    EXPECT_THAT(PollUntil([](const auto& all) { return !all.empty(); }, 2s), IsEmpty());
    MakeTopicNamed(late);
    const auto came = PollUntil([](const auto& all) { return !all.empty(); });
    ASSERT_EQ(came.size(), 1U);
    EXPECT_EQ(came[0].kind, Kind::kEnd);

    MILLRACE_ASSERT_OK(admin_->DeleteTopics({late}, 10s));
    const auto gone = PollUntil([](const auto& all) { return !all.empty(); }, 40s);
    ASSERT_EQ(gone.size(), 1U);
    EXPECT_EQ(gone[0].kind, Kind::kError);
    EXPECT_EQ(gone[0].topic, late);
    EXPECT_EQ(gone[0].status.code(), absl::StatusCode::kNotFound) << gone[0].status;
    const auto begun = Clock::now();
    reader_ = nullptr;
    EXPECT_LT(Clock::now() - begun, 10s) << "the end of the reader does not depend on the topic";
}

TEST_F(TableReaderTest, RemovedIsNotDeliveredAndMayComeBackElsewhere) {
    const std::string topic = MakeTopic();
    auto producer = MakeReadyProducer();
    MILLRACE_ASSERT_OK(WriteAll(*producer, topic, {{"a", "0"}, {"a", "1"}, {"a", "2"}}));
    AwaitEnd(topic, 4);
    MILLRACE_ASSERT_OK(reader_->Add(topic, 0));
    EXPECT_THAT(Values(PollToEnd(4)), ElementsAre("0", "1", "2"));
    MILLRACE_ASSERT_OK(WriteAll(*producer, topic, {{"a", "4"}}));
    std::this_thread::sleep_for(300ms);  // It lies prefetched now.
    MILLRACE_ASSERT_OK(reader_->Remove(topic));
    EXPECT_THAT(PollUntil([](const auto& all) { return !all.empty(); }, 500ms), IsEmpty());
    MILLRACE_ASSERT_OK(reader_->Add(topic, 1));
    EXPECT_THAT(Values(PollToEnd(6)), ElementsAre("1", "2", "4"));
    EXPECT_TRUE(reader_->Remove("never-added").ok());
}

TEST_F(TableReaderTest, PausedTopicsLoseNothingAndOthersGoOn) {
    const std::string slow = MakeTopic();
    const std::string quick = MakeTopic();
    auto producer = MakeReadyProducer();
    MILLRACE_ASSERT_OK(reader_->Add(slow, 0));
    MILLRACE_ASSERT_OK(reader_->Add(quick, 0));
    constexpr int kRounds = 30;
    std::vector<std::string> expected;
    std::map<std::string, std::vector<std::string>> seen;
    for (int round = 0; round < kRounds; ++round) {
        MILLRACE_ASSERT_OK(producer->Begin());
        for (int i = 0; i < 100; ++i) {
            expected.push_back(std::to_string(expected.size()));
            MILLRACE_ASSERT_OK(producer->Produce(slow, "k", expected.back(), 0));
            MILLRACE_ASSERT_OK(producer->Produce(quick, "k", expected.back(), 0));
        }
        MILLRACE_ASSERT_OK(producer->Commit());
        MILLRACE_ASSERT_OK(round % 2 == 0 ? reader_->Pause(slow) : reader_->Resume(slow));
        for (const TopicEvent& event : reader_->Poll(30ms, 37)) {
            if (event.kind == Kind::kRecord) {
                EXPECT_TRUE(round % 2 == 1 || event.topic != slow) << "delivered while paused";
                seen[event.topic].emplace_back(event.record.value);
            }
        }
    }
    const auto deadline = Clock::now() + 10s;
    while ((seen[slow].size() < expected.size() || seen[quick].size() < expected.size()) &&
           Clock::now() < deadline) {
        for (const TopicEvent& event : reader_->Poll(100ms, 500)) {
            if (event.kind == Kind::kRecord) {
                seen[event.topic].emplace_back(event.record.value);
            }
        }
    }
    EXPECT_EQ(seen[slow], expected);
    EXPECT_EQ(seen[quick], expected);
}

/// The calls of another thread in the middle of Polls: every record from the last Add on, in order, once.
TEST_F(TableReaderTest, OtherThreadsMayRepositionAtAnyTime) {
    const std::string topic = MakeTopic();
    auto producer = MakeReadyProducer();
    constexpr int kRecords = 20'000;
    MILLRACE_ASSERT_OK(producer->Begin());
    for (int i = 0; i < kRecords; ++i) {
        MILLRACE_ASSERT_OK(producer->Produce(topic, "k", std::to_string(i), 0));
    }
    MILLRACE_ASSERT_OK(producer->Commit());
    AwaitEnd(topic, kRecords + 1);
    MILLRACE_ASSERT_OK(reader_->Add(topic, 0));
    std::atomic<bool> stop{false};
    std::thread disturber([&] {
        for (int i = 0; i < 40; ++i) {
            EXPECT_TRUE(reader_->Pause(topic).ok());
            std::this_thread::sleep_for(3ms);
            EXPECT_TRUE(reader_->Resume(topic).ok());
            std::this_thread::sleep_for(7ms);
        }
        EXPECT_TRUE(reader_->Remove(topic).ok());
        EXPECT_TRUE(reader_->Add(topic, 10).ok());
        stop = true;
    });
    int64_t last = -1;
    while (!stop) {
        for (const TopicEvent& event : reader_->Poll(5ms, 50)) {
            if (event.kind == Kind::kRecord && event.record.offset > 10) {
                EXPECT_EQ(event.record.offset, last < 10 ? event.record.offset : last + 1);
            }
            last = event.kind == Kind::kRecord ? event.record.offset : last;
        }
    }
    disturber.join();
    std::vector<int64_t> offsets;
    const auto deadline = Clock::now() + 10s;
    while (Clock::now() < deadline && (offsets.empty() || offsets.back() != kRecords - 1)) {
        for (const TopicEvent& event : reader_->Poll(100ms, 1000)) {
            if (event.kind == Kind::kRecord) {
                offsets.push_back(event.record.offset);
            }
        }
    }
    ASSERT_FALSE(offsets.empty());
    EXPECT_LE(offsets.front(), kRecords - 1);
    for (std::size_t i = 1; i < offsets.size(); ++i) {
        ASSERT_EQ(offsets[i], offsets[i - 1] + 1);
    }
    EXPECT_EQ(offsets.back(), kRecords - 1);
}

TEST_F(TableReaderTest, RecordsOutliveTheReader) {
    const std::string topic = MakeTopic();
    auto producer = MakeReadyProducer();
    MILLRACE_ASSERT_OK(WriteAll(*producer, topic, {{"a", std::string(1000, 'x')}}));
    MILLRACE_ASSERT_OK(reader_->Add(topic, 0));
    const auto events =
        PollUntil([](const auto& all) { return !all.empty() && all[0].kind == Kind::kRecord; });
    reader_ = nullptr;
    ASSERT_FALSE(events.empty());
    EXPECT_EQ(events[0].record.value, std::string(1000, 'x'));
}

TEST_F(TableReaderTest, AppliedOffsetsAreStored) {
    const std::string first = MakeTopic();
    const std::string second = MakeTopic();
    for (int64_t offset = 1; offset <= 50; ++offset) {
        reader_->CommitApplied(first, offset);
        (void)reader_->Poll(5ms, 10);
    }
    std::map<std::string, int64_t> stored;
    for (int i = 0; i < 100 && stored[first] != 50; ++i) {
        (void)reader_->Poll(20ms, 10);
        stored = *admin_->CommittedOffsets(groups_.front(), {first, second}, 10s);
    }
    EXPECT_EQ(stored[first], 50);
    reader_->CommitApplied(second, 7);
    reader_ = nullptr;  // Sends what is left.
    stored = *admin_->CommittedOffsets(groups_.front(), {first, second}, 10s);
    EXPECT_EQ(stored[first], 50);
    EXPECT_EQ(stored[second], 7);
}

TEST_F(TableReaderTest, CommitIsDeliveredWithinMilliseconds) {
    const std::string topic = MakeTopic();
    auto producer = MakeReadyProducer();
    MILLRACE_ASSERT_OK(WriteAll(*producer, topic, {{"k", "warm"}}));
    MILLRACE_ASSERT_OK(reader_->Add(topic, 0));
    (void)PollToEnd(2);
    std::atomic<int64_t> committed_us{0};
    std::vector<double> times;
    for (int i = 0; i < 30; ++i) {
        std::thread writer([&] {
            std::this_thread::sleep_for(std::chrono::milliseconds(70 + i * 7 % 50));
            EXPECT_TRUE(WriteAll(*producer, topic, {{"k", "v"}}).ok());
            committed_us = Clock::now().time_since_epoch().count() / 1000;
        });
        const auto events = PollUntil([](const auto& all) {
            return std::any_of(all.begin(), all.end(), [](const auto& e) { return e.kind == Kind::kRecord; });
        });
        const int64_t seen_us = Clock::now().time_since_epoch().count() / 1000;
        writer.join();
        ASSERT_FALSE(events.empty());
        times.push_back(static_cast<double>(seen_us - committed_us) / 1000.0);
    }
    std::sort(times.begin(), times.end());
    std::printf("commit to delivery on an idle topic: median %.1f ms, 90%% %.1f ms, worst %.1f ms\n",
                times[15], times[27], times[29]);
    EXPECT_LT(times[15], 200) << "delivery waits for no timer";
}

TEST_F(TableReaderTest, ReadsAtSpeed) {
    const std::string topic = MakeTopic();
    auto producer = MakeReadyProducer();
    constexpr int kRecords = 200'000;
    const std::string value(200, 'x');
    const auto begun = Clock::now();
    for (int part = 0; part < 4; ++part) {
        MILLRACE_ASSERT_OK(producer->Begin());
        for (int i = 0; i < kRecords / 4; ++i) {
            MILLRACE_ASSERT_OK(producer->Produce(topic, "key", value, 0));
        }
        MILLRACE_ASSERT_OK(producer->Commit());
    }
    const std::chrono::duration<double> wrote = Clock::now() - begun;
    MILLRACE_ASSERT_OK(reader_->Add(topic, 0));
    const auto start = Clock::now();
    int64_t count = 0;
    while (count < kRecords && Clock::now() - start < 60s) {
        for (const TopicEvent& event : reader_->Poll(100ms, 10'000)) {
            count += event.kind == Kind::kRecord ? 1 : 0;
        }
    }
    const std::chrono::duration<double> read = Clock::now() - start;
    EXPECT_EQ(count, kRecords);
    std::printf("records of 200 bytes: written %.0f/s, read %.0f/s\n", kRecords / wrote.count(),
                kRecords / read.count());
}

}  // namespace
}  // namespace millrace::bus
