// Records of real topics, applied by consumers that share, lose and take over tables.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <thread>

#include "base/status.h"
#include "data-plane/apply/consumer.h"
#include "data-plane/apply/error_policy.h"
#include "data-plane/apply/file_store.h"
#include "data-plane/apply/memory_destination.h"
#include "data-plane/apply/schema_registry.h"
#include "data-plane/apply/source_model.h"
#include "data-plane/bus/producer.h"
#include "data-plane/bus/topic_admin.h"
#include "data-plane/codec/record_parts.h"
#include "data-plane/config/topic_name.h"
#include "tests/support/kafka.h"

namespace millrace::apply {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;
using Change = SourceModel::Change;
using Moment = MemoryDestination::Moment;

constexpr char kChildPipeline[] = "MILLRACE_APPLY_TEST_PIPELINE";
constexpr char kChildFolder[] = "MILLRACE_APPLY_TEST_FOLDER";

config::PipelineConfig Pipeline(const std::string& id) {
    config::PipelineConfig pipeline;
    pipeline.name = "tenants/test/pipelines/" + id;
    pipeline.id = id;
    pipeline.uid = id + "-uid";
    return pipeline;
}

sdk::SchemaPtr SchemaOf(const std::string& table, bool append_only = false) {
    auto schema = std::make_shared<sdk::TableSchema>(*OrdersSchema(0, append_only));
    schema->table = table;
    schema->id = sdk::ComputeSchemaId(*schema);
    return schema;
}

bool Eventually(std::chrono::milliseconds within, const std::function<bool()>& condition) {
    const auto deadline = steady_clock::now() + within;
    while (!condition()) {
        if (steady_clock::now() > deadline) {
            return false;
        }
        std::this_thread::sleep_for(10ms);
    }
    return true;
}

/// A consumer with a pool, metrics and a destination of its own, as each worker has.
struct Worker final {
    Worker(const config::KafkaConfig& kafka, const std::string& pipeline_id, const std::string& member,
           MemoryStore& store, MemoryDestination::Fault fault = {}, ConsumerLimits limits = {},
           sdk::FlushDefaults defaults = {})
        : destination(store, defaults, std::move(fault)),
          consumer(
              kafka, Pipeline(pipeline_id), member, destination, [] { return codec::MakeMillraceCodec(); },
              metrics, pool, limits) {}

    base::Metrics metrics;
    WorkerPool pool{4};
    MemoryDestination destination;
    Consumer consumer;
};

class ApplyKafka : public testing::Test {
 protected:
    void SetUp() override {
        ASSERT_FALSE(HasFailure());
        auto admin = bus::TopicAdmin::Create(kafka_);
        ASSERT_TRUE(admin.ok()) << admin.status();
        admin_ = *std::move(admin);
    }
    void TearDown() override {
        if (admin_ == nullptr) {
            return;
        }
        EXPECT_TRUE(admin_->DeleteTopics(topics_, 10s).ok());
        EXPECT_TRUE(admin_
                        ->DeleteGroups({config::AssignmentGroup(kafka_.topic_prefix, id_),
                                        config::AppliedGroup(kafka_.topic_prefix, id_)},
                                       20s)
                        .ok());
    }

    void MakeTables(int count, bool append_only = false) {
        std::vector<bus::TopicSpec> specs;
        for (int i = 0; i < count; ++i) {
            const std::string name = "t" + std::to_string(i);
            schemas_.push_back(SchemaOf(name, append_only));
            tables_.push_back(config::TableTopic(kafka_.topic_prefix, id_, "public", name));
            specs.push_back({tables_.back(), bus::TableTopicProperties()});
            models_.push_back(std::make_unique<SourceModel>(i % 2 == 1, /*stamped=*/true, schemas_.back()));
        }
        specs.push_back({config::SchemaTopic(kafka_.topic_prefix, id_), bus::CompactedTopicProperties()});
        for (const bus::TopicSpec& spec : specs) {
            topics_.push_back(spec.name);
        }
        const absl::Status made = admin_->CreateTopics(specs, 20s);
        ASSERT_TRUE(made.ok()) << made;
        auto producer = bus::TransactionalProducer::Create(kafka_, id_, nullptr);
        ASSERT_TRUE(producer.ok()) << producer.status();
        producer_ = *std::move(producer);
        ASSERT_TRUE(producer_->Init().ok());
        ASSERT_TRUE(producer_->Begin().ok());
        for (const sdk::SchemaPtr& schema : schemas_) {
            ASSERT_TRUE(producer_
                            ->Produce(config::SchemaTopic(kafka_.topic_prefix, id_),
                                      codec::SchemaKey(schema->id), codec::EncodeSchema(*schema), 0)
                            .ok());
        }
        ASSERT_TRUE(producer_->Commit().ok());
    }

