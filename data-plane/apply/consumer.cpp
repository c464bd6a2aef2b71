#include "data-plane/apply/consumer.h"

#include <atomic>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "base/backoff.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/status.h"
#include "data-plane/apply/assigned_tables.h"
#include "data-plane/apply/record_feed.h"
#include "data-plane/apply/schema_registry.h"
#include "data-plane/bus/group_membership.h"
#include "data-plane/config/topic_name.h"

namespace millrace::apply {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kGroupInterval{50};
constexpr seconds kTickInterval{1};
/// A COMMIT in flight is awaited so long when a table is taken from us; the epoch fence stands behind it.
constexpr seconds kRevokeGrace{5};

}  // namespace

struct Consumer::Impl final : bus::GroupMembership::Listener {
    Impl(config::KafkaConfig kafka_config, config::PipelineConfig pipeline_config, std::string member_name,
         sdk::Destination& destination_ref, CodecFactory codec_factory, base::Metrics& metrics_ref,
         WorkerPool& pool_ref, ConsumerLimits consumer_limits, events::Recorder event_recorder)
        : kafka(std::move(kafka_config)),
          pipeline(std::move(pipeline_config)),
          member(std::move(member_name)),
          destination(destination_ref),
          codecs(std::move(codec_factory)),
          metrics(metrics_ref),
          pool(pool_ref),
          schemas(kafka, pipeline.id),
          recorder(std::move(event_recorder)),
          paused(pipeline.paused),
          overrides(pipeline.overrides),
          resync_counter(pipeline.resync_counter),
          feed(tables, pool_ref, consumer_limits),
          tables(pool_ref) {}

    absl::Status Start();
    absl::Status Join();
    absl::Status Stop(milliseconds grace);
    void SetPaused(bool pause);
    void Order(std::vector<config::TableOverride> wanted, int64_t wanted_resync);
    [[nodiscard]] TableOrders OrdersFor(const std::string& topic) const;

    // The poll thread.
    void Run();
    void ServeGroup(TimePoint now);
    void Rejoin(TimePoint now);
    void SetHealth(const absl::Status& status);
    void OnAssigned(const std::vector<std::string>& topics) override;
    void OnRevoked(const std::vector<std::string>& topics, bool lost) override;
    std::unique_ptr<TableActor> MakeActor(const std::string& topic);
    void Tick(TimePoint now);

    const config::KafkaConfig kafka;
    const config::PipelineConfig pipeline;
    const std::string member;
    sdk::Destination& destination;
    const CodecFactory codecs;
    base::Metrics& metrics;
    WorkerPool& pool;
    const SystemClock clock;
    SchemaRegistry schemas;

    std::atomic<bool> stopping{false};

    mutable std::mutex health_mutex;
    absl::Status health;

    const events::Recorder recorder;

    /// Guards what follows against an assignment at the same moment.
    std::mutex pause_mutex;
    bool paused;
    std::vector<config::TableOverride> overrides;
    int64_t resync_counter;

    RecordFeed feed;
    /// After the feed: steps in flight use it.
    AssignedTables tables;
    std::unique_ptr<bus::GroupMembership> group;
    std::optional<TimePoint> rejoin_at;
    base::Backoff rejoin_backoff{milliseconds(500), seconds(10)};
    TimePoint group_due;
    TimePoint tick_due;
    uint64_t actors_made = 0;
    std::thread thread;
};

absl::Status Consumer::Impl::Join() {
    MILLRACE_FAILPOINT("apply.before_join");
    ASSIGN_OR_RETURN(group, bus::GroupMembership::Join(
                                kafka, config::AssignmentGroup(kafka.topic_prefix, pipeline.id),
                                config::TableTopicPattern(kafka.topic_prefix, pipeline.id), member, *this));
    return absl::OkStatus();
}

