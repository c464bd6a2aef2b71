/// A table's actor with its topic, clock and destination under the test's control. Not for: anything but
/// tests.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <mutex>
#include <set>
#include <tuple>
#include <utility>

#include "base/status.h"
#include "data-plane/apply/memory_destination.h"
#include "data-plane/apply/sample_events.h"
#include "data-plane/apply/table_actor.h"
#include "data-plane/codec/change_pack.h"

namespace millrace::apply {

using Moment = MemoryDestination::Moment;

inline constexpr char kTopic[] = "millrace.shop.public.orders";
inline constexpr auto kNull = std::nullopt;

class FakeClock final : public Clock {
 public:
    [[nodiscard]] TimePoint Now() const override { return TimePoint(std::chrono::hours(1)) + elapsed; }
    [[nodiscard]] int64_t WallMicros() const override {
        return 1'000'000'000 + std::chrono::duration_cast<std::chrono::microseconds>(elapsed).count();
    }
    std::chrono::nanoseconds elapsed{0};
};

struct StoredRecord final {
    std::string key;
    std::string value;
};

/// A topic and the poll thread of a consumer, both under the test's control.
class FakeBus final : public TablePort {
 public:
    void Subscribe(TableActor& actor, int64_t offset, uint64_t session) override {
        subscriptions.push_back(offset);
        if (actor.inbox().Open(session)) {
            at = std::max<int64_t>(offset, 0);
            subscribed = true;
        }
    }
    void Unsubscribe(TableActor&) override { subscribed = false; }
    void CommitApplied(const std::string&, int64_t offset) override { committed.push_back(offset); }
    bool UnderPressure() const override { return pressure; }