    void Produce(size_t table, sdk::ChangeEvent event) {
        event.commit_time_us = SystemClock().WallMicros();
        if (codec_->EncodeAside(event, key_, value_)) {
            const bus::RecordHeader headers[] = {{codec::kAsideHeader, codec::kKeyMoveAside}};
            ASSERT_TRUE(producer_->Produce(tables_[table], key_, value_, 0, headers).ok());
            ++asides_;
        }
        codec_->Encode(event, key_, value_);
        const absl::Status status =
            producer_->Produce(tables_[table], key_, value_, event.commit_time_us / 1000);
        ASSERT_TRUE(status.ok()) << status;
    }

    /// `leave_out`: this part is not written.
    void ProduceInParts(size_t table, sdk::ChangeEvent event, size_t part_bytes, uint64_t leave_out = 0) {
        event.commit_time_us = SystemClock().WallMicros();
        codec_->Encode(event, key_, value_);
        const uint64_t count = codec::PartCount(value_.size(), part_bytes);
        for (uint64_t i = 1; i <= count; ++i) {
            const std::string header = codec::PartHeader({i, count, value_.size()});
            const bus::RecordHeader headers[] = {{codec::kPartHeader, header}};
            if (i != leave_out) {
                const absl::Status status = producer_->Produce(
                    tables_[table], key_, std::string_view(value_).substr((i - 1) * part_bytes, part_bytes),
                    0, headers);
                ASSERT_TRUE(status.ok()) << status;
            }
        }
    }

    /// One transaction of `changes` random changes over all tables.
    void ProduceTransaction(int changes) {
        ASSERT_TRUE(producer_->Begin().ok());
        for (int i = 0; i < changes; ++i) {
            const size_t table = random_() % tables_.size();
            static constexpr std::array kChoices{Change::kInsert, Change::kInsert, Change::kUpdate,
                                                 Change::kUpdate, Change::kUpdate, Change::kDelete,
                                                 Change::kMove};
            const Change change =
                random_() % 2000 == 0 ? Change::kTruncate : kChoices[random_() % kChoices.size()];
            const auto event =
                models_[table]->Make(change, static_cast<int>(random_() % 200),
                                     static_cast<int>(random_() % 200), static_cast<int>(random_() % 64));
            if (event) {
                Produce(table, *event);
            }
        }
        const absl::Status status = producer_->Commit();
        ASSERT_TRUE(status.ok()) << status;
    }

    static std::map<std::string, SampleRow> RowsOf(const MemoryTable& table) {
        std::map<std::string, SampleRow> rows;
        for (const auto& [key, row] : table.rows) {
            rows[*row.at("id")] = {row.at("id"), row.at("status"), row.at("note"), row.at("photo")};
        }
        return rows;
    }
    bool AllRowsRight(MemoryStore& store) {
        for (size_t i = 0; i < tables_.size(); ++i) {
            if (RowsOf(store.Get(tables_[i])) != models_[i]->rows()) {
                return false;
            }
        }
        return true;
    }
    /// The committed offsets say so: everything up to the end of every topic is applied.
    bool CaughtUp() {
        const auto ends = admin_->EndOffsets(tables_, 10s);
        const auto applied =
            admin_->CommittedOffsets(config::AppliedGroup(kafka_.topic_prefix, id_), tables_, 10s);
        return ends.ok() && applied.ok() && *ends == *applied;
    }

    static size_t CountTables(const Worker& worker) { return worker.consumer.Facts().size(); }
    static bool HasTables(const Worker& worker, size_t count) {
        const std::vector<TableFacts> facts = worker.consumer.Facts();
        return facts.size() == count && std::all_of(facts.begin(), facts.end(), [](const TableFacts& table) {
                   return table.state == TableState::kLive;
               });
    }