absl::Status Consumer::Impl::Start() {
    RETURN_IF_ERROR(feed.Open(kafka, config::AppliedGroup(kafka.topic_prefix, pipeline.id)));
    RETURN_IF_ERROR(Join());
    thread = std::thread([this] { Run(); });
    return absl::OkStatus();
}

absl::Status Consumer::Impl::Stop(milliseconds grace) {
    stopping = true;
    if (thread.joinable()) {
        thread.join();
    }
    const TimePoint deadline = clock.Now() + grace;
    tables.Remove(tables.Topics(), deadline);
    group.reset();
    if (!tables.Sweep()) {
        return base::MakeError(
            absl::StatusCode::kDeadlineExceeded, "BATCH_IN_FLIGHT",
            "pipeline " + pipeline.name + ": the destination has not ended a batch in time");
    }
    return absl::OkStatus();
}

void Consumer::Impl::SetPaused(bool pause) {
    const std::lock_guard lock(pause_mutex);
    paused = pause;
    tables.ForAll([&](TableActor& actor) {
        actor.RequestPause(pause);
        pool.Wake(actor);
    });
}

TableOrders Consumer::Impl::OrdersFor(const std::string& topic) const {
    for (const config::TableOverride& wanted : overrides) {
        if (config::TableTopic(kafka.topic_prefix, pipeline.id, wanted.schema, wanted.table) == topic) {
            return {.paused = wanted.paused,
                    .resync_counter = wanted.resync_counter + resync_counter,
                    .resume_counter = wanted.resume_counter,
                    .skip_first = wanted.skip_first,
                    .skip_next = wanted.skip_next,
                    .drop_counter = wanted.drop_counter,
                    .drop_columns = wanted.drop_columns,
                    .replay_counter = wanted.replay_counter};
        }
    }
    return {.resync_counter = resync_counter};
}

void Consumer::Impl::Order(std::vector<config::TableOverride> wanted, int64_t wanted_resync) {
    const std::lock_guard lock(pause_mutex);
    overrides = std::move(wanted);
    resync_counter = wanted_resync;
    tables.ForAll([&](TableActor& actor) {
        actor.Order(OrdersFor(actor.topic()));
        pool.Wake(actor);
    });
}

void Consumer::Impl::Run() {
    while (!stopping) {
        const TimePoint now = clock.Now();
        ServeGroup(now);
        feed.Poll();
        Tick(now);
    }
}

void Consumer::Impl::ServeGroup(TimePoint now) {
    if (now < group_due) {
        return;
    }
    group_due = now + kGroupInterval;
    if (!group) {
        Rejoin(now);
        return;
    }
    const absl::Status status = group->Poll(milliseconds(0));
    SetHealth(status);
    // While a broker is away the membership heals by itself; anything else ends it.
    if (!status.ok() && status.code() != absl::StatusCode::kUnavailable) {
        OnRevoked(tables.Topics(), /*lost=*/true);
        group.reset();
        rejoin_at = now + rejoin_backoff.Next();
    } else if (status.ok()) {
        rejoin_backoff.Reset();
    }
}

void Consumer::Impl::Rejoin(TimePoint now) {
    if (rejoin_at && now < *rejoin_at) {
        return;
    }
    if (const absl::Status status = Join(); !status.ok()) {
        SetHealth(status);
        rejoin_at = now + rejoin_backoff.Next();
    }
}

void Consumer::Impl::SetHealth(const absl::Status& status) {
    const std::lock_guard lock(health_mutex);
    if (!status.ok() && health.code() != status.code()) {
        base::LogWarning("consumer group cannot be served",
                         {{"pipeline", pipeline.name}, base::LogField(status)});
    }
    health = status;
}

