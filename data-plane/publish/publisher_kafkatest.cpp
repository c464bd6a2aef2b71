#include "data-plane/publish/publisher.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "data-plane/bus/table_reader.h"
#include "data-plane/bus/topic_admin.h"
#include "data-plane/codec/event_codec.h"
#include "data-plane/codec/change_pack.h"
#include "data-plane/codec/record_parts.h"
#include "data-plane/config/topic_name.h"
#include "data-plane/publish/scripted_source.h"
#include "data-plane/publish/stream_position.h"
#include "tests/support/kafka.h"

namespace millrace::publish {
namespace {

using namespace std::chrono_literals;
using Change = ScriptedDatabase::Change;

/// A record of a table topic as an outside reader with read_committed sees it.
struct Seen final {
    sdk::Op op = sdk::Op::kInsert;
    sdk::Position position;
    uint32_t generation = 0;
    std::string id;
};

class PublisherTest : public testing::Test {
 protected:
    void SetUp() override {
        kafka_ = testing_support::TestKafka();
        pipeline_.name = "tenants/t/pipelines/p";
        pipeline_.id = testing_support::FreeKafkaName("pub");
        pipeline_.selection.tables = {"public.*"};
    }
    void TearDown() override {
        Stop();
        auto admin = bus::TopicAdmin::Create(kafka_);
        const auto topics = (*admin)->ListTopics(kafka_.topic_prefix + "." + pipeline_.id + ".", 10s);
        EXPECT_TRUE((*admin)->DeleteTopics(*topics, 10s).ok());
    }

    void Run() {
        publisher_ = std::make_unique<Publisher>(
            kafka_, pipeline_,
            [this]() -> absl::StatusOr<std::unique_ptr<sdk::Source>> {
                return std::make_unique<ScriptedSource>(database_);
            },
            metrics_);
        thread_ = std::jthread([this](const std::stop_token& stop) { publisher_->Run(stop); });
    }
    void Stop() {
        if (thread_.joinable()) {
            thread_.request_stop();
            thread_.join();
        }
    }

    ControlState Control() {
        auto state = ReadControlState(kafka_, config::ControlTopic(kafka_.topic_prefix, pipeline_.id));
        return state.ok() ? *state : ControlState{};
    }
    void AwaitDurable(uint64_t end) {
        for (int i = 0; i < 300 && Control().position.end < end; ++i) {
            std::this_thread::sleep_for(50ms);
        }
        ASSERT_GE(Control().position.end, end) << publisher_->Facts().error;
    }

    std::vector<Seen> Read(const std::string& table) {
        const std::string topic = config::TableTopic(kafka_.topic_prefix, pipeline_.id, "public", table);
        auto reader = bus::TableReader::Create(kafka_, pipeline_.id + "-read");
        EXPECT_TRUE(reader.ok() && (*reader)->Add(topic, 0).ok());
        auto codec = codec::MakeMillraceCodec();
        const auto schemas = [](uint64_t id) -> absl::StatusOr<sdk::SchemaPtr> {
            auto schema = std::make_shared<sdk::TableSchema>();
            schema->columns = {{.name = "id", .key_ordinal = 1}, {.name = "value"}};
            schema->id = id;
            return schema;
        };
        std::vector<Seen> seen;
        codec::PartJoiner joiner;
        for (int quiet = 0; quiet < 100; ++quiet) {
            for (const bus::TopicEvent& event : (*reader)->Poll(50ms, 1000)) {
                if (event.kind == bus::TopicEvent::Kind::kEnd) {
                    return seen;
                }
                std::string joined;
                std::string_view value = event.record.value;
                if (const auto header = event.record.Header(codec::kPartHeader); !header.empty()) {
                    const auto part = codec::ParsePartHeader(header);
                    EXPECT_TRUE(part.ok() && joiner.Add(*part, value).ok());
                    ++parts_;
                    if (!joiner.complete()) {
                        continue;
                    }
                    joined = joiner.Take();
                    value = joined;
                }
                EXPECT_TRUE(joiner.empty()) << "parts follow each other";
                json_ += value.starts_with('{') ? 1 : 0;
                codec::PackReader changes(value);
                std::string_view encoded;
                while (changes.Next(encoded)) {
                    codec::DecodedEvent decoded;
                    EXPECT_TRUE(codec->Decode(encoded, schemas, decoded).ok());
                    const sdk::ChangeEvent& change = decoded.event;
                    const sdk::RowView row = change.after.empty() ? change.before : change.after;
                    seen.push_back({change.op, change.position, change.generation,
                                    row.empty() ? "" : std::string(row[0].text())});
                }
                EXPECT_TRUE(changes.status().ok());
                ++records_;
            }
        }
        ADD_FAILURE() << "the end of " << topic << " was never reached";
        return seen;
    }