    /// Delivers what is there; true when there was something.
    bool Deliver(TableActor& actor) {
        std::vector<bus::Record> records;
        while (subscribed && at < static_cast<int64_t>(log.size())) {
            const auto owner = std::make_shared<StoredRecord>(log[static_cast<size_t>(at)]);
            records.push_back({at++, 500'000, owner->key, owner->value, owner});
        }
        return !records.empty() && actor.inbox().Put(records);
    }
    void DeliverEnd(TableActor& actor, int64_t offset) {
        if (actor.inbox().PutEnd(offset)) {
            CommitApplied(kTopic, offset);
        }
    }

    std::deque<StoredRecord> log;
    int64_t at = 0;
    bool subscribed = false;
    bool pressure = false;
    std::vector<int64_t> subscriptions;
    std::vector<int64_t> committed;
};

struct Fault final {
    Moment moment;
    absl::Status status;
};

class TableActorTest : public testing::Test {
 protected:
    TableActorTest() {
        Know(OrdersSchema());
        limits_ = {.rows = 1000, .bytes = 1 << 20, .interval = std::chrono::milliseconds(0)};
    }

    void Know(const sdk::SchemaPtr& schema) { schemas_[schema->id] = schema; }

    bool HasLookedUp(uint64_t schema_id) {
        const std::lock_guard lock(looked_up_mutex_);
        return looked_up_.contains(schema_id);
    }

    absl::Status Inject(Moment moment, const sdk::Batch* batch) {
        if (batch != nullptr && moment == Moment::kBeforeApply) {
            tried_.push_back({batch->first_offset, batch->next_offset});
            append_.push_back(batch->append);
            refused_.push_back(batch->refused);
            if (before_apply_) {
                before_apply_();
            }
        }
        if (!faults_.empty() && faults_.front().moment == moment) {
            absl::Status status = faults_.front().status;
            faults_.pop_front();
            return status;
        }
        if (batch != nullptr && most_events_ > 0 && batch->events > most_events_) {
            return absl::ResourceExhaustedError("too much");
        }
        return absl::OkStatus();
    }

    void Fail(Moment moment, absl::Status status, int times = 1) {
        for (int i = 0; i < times; ++i) {
            faults_.push_back({moment, status});
        }
    }

    void Start() {
        TableIdentity identity{1, {"tenants/t/pipelines/shop", "uid", kTopic}, [] {
                                   return sdk::TableTarget{"public", "orders"};
                               }};
        actor_ = std::make_unique<TableActor>(
            std::move(identity), limits_, destination_, codec::MakeMillraceCodec(),
            [this](uint64_t id) -> absl::StatusOr<sdk::SchemaPtr> {
                if (!lookup_error_.ok()) {
                    return lookup_error_;
                }
                {
                    const std::lock_guard lock(looked_up_mutex_);
                    looked_up_.insert(id);
                }
                const auto found = schemas_.find(id);
                if (found == schemas_.end()) {
                    return base::MakeError(absl::StatusCode::kDataLoss, "SCHEMA_UNKNOWN", "no such schema");
                }
                return found->second;
            },
            bus_, ApplyMetrics(metrics_, "shop"), clock_, total_bytes_);
    }

    void Produce(const sdk::ChangeEvent& event) {
        StoredRecord record;
        codec_->Encode(event, record.key, record.value);
        bus_.log.push_back(std::move(record));
        produced_.push_back({event.position, event.generation});
    }
    /// Several changes in one record.
    void ProducePack(const std::vector<sdk::ChangeEvent>& events) {
        StoredRecord record;
        std::string key;
        std::string value;
        for (const sdk::ChangeEvent& event : events) {
            codec_->Encode(event, key, value);
            codec::AppendToPack(value, record.value);
        }
        bus_.log.push_back(std::move(record));
        produced_.push_back({events.back().position, events.back().generation});
    }
    /// As another worker would have left it that has applied everything below `offset`.
    void MoveCheckpoint(MemoryTable& table, int64_t offset) {
        table.checkpoint.next_offset = offset;
        std::tie(table.checkpoint.last, table.checkpoint.generation) = produced_[static_cast<size_t>(offset - 1)];
    }
    void ProduceInserts(int from, int to) {
        for (int i = from; i < to; ++i) {
            Produce(make_.Insert({std::to_string(i), "new", kNull, kNull}));
        }
    }

    /// Steps until the actor wants to wait; returns until when.
    std::optional<TimePoint> Run() {
        std::optional<TimePoint> next;
        for (int i = 0; i < 10'000; ++i) {
            next = actor_->Step();
            const bool delivered = bus_.Deliver(*actor_);
            if (!delivered && (!next || *next > clock_.Now())) {
                return next;
            }
        }
        ADD_FAILURE() << "the actor does not come to rest";
        return next;
    }
    /// Runs through `total` of time, waking the actor only when it asked for it.
    void RunFor(std::chrono::milliseconds total) {
        const TimePoint until = clock_.Now() + total;
        for (std::optional<TimePoint> next = Run(); next && *next <= until; next = Run()) {
            clock_.elapsed += std::max(*next - clock_.Now(), TimePoint::duration(0));
        }
        clock_.elapsed += until - clock_.Now();
    }

    MemoryTable Table() { return store_.Get(kTopic); }
    TableFacts Facts() { return actor_->Facts(); }

    FakeClock clock_;
    MemoryStore store_;
    std::deque<Fault> faults_;
    int64_t most_events_ = 0;
    std::vector<std::pair<int64_t, int64_t>> tried_;
    std::vector<bool> append_;
    std::vector<sdk::RefusedValues> refused_;
    MemoryDestination destination_{
        store_, {}, [this](Moment moment, const std::string&, const sdk::Batch* batch) {
            return Inject(moment, batch);
        }};
    std::map<uint64_t, sdk::SchemaPtr> schemas_;
    absl::Status lookup_error_;
    /// Called on the step's thread, or on the one that folds beside it.
    std::mutex looked_up_mutex_;
    std::set<uint64_t> looked_up_;
    std::function<void()> before_apply_;
    base::Metrics metrics_;
    std::atomic<int64_t> total_bytes_{0};
    FlushLimits limits_;
    FakeBus bus_;
    std::vector<std::pair<sdk::Position, uint32_t>> produced_;
    EventMaker make_;
    std::unique_ptr<codec::EventCodec> codec_ = codec::MakeMillraceCodec();
    std::unique_ptr<TableActor> actor_;
};

}  // namespace millrace::apply
