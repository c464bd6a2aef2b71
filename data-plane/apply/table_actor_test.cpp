#include "data-plane/apply/table_actor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>

#include "base/status.h"
#include "data-plane/apply/memory_destination.h"
#include "data-plane/apply/sample_events.h"

namespace millrace::apply {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using Moment = MemoryDestination::Moment;

constexpr char kTopic[] = "millrace.shop.public.orders";
constexpr auto kNull = std::nullopt;

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
            at = offset;
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
        limits_ = {.rows = 1000, .bytes = 1 << 20, .interval = milliseconds(0)};
    }

    void Know(const sdk::SchemaPtr& schema) { schemas_[schema->id] = schema; }

    absl::Status Inject(Moment moment, const sdk::Batch* batch) {
        if (batch != nullptr && moment == Moment::kBeforeApply) {
            tried_.push_back({batch->first_offset, batch->next_offset});
            append_.push_back(batch->append);
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
    void RunFor(milliseconds total) {
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
    MemoryDestination destination_{
        store_, {}, [this](Moment moment, const std::string&, const sdk::Batch* batch) {
            return Inject(moment, batch);
        }};
    std::map<uint64_t, sdk::SchemaPtr> schemas_;
    absl::Status lookup_error_;
    base::Metrics metrics_;
    std::atomic<int64_t> total_bytes_{0};
    FlushLimits limits_;
    FakeBus bus_;
    EventMaker make_;
    std::unique_ptr<codec::EventCodec> codec_ = codec::MakeMillraceCodec();
    std::unique_ptr<TableActor> actor_;
};

TEST_F(TableActorTest, TakesOverReadsFromTheCheckpointAndApplies) {
    ProduceInserts(0, 5);
    ASSERT_TRUE(store_
                    .Transact(kTopic,
                              [](MemoryTable& table) {
                                  table.checkpoint.next_offset = 2;
                                  return absl::OkStatus();
                              })
                    .ok());
    Start();
    EXPECT_EQ(Facts().state, TableState::kWaiting);
    EXPECT_EQ(Run(), std::nullopt);
    EXPECT_EQ(Facts().state, TableState::kLive);
    EXPECT_THAT(bus_.subscriptions, ElementsAre(2));
    EXPECT_EQ(Table().rows.size(), 3U);
    EXPECT_EQ(Table().checkpoint.next_offset, 5);
    EXPECT_THAT(bus_.committed, ElementsAre(5));
    const TableFacts facts = Facts();
    EXPECT_EQ(facts.schema, "public");
    EXPECT_EQ(facts.table, "orders");
    EXPECT_EQ(facts.rows_applied, 3);
    EXPECT_EQ(facts.batches, 1);
    EXPECT_EQ(facts.records_waiting, 0);
    EXPECT_EQ(facts.lag_seconds, 0);
    EXPECT_EQ(facts.last_commit_time_us, 5'000'000);
    EXPECT_EQ(facts.last_applied_time_us, clock_.WallMicros());
    EXPECT_EQ(total_bytes_, 0);
    EXPECT_NE(
        metrics_.Render().find("millrace_rows_applied_total{pipeline=\"shop\",table=\"public.orders\"} 3"),
        std::string::npos);
}

TEST_F(TableActorTest, ASealedBatchIsTriedAgainAsItIsAndBeforeWhatCameLater) {
    Start();
    ProduceInserts(0, 3);
    Fail(Moment::kBeforeApply, absl::UnavailableError("no connection"), 2);
    EXPECT_NE(Run(), std::nullopt);
    EXPECT_EQ(Facts().state, TableState::kRetrying);
    EXPECT_EQ(Facts().reason, "UNAVAILABLE");
    EXPECT_EQ(Facts().attempts, 1);
    EXPECT_GT(Facts().next_retry_time_us, clock_.WallMicros());
    EXPECT_EQ(Facts().records_waiting, 3);
    ProduceInserts(3, 5);
    RunFor(seconds(5));
    EXPECT_THAT(tried_, ElementsAre(std::pair(0, 3), std::pair(0, 3), std::pair(0, 3), std::pair(3, 5)));
    EXPECT_EQ(Table().rows.size(), 5U);
    EXPECT_EQ(Facts().state, TableState::kLive);
    EXPECT_EQ(Facts().error, "");
    EXPECT_EQ(Facts().attempts, 0);
    EXPECT_THAT(bus_.subscriptions, ElementsAre(0));
}

TEST_F(TableActorTest, UnknownCommitOutcomeDoesNotApplyTwice) {
    const sdk::SchemaPtr keyless = OrdersSchema(0, true);
    Know(keyless);
    make_.Use(keyless);
    Start();
    ProduceInserts(0, 3);
    Fail(Moment::kAfterCommit, absl::UnavailableError("connection lost in COMMIT"));
    RunFor(seconds(5));
    EXPECT_EQ(Table().appended.size(), 3U);
    EXPECT_EQ(Table().batches, 1);
    EXPECT_TRUE(Facts().append_only);
    EXPECT_EQ(Facts().rows_applied, 3);
}

TEST_F(TableActorTest, AHeldTableLetsGoOfItsMemoryShowsTheRemedyAndLooksAgain) {
    Start();
    ProduceInserts(0, 3);
    Fail(Moment::kBeforeApply,
         base::MakeError(absl::StatusCode::kPermissionDenied, "PRIVILEGE", "may not write", "GRANT it"), 2);
    EXPECT_EQ(Run(), clock_.Now() + seconds(30));
    EXPECT_EQ(Facts().state, TableState::kHeld);
    EXPECT_EQ(Facts().remedy, "GRANT it");
    EXPECT_EQ(Facts().records_waiting, 0);
    EXPECT_EQ(total_bytes_, 0);
    EXPECT_FALSE(bus_.subscribed);
    EXPECT_GT(Facts().lag_seconds, 0);
    RunFor(seconds(31));
    EXPECT_EQ(Facts().state, TableState::kHeld);
    EXPECT_EQ(Facts().attempts, 2);
    RunFor(seconds(31));
    EXPECT_EQ(Facts().state, TableState::kLive);
    EXPECT_EQ(Facts().lag_seconds, 0);
    EXPECT_EQ(Table().rows.size(), 3U);
}

TEST_F(TableActorTest, AKickTriesAHeldTableAtOnce) {
    Start();
    ProduceInserts(0, 3);
    Fail(Moment::kBeforeApply, absl::FailedPreconditionError("no such schema"));
    Run();
    ASSERT_EQ(Facts().state, TableState::kHeld);
    actor_->Kick();
    Run();
    EXPECT_EQ(Facts().state, TableState::kLive);
    EXPECT_EQ(Table().rows.size(), 3U);
}

TEST_F(TableActorTest, AnErrorOfTakingOverIsRetried) {
    Start();
    ProduceInserts(0, 3);
    Fail(Moment::kTakeOver, absl::UnavailableError("no connection"), 3);
    EXPECT_NE(Run(), std::nullopt);
    EXPECT_EQ(Facts().state, TableState::kRetrying);
    RunFor(seconds(10));
    EXPECT_EQ(Table().rows.size(), 3U);
    EXPECT_EQ(Facts().state, TableState::kLive);
}

TEST_F(TableActorTest, AFencedTableIsTakenOverAgainFromTheCheckpoint) {
    Start();
    ProduceInserts(0, 2);
    Run();
    ASSERT_TRUE(store_
                    .Transact(kTopic,
                              [](MemoryTable& table) {
                                  ++table.checkpoint.epoch;
                                  table.checkpoint.next_offset = 3;
                                  return absl::OkStatus();
                              })
                    .ok());
    ProduceInserts(2, 5);
    EXPECT_GE(Run(), clock_.Now() + seconds(1));
    EXPECT_EQ(Facts().reason, "FENCED");
    EXPECT_EQ(Table().rows.size(), 2U);
    RunFor(seconds(5));
    EXPECT_THAT(bus_.subscriptions, ElementsAre(0, 3));
    EXPECT_EQ(Table().rows.size(), 4U);
    EXPECT_EQ(Facts().state, TableState::kLive);
}

TEST_F(TableActorTest, ATableFencedAgainAndAgainIsHeld) {
    Start();
    ProduceInserts(0, 2);
    Fail(Moment::kBeforeApply, base::MakeError(absl::StatusCode::kAborted, "FENCED", "a newer epoch"), 6);
    RunFor(seconds(25));
    EXPECT_EQ(Facts().state, TableState::kHeld);
    EXPECT_NE(Facts().remedy, "");
    EXPECT_EQ(bus_.subscriptions.size(), 6U);
    RunFor(seconds(31));
    EXPECT_EQ(Facts().state, TableState::kLive);
}

TEST_F(TableActorTest, ResourceExhaustionMakesSmallerBatchesInOrder) {
    const sdk::SchemaPtr keyless = OrdersSchema(0, true);
    Know(keyless);
    make_.Use(keyless);
    Start();
    ProduceInserts(0, 100);
    most_events_ = 9;
    RunFor(seconds(60));
    ASSERT_EQ(Table().appended.size(), 100U);
    for (size_t i = 0; i < 100; ++i) {
        EXPECT_EQ(Table().appended[i].at("id"), std::to_string(i));
    }
    EXPECT_EQ(Facts().state, TableState::kLive);
}

TEST_F(TableActorTest, ASingleRowThatIsTooMuchIsHeld) {
    Start();
    ProduceInserts(0, 1);
    Fail(Moment::kBeforeApply, absl::ResourceExhaustedError("too much"));
    EXPECT_EQ(Run(), clock_.Now() + seconds(30));
    EXPECT_EQ(Facts().state, TableState::kHeld);
}

TEST_F(TableActorTest, LostOffsetsHoldTheTableUntilSomebodySaysSo) {
    Start();
    ProduceInserts(0, 2);
    Run();
    actor_->inbox().PutError(
        base::MakeError(absl::StatusCode::kOutOfRange, "OFFSET_GONE", "offset 2 is gone"));
    EXPECT_EQ(Run(), std::nullopt);
    EXPECT_EQ(Facts().state, TableState::kHeld);
    EXPECT_EQ(Facts().reason, "OFFSET_GONE");
    EXPECT_NE(Facts().remedy, "");
    EXPECT_EQ(Facts().next_retry_time_us, 0);
    RunFor(std::chrono::hours(24));
    EXPECT_EQ(Facts().state, TableState::kHeld);
    EXPECT_THAT(bus_.subscriptions, ElementsAre(0));
    actor_->Kick();
    ProduceInserts(2, 3);
    Run();
    EXPECT_EQ(Facts().state, TableState::kLive);
    EXPECT_EQ(Table().rows.size(), 3U);
}

TEST_F(TableActorTest, WhatStandsBeforeABadRecordIsApplied) {
    Start();
    ProduceInserts(0, 3);
    bus_.log.push_back({"k", "\xff\xff not a record"});
    ProduceInserts(3, 4);
    EXPECT_EQ(Run(), std::nullopt);
    EXPECT_EQ(Facts().state, TableState::kHeld);
    EXPECT_EQ(Table().rows.size(), 3U);
    EXPECT_EQ(Table().checkpoint.next_offset, 3);
    EXPECT_THAT(Facts().error, testing::HasSubstr("offset 3"));
}

TEST_F(TableActorTest, ASchemaThatCannotBeReadNowIsAskedForAgain) {
    Start();
    ProduceInserts(0, 3);
    lookup_error_ = absl::UnavailableError("Kafka does not answer");
    EXPECT_NE(Run(), std::nullopt);
    EXPECT_EQ(Facts().state, TableState::kRetrying);
    lookup_error_ = absl::OkStatus();
    RunFor(seconds(5));
    EXPECT_EQ(Table().rows.size(), 3U);
    EXPECT_THAT(bus_.subscriptions, ElementsAre(0));
}

TEST_F(TableActorTest, ASchemaChangeEndsTheBatch) {
    const sdk::SchemaPtr wider = OrdersSchema(1);
    Know(wider);
    Start();
    ProduceInserts(0, 3);
    make_.Use(wider);
    Produce(make_.Insert({"3", "a", "b", "c", "d"}));
    Run();
    EXPECT_THAT(tried_, ElementsAre(std::pair(0, 3), std::pair(3, 4)));
    EXPECT_EQ(Table().rows.size(), 4U);
}

TEST_F(TableActorTest, APausedTableAppliesNothingAndGoesOnFromItsCheckpoint) {
    limits_.interval = seconds(10);
    Start();
    ProduceInserts(0, 3);
    Run();
    EXPECT_EQ(Facts().records_waiting, 3);
    const uint64_t session = actor_->inbox().session();
    actor_->RequestPause(true);
    EXPECT_EQ(Run(), std::nullopt);
    EXPECT_EQ(Facts().state, TableState::kPaused);
    EXPECT_EQ(Facts().records_waiting, 0);
    EXPECT_EQ(total_bytes_, 0);
    // Fetched before the reader heard of it: it must not stand before what is read again.
    std::vector<bus::Record> late{{2, 0, "k", "v", nullptr}};
    EXPECT_FALSE(actor_->inbox().Put(late));
    EXPECT_FALSE(actor_->inbox().Open(session));
    actor_->RequestPause(false);
    RunFor(seconds(11));
    EXPECT_EQ(Facts().state, TableState::kLive);
    EXPECT_EQ(Table().rows.size(), 3U);
}

TEST_F(TableActorTest, AStoppedTableBeginsNoBatch) {
    limits_.interval = seconds(10);
    Start();
    ProduceInserts(0, 3);
    Run();
    actor_->RequestStop();
    clock_.elapsed += seconds(20);
    EXPECT_EQ(Run(), std::nullopt);
    EXPECT_EQ(Facts().state, TableState::kStopped);
    EXPECT_TRUE(tried_.empty());
}

TEST_F(TableActorTest, ChangesWaitForTheirAgeUnlessMemoryIsShort) {
    limits_.interval = seconds(10);
    Start();
    ProduceInserts(0, 1);
    const TimePoint first = clock_.Now();
    EXPECT_EQ(Run(), first + seconds(10));
    clock_.elapsed += seconds(4);
    ProduceInserts(1, 2);
    bus_.Deliver(*actor_);
    EXPECT_EQ(Run(), first + seconds(10));
    clock_.elapsed += seconds(6);
    Run();
    EXPECT_THAT(tried_, ElementsAre(std::pair(0, 2)));
    ProduceInserts(2, 3);
    bus_.pressure = true;
    bus_.Deliver(*actor_);
    Run();
    EXPECT_EQ(Table().rows.size(), 3U);
}

TEST_F(TableActorTest, ATableThatWaitsToRetryGivesItsMemoryBackUnderPressure) {
    Start();
    ProduceInserts(0, 3);
    Fail(Moment::kBeforeApply, absl::UnavailableError("no connection"));
    Run();
    EXPECT_GT(total_bytes_, 0);
    bus_.pressure = true;
    Run();
    EXPECT_EQ(total_bytes_, 0);
    RunFor(seconds(5));
    EXPECT_EQ(Table().rows.size(), 3U);
}

TEST_F(TableActorTest, TheRowLimitEndsABatch) {
    limits_.rows = 10;
    Start();
    ProduceInserts(0, 25);
    Run();
    EXPECT_THAT(tried_, ElementsAre(std::pair(0, 10), std::pair(10, 20), std::pair(20, 25)));
}

TEST_F(TableActorTest, TheEndIsAppliedOnlyWhenNothingIsLeft) {
    limits_.interval = seconds(10);
    Start();
    Run();
    bus_.DeliverEnd(*actor_, 0);
    EXPECT_THAT(bus_.committed, ElementsAre(0));
    ProduceInserts(0, 3);
    bus_.Deliver(*actor_);
    Run();
    // The marker of the transaction occupies offset 3.
    bus_.DeliverEnd(*actor_, 4);
    EXPECT_THAT(bus_.committed, ElementsAre(0));
    RunFor(seconds(11));
    EXPECT_THAT(bus_.committed, ElementsAre(0, 4));
}

TEST_F(TableActorTest, AFirstCopyIntoAnEmptyTableIsAppendedUntilTheFirstChange) {
    limits_.rows = 2;
    Start();
    for (int i = 0; i < 4; ++i) {
        Produce(make_.Read({std::to_string(i), "old", kNull, kNull}));
    }
    Produce(make_.Update({"1", "new", kNull, "~"}));
    Produce(make_.Read({"9", "old", kNull, kNull}));
    Produce(make_.Read({"10", "old", kNull, kNull}));
    Produce(make_.Read({"11", "old", kNull, kNull}));
    Run();
    EXPECT_THAT(append_, ElementsAre(true, true, false, false));
    EXPECT_EQ(Table().rows.size(), 7U);
}

TEST_F(TableActorTest, AFirstCopyThatWasInterruptedIsMerged) {
    limits_.rows = 2;
    Start();
    Produce(make_.Read({"0", "old", kNull, kNull}));
    Run();
    Start();
    Produce(make_.Read({"1", "old", kNull, kNull}));
    Run();
    EXPECT_THAT(append_, ElementsAre(true, false));
    // Begun anew behind a truncate, it can be appended again.
    make_.set_generation(2);
    Produce(make_.Truncate());
    bus_.Deliver(*actor_);
    Run();
    Produce(make_.Read({"0", "old", kNull, kNull}));
    bus_.Deliver(*actor_);
    Run();
    EXPECT_THAT(append_, ElementsAre(true, false, false, true));
    EXPECT_EQ(Table().rows.size(), 1U);
}

TEST_F(TableActorTest, LagIsTheAgeOfTheOldestChangeThatIsNotApplied) {
    limits_.interval = seconds(10);
    Start();
    ProduceInserts(0, 2);
    Run();
    // The first commit was at second 1, now is second 1000.
    EXPECT_DOUBLE_EQ(Facts().lag_seconds, 999);
    RunFor(seconds(10));
    EXPECT_EQ(Facts().lag_seconds, 0);
}

}  // namespace
}  // namespace millrace::apply