    /// Ids of the rows, each position once and rising.
    std::vector<std::string> Ids(const std::string& table) {
        std::vector<std::string> ids;
        std::pair<uint32_t, sdk::Position> last{};
        for (const Seen& seen : Read(table)) {
            const std::pair<uint32_t, sdk::Position> at{seen.generation, seen.position};
            EXPECT_LT(last, at) << "a position came twice or went back";
            last = at;
            if (!sdk::IsMarker(seen.op)) {
                ids.push_back(seen.id);
            }
        }
        return ids;
    }

    ScriptedDatabase database_{{"a", "b"}};
    int parts_ = 0;
    /// Records of Debezium's form.
    size_t json_ = 0;
    size_t records_ = 0;
    base::Metrics metrics_;
    config::KafkaConfig kafka_;
    config::PipelineConfig pipeline_;
    std::unique_ptr<Publisher> publisher_;
    std::jthread thread_;
};

// The other worker copies, streams and dies while this one still believes that nothing was copied: what waits in the
// other's slot must not go with it.
TEST_F(PublisherTest, ASlotThatAnotherWorkerFilledMeanwhileIsNotMadeAnew) {
    database_.Commit({{"a", sdk::Op::kInsert, "1", "x"}});
    std::atomic<uint64_t> end = 0;
    database_.OnLock([&] {
        std::jthread other([&](const std::stop_token& stop) {
            Publisher publisher(
                kafka_, pipeline_,
                [this]() -> absl::StatusOr<std::unique_ptr<sdk::Source>> {
                    return std::make_unique<ScriptedSource>(database_);
                },
                metrics_);
            publisher.Run(stop);
        });
        while (!Control().position.streaming) {
            std::this_thread::sleep_for(20ms);
        }
        other.request_stop();
        other.join();
        end = database_.Commit({{"a", sdk::Op::kInsert, "2", "x"}});
    });
    Run();
    while (end == 0) {
        std::this_thread::sleep_for(20ms);
    }
    AwaitDurable(end);
    EXPECT_EQ(Ids("a"), (std::vector<std::string>{"1", "2"}));
    EXPECT_EQ(Control().position.generation, 1U) << "copied once";
}

TEST_F(PublisherTest, CopiesThenStreams) {
    database_.Commit({{.table = "a", .id = "1"}, {.table = "a", .id = "2"}});
    Run();
    AwaitDurable(1100);
    const uint64_t end = database_.Commit({{.table = "a", .id = "3"}, {.table = "b", .id = "x"}});
    AwaitDurable(end);
    EXPECT_EQ(Ids("a"), (std::vector<std::string>{"1", "2", "3"}));
    EXPECT_EQ(Ids("b"), (std::vector<std::string>{"x"}));
    EXPECT_EQ(Read("b").front().op, sdk::Op::kTruncate) << "an empty table announces its schema";
    EXPECT_EQ(publisher_->Facts().state, PublisherState::kStreaming);
}

TEST_F(PublisherTest, TheCodecMayChangeBetweenSessions) {
    database_.Commit({{.table = "a", .id = "1"}});
    pipeline_.codec = config::Codec::kDebeziumJson;
    Run();
    AwaitDurable(database_.Commit({{.table = "a", .id = "2"}}));
    Stop();
    const size_t copied = Read("a").size();
    EXPECT_EQ(json_, copied);
    EXPECT_EQ(Ids("a"), (std::vector<std::string>{"1", "2"}));
    pipeline_.codec = config::Codec::kNative;
    Run();
    AwaitDurable(database_.Commit({{.table = "a", .id = "3"}}));
    json_ = 0;
    const size_t all = Read("a").size();
    EXPECT_EQ(json_, all - 1) << "the last one alone is native";
    EXPECT_EQ(Ids("a"), (std::vector<std::string>{"1", "2", "3"}));
}

TEST_F(PublisherTest, ATableWhoseRowsWereRewrittenIsCopiedAnewAndNothingIsPublishedInBetween) {
    database_.Commit({{.table = "a", .id = "1"}});
    Run();
    AwaitDurable(database_.Commit({{.table = "a", .id = "2"}, {.table = "b", .id = "x"}}));
    database_.Rewrite("a");
    AwaitDurable(
        database_.Commit({{.table = "b", .id = "y"}, {.table = "a", .id = "3"}, {.table = "b", .id = "z"}}));
    AwaitDurable(database_.Commit({{.table = "a", .id = "4"}}));
    EXPECT_EQ(Ids("a"), (std::vector<std::string>{"1", "2", "1", "2", "3", "4"}));
    EXPECT_EQ(Ids("b"), (std::vector<std::string>{"x", "y", "z"}))
        << "the other table neither stops nor repeats";
    const std::vector<Seen> seen = Read("a");
    EXPECT_EQ(seen[3].op, sdk::Op::kTruncate) << "before the copy";
    EXPECT_EQ(seen.back().op, sdk::Op::kInsert);
    Stop();
    // What was rewritten and is known does not ask again.
    Run();
    AwaitDurable(database_.Commit({{.table = "a", .id = "5"}}));
    EXPECT_EQ(Ids("a").size(), 7U);
}

TEST_F(PublisherTest, ABrokenConnectionInMidTransactionLeavesNeitherGapNorDuplicate) {
    Run();
    AwaitDurable(1000);
    std::vector<std::string> expected;
    uint64_t end = 0;
    for (int transaction = 0; transaction < 30; ++transaction) {
        std::vector<Change> changes;
        for (int i = 0; i < 7; ++i) {
            expected.push_back(std::to_string(transaction) + "-" + std::to_string(i));
            changes.push_back({.table = "a", .id = expected.back(), .value = std::string(200, 'v')});
        }
        if (transaction % 5 == 0) {
            database_.BreakAfter(transaction % 7 + 3);
        }
        end = database_.Commit(std::move(changes));
        std::this_thread::sleep_for(20ms);
    }
    AwaitDurable(end);
    EXPECT_EQ(Ids("a"), expected);
}

TEST_F(PublisherTest, ALargeTransactionIsSplitAndResumedInItsMiddle) {
    Run();
    AwaitDurable(1000);
    std::vector<Change> changes;
    std::vector<std::string> expected;
    for (int i = 0; i < 40; ++i) {
        expected.push_back(std::to_string(i));
        changes.push_back({.table = "a", .id = expected.back(), .value = std::string(1 << 20, 'v')});
    }
    database_.BreakAfter(25);  // after at least two commits of 8 MiB
    const uint64_t end = database_.Commit(std::move(changes));
    AwaitDurable(end);
    EXPECT_EQ(Ids("a"), expected);
    for (const uint64_t acknowledged : database_.acknowledged()) {
        EXPECT_TRUE(acknowledged <= 1000 || acknowledged >= end) << "acknowledged inside a transaction";
    }
}

TEST_F(PublisherTest, SmallChangesOfATableShareRecordsInTheirOrder) {
    Run();
    AwaitDurable(1000);
    std::vector<Change> changes;
    std::map<std::string, std::vector<std::string>> expected;
    for (int i = 0; i < 2000; ++i) {
        // Of two tables in turn, and now and then one that is too large to share a record.
        const std::string table = i % 2 == 0 ? "a" : "b";
        expected[table].push_back(std::to_string(i));
        changes.push_back({.table = table, .id = expected[table].back(), .value = std::string(i % 500 == 7 ? 40'000 : 100, 'v')});
    }
    AwaitDurable(database_.Commit(std::move(changes)));
    for (const auto& [table, ids] : expected) {
        records_ = 0;
        EXPECT_EQ(Ids(table), ids);
        EXPECT_LT(records_, 20U);
    }
}

TEST_F(PublisherTest, ALargeRecordComesInPartsOfOneKafkaTransaction) {
    Run();
    AwaitDurable(1000);
    std::vector<Change> changes;
    std::vector<std::string> expected;
    for (int i = 0; i < 6; ++i) {
        expected.push_back(std::to_string(i));
        changes.push_back({.table = "a",
                           .id = expected.back(),
                           .value = std::string(i % 2 == 0 ? (20 << 20) + i : 10, 'v')});
    }
    database_.BreakAfter(4);
    AwaitDurable(database_.Commit(std::move(changes)));
    EXPECT_EQ(Ids("a"), expected);
    EXPECT_EQ(parts_, 9) << "three records of 20 MiB in parts of 8 MiB";
}

TEST_F(PublisherTest, ARecordBeyondTheLimitHoldsItsTableAlone) {
    Run();
    AwaitDurable(1000);
    const auto why_held = [&](const std::string& table) {
        const std::vector<TableFacts> tables = publisher_->Facts().tables;
        const auto found = std::find_if(tables.begin(), tables.end(),
                                        [&](const TableFacts& facts) { return facts.table == table; });
        return found == tables.end() ? absl::OkStatus() : found->held;
    };
    database_.Commit({{.table = "b", .id = "x", .value = std::string(257 << 20, 'v')}});
    for (int i = 0; i < 200 && why_held("b").ok(); ++i) {
        std::this_thread::sleep_for(50ms);
    }
    EXPECT_EQ(base::ReasonOf(why_held("b")), "RECORD_TOO_LARGE") << why_held("b");
    EXPECT_NE(std::string(why_held("b").message()).find("table public.b makes a record of 258 MiB"),
              std::string::npos)
        << why_held("b");
    AwaitDurable(database_.Commit({{.table = "a", .id = "1"}, {.table = "b", .id = "y"}}));
    EXPECT_EQ(Ids("a"), (std::vector<std::string>{"1"}));
    EXPECT_TRUE(Ids("b").empty());
    EXPECT_TRUE(why_held("a").ok());
}

TEST_F(PublisherTest, ARestartRepeatsNothing) {
    Run();
    AwaitDurable(1000);
    AwaitDurable(database_.Commit({{.table = "a", .id = "1"}}));
    Stop();
    const uint64_t end = database_.Commit({{.table = "a", .id = "2"}});
    Run();
    AwaitDurable(end);
    EXPECT_EQ(Ids("a"), (std::vector<std::string>{"1", "2"}));
    EXPECT_EQ(Control().position.generation, 1u);
}

TEST_F(PublisherTest, AStandbyWaitsAndDoesNotFenceTheLeader) {
    Run();
    AwaitDurable(1000);
    Stop();
    database_.SetSlotTaken(true);
    Run();
    for (int i = 0; i < 100 && publisher_->Facts().state != PublisherState::kStandby; ++i) {
        std::this_thread::sleep_for(50ms);
    }
    EXPECT_EQ(publisher_->Facts().state, PublisherState::kStandby);
    const uint64_t end = database_.Commit({{.table = "a", .id = "1"}});
    database_.SetSlotTaken(false);
    AwaitDurable(end);
    EXPECT_EQ(Ids("a"), (std::vector<std::string>{"1"}));
}

TEST_F(PublisherTest, ATableThatJoinsIsCopiedOnceAndThenStreamed) {
    Run();
    AwaitDurable(1000);
    Stop();
    database_.AddTable("c");
    database_.Commit({{.table = "c", .id = "old"}});
    Run();
    for (int i = 0; i < 200 && Control().tables.size() < 3; ++i) {
        std::this_thread::sleep_for(50ms);
    }
    const uint64_t end = database_.Commit({{.table = "c", .id = "new"}});
    AwaitDurable(end);
    EXPECT_EQ(Ids("c"), (std::vector<std::string>{"old", "new"}));
}

}  // namespace
}  // namespace millrace::publish
