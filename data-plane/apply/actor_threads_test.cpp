// Many tables on a real pool: records, faults, pauses and readers of facts from several threads at once.
#include <gtest/gtest.h>

#include <array>
#include <random>
#include <thread>

#include "data-plane/apply/memory_destination.h"
#include "data-plane/apply/source_model.h"
#include "data-plane/apply/table_actor.h"

namespace millrace::apply {
namespace {

constexpr size_t kTables = 20;
constexpr int kRounds = 200;
constexpr std::chrono::seconds kLong{120};

struct Log final {
    std::mutex mutex;
    std::vector<std::shared_ptr<const std::string>> values;
    std::optional<std::pair<int64_t, uint64_t>> subscribe;
    int64_t at = -1;
};

/// Serves many actors; what the poll thread of a consumer does is done by Deliver.
class ManyLogs final : public TablePort {
 public:
    void Subscribe(TableActor& actor, int64_t offset, uint64_t session) override {
        Log& log = logs[actor.id()];
        const std::lock_guard lock(log.mutex);
        log.subscribe = {offset, session};
    }
    void Unsubscribe(TableActor& actor) override {
        Log& log = logs[actor.id()];
        const std::lock_guard lock(log.mutex);
        log.subscribe.reset();
    }
    void CommitApplied(const std::string&, int64_t) override {}
    bool UnderPressure() const override { return false; }

    void Append(size_t table, std::string value) {
        const std::lock_guard lock(logs[table].mutex);
        logs[table].values.push_back(std::make_shared<const std::string>(std::move(value)));
    }

    void Deliver(TableActor& actor) {
        Log& log = logs[actor.id()];
        const std::lock_guard lock(log.mutex);
        if (log.subscribe && actor.inbox().Open(log.subscribe->second)) {
            log.at = log.subscribe->first;
        }
        log.subscribe.reset();
        std::vector<bus::Record> records;
        for (; log.at >= 0 && log.at < static_cast<int64_t>(log.values.size()); ++log.at) {
            const auto& value = log.values[static_cast<size_t>(log.at)];
            records.push_back({log.at, 0, {}, *value, value});
        }
        if (!records.empty()) {
            actor.inbox().Put(records);
        }
    }

    std::array<Log, kTables> logs;
};

class ActorThreads : public testing::Test {
 protected:
    std::unique_ptr<TableActor> MakeActor(size_t table) {
        TableIdentity identity{table, {"p", "uid", "t" + std::to_string(table)}, [] {
                                   return sdk::TableTarget{"public", "orders"};
                               }};
        return std::make_unique<TableActor>(
            std::move(identity), FlushLimits{.rows = 50, .bytes = 1 << 20, .interval = {}}, destination_,
            codec::MakeMillraceCodec(), [this](uint64_t) { return schema_; }, logs_,
            ApplyMetrics(metrics_, "p"), clock_, total_bytes_);
    }

    bool AllRight() {
        for (size_t table = 0; table < kTables; ++table) {
            std::map<std::string, SampleRow> rows;
            for (const auto& [key, row] : store_.Get("t" + std::to_string(table)).rows) {
                rows[*row.at("id")] = {row.at("id"), row.at("status"), row.at("note"), row.at("photo")};
            }
            if (rows != models_[table]->rows()) {
                return false;
            }
        }
        return true;
    }

    const SystemClock clock_;
    const sdk::SchemaPtr schema_ = OrdersSchema();
    MemoryStore store_;
    std::atomic<int> calls_{0};
    MemoryDestination destination_{store_, {}, [this](auto, const std::string&, const sdk::Batch*) {
                                       return ++calls_ % 23 == 0 ? absl::UnavailableError("lost")
                                                                 : absl::OkStatus();
                                   }};
    base::Metrics metrics_;
    std::atomic<int64_t> total_bytes_{0};
    ManyLogs logs_;
    std::vector<std::unique_ptr<SourceModel>> models_;
};

TEST_F(ActorThreads, EveryTableComesOutRight) {
    WorkerPool pool(4);
    std::vector<std::unique_ptr<TableActor>> actors;
    for (size_t table = 0; table < kTables; ++table) {
        models_.push_back(std::make_unique<SourceModel>(table % 2 == 1, false, schema_));
        actors.push_back(MakeActor(table));
        pool.Wake(*actors.back());
    }
    std::atomic<bool> done{false};
    std::thread observer([&] {
        for (size_t i = 0; !done; ++i) {
            TableActor& actor = *actors[i % kTables];
            EXPECT_GE(actor.Facts().records_waiting, 0);
            actor.ReportLag();
            actor.Kick();
            pool.Wake(actor);
            std::this_thread::yield();
        }
    });
    std::mt19937 random(7);
    const auto pick = [&random](int below) {
        return static_cast<int>(random() % static_cast<unsigned>(below));
    };
    const auto codec = codec::MakeMillraceCodec();
    std::string key;
    std::string value;
    for (int round = 0; round < kRounds; ++round) {
        for (size_t table = 0; table < kTables; ++table) {
            for (int i = 0; i < 5; ++i) {
                const auto change =
                    std::array{SourceModel::Change::kInsert, SourceModel::Change::kUpdate,
                               SourceModel::Change::kMove, SourceModel::Change::kDelete}[random() % 4];
                if (const auto event = models_[table]->Make(change, pick(30), pick(30), pick(64))) {
                    codec->Encode(*event, key, value);
                    logs_.Append(table, value);
                }
            }
            actors[table]->RequestPause(round % 50 == 10 && table % 3 == 0);
            logs_.Deliver(*actors[table]);
            pool.Wake(*actors[table]);
        }
    }
    const auto deadline = clock_.Now() + kLong;
    while (!AllRight() && clock_.Now() < deadline) {
        for (const auto& actor : actors) {
            logs_.Deliver(*actor);
            pool.Wake(*actor);
        }
    }
    EXPECT_TRUE(AllRight());
    done = true;
    observer.join();
    for (const auto& actor : actors) {
        actor->RequestStop();
        EXPECT_TRUE(pool.Retire(*actor, clock_.Now() + kLong));
    }
    actors.clear();
    EXPECT_EQ(total_bytes_, 0);
}

}  // namespace
}  // namespace millrace::apply