std::unique_ptr<TableActor> Consumer::Impl::MakeActor(const std::string& topic) {
    TableIdentity identity{++actors_made,
                           {pipeline.name, pipeline.uid, topic},
                           [this, topic] { return schemas.TableOf(topic); },
                           pipeline.refused,
                           pipeline.drop_columns};
    // A table that is paused from the start is to be named too.
    if (const auto name = config::TableOfTopic(kafka.topic_prefix, pipeline.id, topic)) {
        identity.schema = name->schema;
        identity.table = name->table;
    }
    for (const config::TableOverride& wanted : overrides) {
        if (config::TableTopic(kafka.topic_prefix, pipeline.id, wanted.schema, wanted.table) == topic) {
            identity.schema = wanted.schema;
            identity.table = wanted.table;
        }
    }
    return std::make_unique<TableActor>(
        std::move(identity), ResolveLimits(pipeline.flush, destination.flush_defaults()), destination,
        codecs(), [this](uint64_t id) { return schemas.Lookup(id); }, feed,
        ApplyMetrics(metrics, pipeline.name), clock, feed.total_bytes(), recorder);
}

void Consumer::Impl::OnAssigned(const std::vector<std::string>& topics) {
    if (stopping) {
        return;
    }
    MILLRACE_FAILPOINT_QUIET("apply.before_assign");
    const std::lock_guard lock(pause_mutex);
    for (const std::string& topic : topics) {
        if (tables.Find(topic) != nullptr) {
            continue;
        }
        TableActor& actor = *tables.Insert(MakeActor(topic)).actor;
        actor.RequestPause(paused);
        actor.Order(OrdersFor(topic));
        pool.Wake(actor);
    }
    MILLRACE_FAILPOINT_QUIET("apply.after_assign");
    base::LogInfo("tables assigned", {{"pipeline", pipeline.name}, {"tables", topics.size()}});
}

void Consumer::Impl::OnRevoked(const std::vector<std::string>& topics, bool lost) {
    for (const std::string& topic : topics) {
        feed.Forget(topic);
    }
    tables.Remove(topics, clock.Now() + (lost ? seconds(0) : kRevokeGrace));
    MILLRACE_FAILPOINT_QUIET("apply.after_revoke");
    base::LogInfo("tables given away",
                  {{"pipeline", pipeline.name}, {"tables", topics.size()}, {"lost", lost}});
}

void Consumer::Impl::Tick(TimePoint now) {
    if (now < tick_due) {
        return;
    }
    tick_due = now + kTickInterval;
    tables.ForAll([](TableActor& actor) { actor.ReportLag(); });
    tables.Sweep();
}

Consumer::Consumer(config::KafkaConfig kafka, config::PipelineConfig pipeline, std::string member,
                   sdk::Destination& destination, CodecFactory codecs, base::Metrics& metrics,
                   WorkerPool& pool, ConsumerLimits limits, events::Recorder recorder)
    : impl_(std::make_unique<Impl>(std::move(kafka), std::move(pipeline), std::move(member), destination,
                                   std::move(codecs), metrics, pool, limits, std::move(recorder))) {}

Consumer::~Consumer() {
    // What is still in flight is awaited by the members' destructors.
    impl_->Stop(milliseconds(0)).IgnoreError();
}

absl::Status Consumer::Start() {
    return impl_->Start();
}
absl::Status Consumer::Stop(milliseconds grace) {
    return impl_->Stop(grace);
}
void Consumer::Pause() {
    impl_->SetPaused(true);
}
void Consumer::Resume() {
    impl_->SetPaused(false);
}

void Consumer::Order(std::vector<config::TableOverride> overrides, int64_t resync_counter) {
    impl_->Order(std::move(overrides), resync_counter);
}

void Consumer::Kick() {
    impl_->tables.ForAll([this](TableActor& actor) {
        actor.Kick();
        impl_->pool.Wake(actor);
    });
}

std::vector<TableFacts> Consumer::Facts() const {
    std::vector<TableFacts> facts;
    impl_->tables.ForAll([&facts](TableActor& actor) { facts.push_back(actor.Facts()); });
    return facts;
}

absl::Status Consumer::health() const {
    const std::lock_guard lock(impl_->health_mutex);
    return impl_->health;
}

}  // namespace millrace::apply