    const config::KafkaConfig kafka_ = testing_support::TestKafka();
    const std::string id_ = testing_support::FreeKafkaName("apply");
    std::unique_ptr<bus::TopicAdmin> admin_;
    std::unique_ptr<bus::TransactionalProducer> producer_;
    std::unique_ptr<codec::EventCodec> codec_ = codec::MakeMillraceCodec();
    std::string key_;
    std::string value_;
    std::vector<std::string> topics_;
    std::vector<std::string> tables_;
    std::vector<sdk::SchemaPtr> schemas_;
    std::vector<std::unique_ptr<SourceModel>> models_;
    std::mt19937 random_{42};
    int asides_ = 0;
};

TEST_F(ApplyKafka, TwoConsumersShareTheTablesAndHandThemOver) {
    MakeTables(6);
    MemoryStore store;
    auto first = std::make_unique<Worker>(kafka_, id_, "first", store);
    ASSERT_TRUE(first->consumer.Start().ok());
    ASSERT_TRUE(Eventually(30s, [&] { return HasTables(*first, 6); }));
    for (int i = 0; i < 20; ++i) {
        ProduceTransaction(100);
    }
    EXPECT_TRUE(Eventually(20s, [&] { return AllRowsRight(store); }));
    EXPECT_TRUE(Eventually(20s, [&] { return CaughtUp(); }));

    Worker second(kafka_, id_, "second", store);
    ASSERT_TRUE(second.consumer.Start().ok());
    const auto shared = [&] { return HasTables(*first, 3) && HasTables(second, 3); };
    for (int i = 0; i < 1000 && !shared(); ++i) {
        ProduceTransaction(20);
    }
    EXPECT_TRUE(shared());
    for (int i = 0; i < 20; ++i) {
        ProduceTransaction(100);
    }
    EXPECT_TRUE(Eventually(20s, [&] { return AllRowsRight(store); }));

    EXPECT_TRUE(first->consumer.Stop(10s).ok());
    first.reset();
    ProduceTransaction(100);
    EXPECT_TRUE(Eventually(30s, [&] { return HasTables(second, 6); }));
    EXPECT_TRUE(Eventually(20s, [&] { return AllRowsRight(store); }));
    EXPECT_TRUE(Eventually(20s, [&] { return CaughtUp(); }));
    for (const TableFacts& facts : second.consumer.Facts()) {
        EXPECT_EQ(facts.schema, "public");
        EXPECT_EQ(facts.error, "");
        EXPECT_EQ(facts.records_waiting, 0);
        EXPECT_EQ(facts.lag_seconds, 0);
    }
    EXPECT_TRUE(second.consumer.health().ok()) << second.consumer.health();
}

TEST_F(ApplyKafka, RecordsOfBothFormsInOneTopic) {
    MakeTables(4);
    MemoryStore store;
    auto worker = std::make_unique<Worker>(kafka_, id_, "first", store);
    ASSERT_TRUE(worker->consumer.Start().ok());
    for (int i = 0; i < 20; ++i) {
        codec_ = i % 3 == 1 ? codec::MakeMillraceCodec()
                            : codec::MakeDebeziumCodec({.name = "millrace." + id_, .database = "d"});
        ProduceTransaction(100);
    }
    EXPECT_GT(asides_, 0) << "there was no key move";
    EXPECT_TRUE(Eventually(30s, [&] { return AllRowsRight(store); }));
    EXPECT_TRUE(worker->consumer.Stop(10s).ok());
    // From the checkpoints, before which such a record stands.
    worker = std::make_unique<Worker>(kafka_, id_, "second", store);
    ASSERT_TRUE(worker->consumer.Start().ok());
    ProduceTransaction(100);
    EXPECT_TRUE(Eventually(30s, [&] { return AllRowsRight(store); }));
    EXPECT_TRUE(Eventually(20s, [&] { return CaughtUp(); }));
}

// The other process of the next test: applies until it is killed.
TEST(ApplyKafkaChild, DISABLED_AppliesUntilKilled) {
    FileStore store(std::getenv(kChildFolder));
    Worker worker(testing_support::TestKafka(), std::getenv(kChildPipeline), "child", store);
    ASSERT_TRUE(worker.consumer.Start().ok());
    std::this_thread::sleep_for(5min);
}

pid_t StartChild(const std::string& pipeline, const std::string& folder) {
    const pid_t pid = fork();
    if (pid == 0) {
        setenv(kChildPipeline, pipeline.c_str(), 1);
        setenv(kChildFolder, folder.c_str(), 1);
        execl("/proc/self/exe", "apply_kafkatest", "--gtest_filter=ApplyKafkaChild.*",
              "--gtest_also_run_disabled_tests", nullptr);
        _exit(127);
    }
    return pid;
}

TEST_F(ApplyKafka, TablesOfAKilledConsumerMoveAndNoRowGoesBack) {
    MakeTables(6);
    std::string folder = testing::TempDir() + "millrace-apply-XXXXXX";
    ASSERT_NE(mkdtemp(folder.data()), nullptr);
    FileStore store(folder);
    const pid_t child = StartChild(id_, folder);
    ASSERT_GT(child, 0);
    Worker survivor(kafka_, id_, "survivor", store);
    ASSERT_TRUE(survivor.consumer.Start().ok());
    const auto deadline = steady_clock::now() + 40s;
    while (!HasTables(survivor, 3) && steady_clock::now() < deadline) {
        ProduceTransaction(50);
        std::this_thread::sleep_for(20ms);
    }
    EXPECT_EQ(CountTables(survivor), 3U);
    EXPECT_TRUE(Eventually(20s, [&] { return AllRowsRight(store); })) << "with two processes";

    for (int i = 0; i < 20; ++i) {
        ProduceTransaction(50);
    }
    ASSERT_EQ(kill(child, SIGKILL), 0);
    ASSERT_EQ(waitpid(child, nullptr, 0), child);
    while (!HasTables(survivor, 6) && steady_clock::now() < deadline + 60s) {
        ProduceTransaction(50);
        std::this_thread::sleep_for(50ms);
    }
    EXPECT_EQ(CountTables(survivor), 6U);
    EXPECT_TRUE(Eventually(20s, [&] { return AllRowsRight(store); })) << "after the kill";
    EXPECT_TRUE(Eventually(20s, [&] { return CaughtUp(); }));
    EXPECT_EQ(store.violations(), "");
    EXPECT_TRUE(survivor.consumer.Stop(10s).ok());
    std::filesystem::remove_all(folder);
}

TEST_F(ApplyKafka, RowsWithoutKeyArriveOnceThoughCommitsFail) {
    MakeTables(1, /*append_only=*/true);
    MemoryStore store;
    std::atomic<int> calls{0};
    Worker worker(
        kafka_, id_, "worker", store, [&](Moment moment, const std::string&, const sdk::Batch* batch) {
            const bool fail = batch != nullptr && ++calls % 5 == (moment == Moment::kBeforeApply ? 1 : 2);
            return fail ? absl::UnavailableError("connection lost") : absl::OkStatus();
        });
    ASSERT_TRUE(worker.consumer.Start().ok());
    EventMaker& make = models_[0]->events();
    for (int transaction = 0; transaction < 20; ++transaction) {
        ASSERT_TRUE(producer_->Begin().ok());
        for (int i = 0; i < 50; ++i) {
            Produce(0, make.Insert({std::to_string(transaction * 50 + i), "v1", std::nullopt, std::nullopt}));
        }
        ASSERT_TRUE(producer_->Commit().ok());
    }
    EXPECT_TRUE(Eventually(30s, [&] { return store.Get(tables_[0]).appended.size() >= 1000; }));
    EXPECT_TRUE(Eventually(20s, [&] { return CaughtUp(); }));
    const MemoryTable table = store.Get(tables_[0]);
    ASSERT_EQ(table.appended.size(), 1000U);
    for (size_t i = 0; i < 1000; ++i) {
        ASSERT_EQ(table.appended[i].at("id"), std::to_string(i));
    }
}

// Rows of 1,000 bytes in parts of 100, more of them than the budget holds at once, from many tables.
TEST_F(ApplyKafka, SplitRecordsAreJoinedWithinTheirBudget) {
    MakeTables(5);
    MemoryStore store;
    ConsumerLimits limits;
    limits.split = base::ByteCount(2500);
    sdk::FlushDefaults defaults;
    // Long enough that only want of room makes a table apply.
    defaults.interval = 1h;
    Worker worker(kafka_, id_, "worker", store, {}, limits, defaults);
    ASSERT_TRUE(worker.consumer.Start().ok());
    for (int transaction = 0; transaction < 10; ++transaction) {
        ASSERT_TRUE(producer_->Begin().ok());
        for (size_t table = 0; table < tables_.size(); ++table) {
            const std::string id = std::to_string(transaction);
            ProduceInParts(
                table, models_[table]->events().Insert({id, std::string(1000, 's'), id, std::nullopt}), 100);
            Produce(table, models_[table]->events().Insert({"small" + id, "s", id, std::nullopt}));
        }
        ASSERT_TRUE(producer_->Commit().ok());
    }
    const auto large = [&] {
        int rows = 0;
        for (const std::string& topic : tables_) {
            for (const auto& [id, row] : RowsOf(store.Get(topic))) {
                rows += row[1]->size() == 1000 ? 1 : 0;
            }
        }
        return rows;
    };
    // The last two fit the budget and stay folded: nothing asks for their room.
    EXPECT_TRUE(Eventually(30s, [&] { return large() >= 48; })) << large();
    for (const std::string& topic : tables_) {
        for (const auto& [id, row] : RowsOf(store.Get(topic))) {
            EXPECT_EQ(row[1]->size(), id.starts_with("small") ? 1U : 1000U);
        }
    }
}

TEST_F(ApplyKafka, APartThatIsMissingHoldsItsTableAlone) {
    MakeTables(2);
    MemoryStore store;
    Worker worker(kafka_, id_, "worker", store);
    ASSERT_TRUE(worker.consumer.Start().ok());
    ASSERT_TRUE(producer_->Begin().ok());
    ProduceInParts(0, models_[0]->events().Insert({"1", std::string(1000, 's'), "n", std::nullopt}), 100,
                   /*leave_out=*/4);
    Produce(1, models_[1]->events().Insert({"1", "s", "n", std::nullopt}));
    ASSERT_TRUE(producer_->Commit().ok());
    EXPECT_TRUE(Eventually(30s, [&] { return RowsOf(store.Get(tables_[1])).size() == 1; }));
    const auto held = [&] {
        for (const TableFacts& facts : worker.consumer.Facts()) {
            if (facts.topic == tables_[0]) {
                return facts.state == TableState::kHeld && facts.reason == "BAD_RECORD";
            }
        }
        return false;
    };
    EXPECT_TRUE(Eventually(20s, held));
    EXPECT_TRUE(RowsOf(store.Get(tables_[0])).empty());
}

TEST_F(ApplyKafka, ASlowDestinationKeepsMemoryBounded) {
    MakeTables(2);
    MemoryStore store;
    ConsumerLimits limits{.table = base::ByteCount::KiB(256), .total = base::ByteCount::MiB(1)};
    sdk::FlushDefaults defaults;
    defaults.bytes = base::ByteCount::KiB(128);
    // Long enough that nothing would ever be applied by age.
    defaults.interval = 1h;
    Worker worker(
        kafka_, id_, "worker", store,
        [](Moment moment, const std::string&, const sdk::Batch*) {
            if (moment == Moment::kBeforeApply) {
                std::this_thread::sleep_for(5ms);
            }
            return absl::OkStatus();
        },
        limits, defaults);
    const std::string photo(4096, 'x');
    for (int transaction = 0; transaction < 20; ++transaction) {
        ASSERT_TRUE(producer_->Begin().ok());
        for (int i = 0; i < 100; ++i) {
            for (size_t table = 0; table < 2; ++table) {
                Produce(table, models_[table]->events().Insert(
                                   {std::to_string(transaction * 100 + i), "v1", std::nullopt, photo}));
            }
        }
        ASSERT_TRUE(producer_->Commit().ok());
    }
    ASSERT_TRUE(worker.consumer.Start().ok());
    int64_t most = 0;
    const auto almost_all_there = [&] {
        int64_t waiting = 0;
        for (const TableFacts& facts : worker.consumer.Facts()) {
            waiting += facts.bytes_waiting;
        }
        most = std::max(most, waiting);
        // The last rows wait for their age.
        return store.Get(tables_[0]).rows.size() > 1900 && store.Get(tables_[1]).rows.size() > 1900;
    };
    const auto deadline = steady_clock::now() + 60s;
    bool there = false;
    while (!(there = almost_all_there()) && steady_clock::now() < deadline) {
        std::this_thread::sleep_for(1ms);
    }
    EXPECT_TRUE(there);
    // 16 MiB were produced; one poll (2 MiB) may begin just below the hard limit of twice the soft one.
    EXPECT_LT(most, base::ByteCount::KiB(4300).value());
    EXPECT_GT(most, 0);
}

TEST_F(ApplyKafka, AnOffsetThatKafkaNoLongerHasHoldsTheTable) {
    MakeTables(2);
    MemoryStore store;
    ASSERT_TRUE(store
                    .Transact(tables_[0],
                              [](MemoryTable& table) {
                                  table.checkpoint.next_offset = 1000;
                                  return absl::OkStatus();
                              })
                    .ok());
    ProduceTransaction(200);
    Worker worker(kafka_, id_, "worker", store);
    ASSERT_TRUE(worker.consumer.Start().ok());
    EXPECT_TRUE(Eventually(30s, [&] {
        return RowsOf(store.Get(tables_[1])) == models_[1]->rows() && !models_[1]->rows().empty();
    }));
    TableFacts held;
    EXPECT_TRUE(Eventually(30s, [&] {
        for (const TableFacts& facts : worker.consumer.Facts()) {
            if (facts.topic == tables_[0]) {
                held = facts;
            }
        }
        return held.state == TableState::kHeld;
    }));
    EXPECT_EQ(held.reason, "OFFSET_GONE");
    EXPECT_NE(held.remedy, "");
    EXPECT_TRUE(store.Get(tables_[0]).rows.empty());
}

TEST_F(ApplyKafka, ASchemaThatIsNotVisibleYetIsWaitedFor) {
    MakeTables(1);
    SchemaRegistry registry(kafka_, id_);
    ASSERT_TRUE(registry.Lookup(schemas_[0]->id).ok());
    const sdk::SchemaPtr late = SchemaOf("late", false);
    ASSERT_TRUE(producer_->Begin().ok());
    ASSERT_TRUE(producer_
                    ->Produce(config::SchemaTopic(kafka_.topic_prefix, id_), codec::SchemaKey(late->id),
                              codec::EncodeSchema(*late), 0)
                    .ok());
    // Another partition's end of the same transaction may be seen before this one's.
    const absl::Status pending = registry.Lookup(late->id).status();
    EXPECT_EQ(base::ReasonOf(pending), "SCHEMA_PENDING");
    EXPECT_EQ(Decide(pending), Remediation::kRetry);
    ASSERT_TRUE(producer_->Commit().ok());
    EXPECT_TRUE(Eventually(10s, [&] { return registry.Lookup(late->id).ok(); }));
}

TEST_F(ApplyKafka, APausedPipelineAppliesNothingUntilItIsResumed) {
    MakeTables(3);
    MemoryStore store;
    Worker worker(kafka_, id_, "worker", store);
    ASSERT_TRUE(worker.consumer.Start().ok());
    ProduceTransaction(200);
    ASSERT_TRUE(Eventually(30s, [&] { return AllRowsRight(store); }));
    worker.consumer.Pause();
    ASSERT_TRUE(Eventually(10s, [&] {
        const std::vector<TableFacts> facts = worker.consumer.Facts();
        return std::all_of(facts.begin(), facts.end(),
                           [](const TableFacts& table) { return table.state == TableState::kPaused; });
    }));
    ProduceTransaction(200);
    std::this_thread::sleep_for(500ms);
    EXPECT_FALSE(AllRowsRight(store));
    worker.consumer.Resume();
    EXPECT_TRUE(Eventually(20s, [&] { return AllRowsRight(store); }));
}

TEST_F(ApplyKafka, ACommittedChangeIsVisibleWithinMilliseconds) {
    MakeTables(1);
    MemoryStore store;
    std::vector<double> delays;
    std::mutex mutex;
    Worker worker(
        kafka_, id_, "worker", store, [&](Moment moment, const std::string&, const sdk::Batch* batch) {
            if (moment == Moment::kAfterCommit) {
                const std::lock_guard lock(mutex);
                delays.push_back(
                    static_cast<double>(SystemClock().WallMicros() - batch->last_commit_time_us) / 1000);
            }
            return absl::OkStatus();
        });
    ASSERT_TRUE(worker.consumer.Start().ok());
    ASSERT_TRUE(Eventually(30s, [&] { return HasTables(worker, 1); }));
    EventMaker& make = models_[0]->events();
    for (int i = 0; i < 200; ++i) {
        ASSERT_TRUE(producer_->Begin().ok());
        for (int n = 0; n < 10; ++n) {
            Produce(0, make.Insert({std::to_string(i * 10 + n), "v1", std::nullopt, std::nullopt}));
        }
        ASSERT_TRUE(producer_->Commit().ok());
        std::this_thread::sleep_for(5ms);
    }
    EXPECT_TRUE(Eventually(20s, [&] { return store.Get(tables_[0]).rows.size() == 2000; }));
    const std::lock_guard lock(mutex);
    ASSERT_FALSE(delays.empty());
    std::sort(delays.begin(), delays.end());
    RecordProperty("p50_ms", std::to_string(delays[delays.size() / 2]));
    std::cout << "commit to visible, Kafka's commit included: p50 " << delays[delays.size() / 2]
              << " ms, p99 " << delays[delays.size() * 99 / 100] << " ms, batches " << delays.size() << "\n";
    EXPECT_LT(delays[delays.size() / 2], 200);
}

}  // namespace
}  // namespace millrace::apply
