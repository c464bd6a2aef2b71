#include "data-plane/apply/consumer.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <unordered_map>
#include <utility>

#include "base/backoff.h"
#include "base/log.h"
#include "base/status.h"
#include "data-plane/apply/assigned_tables.h"
#include "data-plane/apply/schema_registry.h"
#include "data-plane/bus/group_membership.h"
#include "data-plane/bus/table_reader.h"
#include "data-plane/config/topic_name.h"

namespace millrace::apply {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kIdlePoll{20};
/// With a table waiting for room in its inbox.
constexpr milliseconds kBusyPoll{2};
constexpr milliseconds kGroupInterval{50};
constexpr base::ByteCount kLeastShare = base::ByteCount::KiB(256);
constexpr int kEventsPerPoll = 5'000;
constexpr seconds kTickInterval{1};
/// A COMMIT in flight is awaited so long when a table is taken from us; the epoch fence stands behind it.
constexpr seconds kRevokeGrace{5};

}  // namespace

struct Consumer::Impl final : bus::GroupMembership::Listener, TablePort {
    Impl(config::KafkaConfig kafka_config, config::PipelineConfig pipeline_config, std::string member_name,
         sdk::Destination& destination_ref, CodecFactory codec_factory, base::Metrics& metrics_ref,
         WorkerPool& pool_ref, ConsumerLimits consumer_limits)
        : kafka(std::move(kafka_config)),
          pipeline(std::move(pipeline_config)),
          member(std::move(member_name)),
          destination(destination_ref),
          codecs(std::move(codec_factory)),
          metrics(metrics_ref),
          pool(pool_ref),
          limits(consumer_limits),
          schemas(kafka, pipeline.id),
          paused(pipeline.paused),
          tables(pool_ref) {}

    absl::Status Start();
    absl::Status Join();
    absl::Status Stop(milliseconds grace);
    void SetPaused(bool pause);

    // The poll thread.
    void Run();
    void ServeGroup(TimePoint now);
    void Rejoin(TimePoint now);
    void SetHealth(const absl::Status& status);
    void OnAssigned(const std::vector<std::string>& topics) override;
    void OnRevoked(const std::vector<std::string>& topics, bool lost) override;
    std::unique_ptr<TableActor> MakeActor(const std::string& topic);
    void RunCommands();
    void Dispatch(std::vector<bus::TopicEvent> events);
    void DeliverRun(AssignedTables::Table& table, const std::string& topic);
    void Handle(AssignedTables::Table& table, bus::TopicEvent& event);
    /// `parts`: 1 to stop reading, 2 to go on only once half of the room is free.
    [[nodiscard]] bool IsFull(const Inbox& inbox, int64_t parts) const;
    void PauseFullTable(AssignedTables::Table& table, const std::string& topic);
    void RelievePressure();
    void Tick(TimePoint now);

    // Steps.
    void Subscribe(TableActor& actor, int64_t offset, uint64_t session) override;
    void Unsubscribe(TableActor& actor) override;
    void CommitApplied(const std::string& topic, int64_t offset) override;
    bool UnderPressure() const override { return pressure; }

    /// What a step wants of the reader; carried out between two polls, so that no record fetched for an older
    /// position can come after it.
    struct Command final {
        uint64_t actor_id;
        std::string topic;
        /// None: stop delivering.
        std::optional<int64_t> offset;
        uint64_t session;
    };
    void Carry(const Command& command);

    const config::KafkaConfig kafka;
    const config::PipelineConfig pipeline;
    const std::string member;
    sdk::Destination& destination;
    const CodecFactory codecs;
    base::Metrics& metrics;
    WorkerPool& pool;
    const ConsumerLimits limits;
    const SystemClock clock;
    SchemaRegistry schemas;

    std::atomic<bool> stopping{false};
    std::atomic<bool> pressure{false};
    std::atomic<int64_t> total_bytes{0};

    mutable std::mutex health_mutex;
    absl::Status health;

    /// Guards `paused` against an assignment at the same moment.
    std::mutex pause_mutex;
    bool paused;

    std::mutex command_mutex;
    std::vector<Command> commands;

    std::mutex commit_mutex;
    std::unordered_map<std::string, int64_t> committed;

    std::unique_ptr<bus::TableReader> reader;
    /// After the reader: steps in flight use it.
    AssignedTables tables;
    std::unique_ptr<bus::GroupMembership> group;
    std::optional<TimePoint> rejoin_at;
    base::Backoff rejoin_backoff{milliseconds(500), seconds(10)};
    TimePoint group_due;
    TimePoint tick_due;
    uint64_t actors_made = 0;
    std::vector<bus::Record> run;
    std::set<std::string> full;
    std::thread thread;
};

absl::Status Consumer::Impl::Join() {
    ASSIGN_OR_RETURN(group, bus::GroupMembership::Join(
                                kafka, config::AssignmentGroup(kafka.topic_prefix, pipeline.id),
                                config::TableTopicPattern(kafka.topic_prefix, pipeline.id), member, *this));
    return absl::OkStatus();
}

absl::Status Consumer::Impl::Start() {
    ASSIGN_OR_RETURN(reader,
                     bus::TableReader::Create(kafka, config::AppliedGroup(kafka.topic_prefix, pipeline.id)));
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

void Consumer::Impl::Run() {
    while (!stopping) {
        const TimePoint now = clock.Now();
        ServeGroup(now);
        RunCommands();
        Dispatch(reader->Poll(full.empty() ? kIdlePoll : kBusyPoll, kEventsPerPoll));
        RelievePressure();
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
    TableIdentity identity{++actors_made, {pipeline.name, pipeline.uid, topic}, [this, topic] {
                               return schemas.TableOf(topic);
                           }};
    return std::make_unique<TableActor>(
        std::move(identity), ResolveLimits(pipeline.flush, destination.flush_defaults()), destination,
        codecs(), [this](uint64_t id) { return schemas.Lookup(id); }, *this,
        ApplyMetrics(metrics, pipeline.name), clock, total_bytes);
}

void Consumer::Impl::OnAssigned(const std::vector<std::string>& topics) {
    if (stopping) {
        return;
    }
    const std::lock_guard lock(pause_mutex);
    for (const std::string& topic : topics) {
        if (tables.Find(topic) != nullptr) {
            continue;
        }
        TableActor& actor = *tables.Insert(MakeActor(topic)).actor;
        actor.RequestPause(paused);
        pool.Wake(actor);
    }
    base::LogInfo("tables assigned", {{"pipeline", pipeline.name}, {"tables", topics.size()}});
}

void Consumer::Impl::OnRevoked(const std::vector<std::string>& topics, bool lost) {
    for (const std::string& topic : topics) {
        AssignedTables::Table* table = tables.Find(topic);
        if (table != nullptr && table->added) {
            if (absl::Status status = reader->Remove(topic); !status.ok()) {
                base::LogWarning("a table's topic is still read", {{"topic", topic}, base::LogField(status)});
            }
        }
        full.erase(topic);
    }
    tables.Remove(topics, clock.Now() + (lost ? seconds(0) : kRevokeGrace));
    base::LogInfo("tables given away",
                  {{"pipeline", pipeline.name}, {"tables", topics.size()}, {"lost", lost}});
}

void Consumer::Impl::Subscribe(TableActor& actor, int64_t offset, uint64_t session) {
    const std::lock_guard lock(command_mutex);
    commands.push_back({actor.id(), actor.topic(), offset, session});
}

void Consumer::Impl::Unsubscribe(TableActor& actor) {
    const std::lock_guard lock(command_mutex);
    commands.push_back({actor.id(), actor.topic(), std::nullopt, 0});
}

void Consumer::Impl::RunCommands() {
    std::vector<Command> todo;
    {
        const std::lock_guard lock(command_mutex);
        todo.swap(commands);
    }
    for (const Command& command : todo) {
        Carry(command);
    }
}

void Consumer::Impl::Carry(const Command& command) {
    AssignedTables::Table* table = tables.Find(command.topic);
    if (table == nullptr || table->actor->id() != command.actor_id) {
        return;
    }
    absl::Status status;
    if (std::exchange(table->added, false)) {
        status = reader->Remove(command.topic);
    }
    table->paused = false;
    full.erase(command.topic);
    if (!command.offset || !table->actor->inbox().Open(command.session)) {
        return;
    }
    {
        const std::lock_guard lock(commit_mutex);
        committed.erase(command.topic);
    }
    if (status.ok()) {
        status = reader->Add(command.topic, *command.offset);
    }
    table->added = status.ok();
    if (!status.ok()) {
        table->actor->inbox().PutError(status);
        pool.Wake(*table->actor);
    }
}

void Consumer::Impl::Dispatch(std::vector<bus::TopicEvent> events) {
    AssignedTables::Table* table = nullptr;
    std::string topic;
    for (bus::TopicEvent& event : events) {
        if (table == nullptr || event.topic != topic) {
            if (table != nullptr) {
                DeliverRun(*table, topic);
            }
            topic = std::move(event.topic);
            table = tables.Find(topic);
            if (table == nullptr) {
                continue;
            }
            event.topic = topic;
        }
        if (event.kind == bus::TopicEvent::Kind::kRecord) {
            run.push_back(std::move(event.record));
            continue;
        }
        DeliverRun(*table, topic);
        Handle(*table, event);
    }
    if (table != nullptr) {
        DeliverRun(*table, topic);
    }
}

void Consumer::Impl::DeliverRun(AssignedTables::Table& table, const std::string& topic) {
    if (run.empty()) {
        return;
    }
    if (table.actor->inbox().Put(run)) {
        pool.Wake(*table.actor);
        PauseFullTable(table, topic);
    }
}

void Consumer::Impl::Handle(AssignedTables::Table& table, bus::TopicEvent& event) {
    TableActor& actor = *table.actor;
    if (event.kind == bus::TopicEvent::Kind::kError) {
        actor.inbox().PutError(event.status);
        pool.Wake(actor);
        return;
    }
    if (actor.inbox().PutEnd(event.record.offset)) {
        CommitApplied(actor.topic(), event.record.offset);
    }
    if (actor.failing()) {
        pool.Wake(actor);
    }
}

bool Consumer::Impl::IsFull(const Inbox& inbox, int64_t parts) const {
    if (inbox.untaken_bytes() > limits.table.value() / parts) {
        return true;
    }
    // Each table keeps a share of its own, so that those which are stuck do not stop the others.
    const int64_t share = limits.total.value() / static_cast<int64_t>(tables.size());
    return pressure && inbox.bytes() > std::max(kLeastShare.value(), share) / parts;
}

void Consumer::Impl::PauseFullTable(AssignedTables::Table& table, const std::string& topic) {
    if (total_bytes > limits.total.value() && !pressure.exchange(true)) {
        tables.ForAll([this](TableActor& actor) {
            if (actor.inbox().records() > 0) {
                pool.Wake(actor);
            }
        });
    }
    if (table.paused || !IsFull(table.actor->inbox(), 1)) {
        return;
    }
    if (absl::Status status = reader->Pause(topic); !status.ok()) {
        base::LogWarning("a table's topic cannot be paused", {{"topic", topic}, base::LogField(status)});
        return;
    }
    table.paused = true;
    full.insert(topic);
}

void Consumer::Impl::RelievePressure() {
    if (pressure && total_bytes <= limits.total.value() / 4 * 3) {
        pressure = false;
    }
    std::erase_if(full, [this](const std::string& topic) {
        AssignedTables::Table* table = tables.Find(topic);
        if (IsFull(table->actor->inbox(), 2)) {
            return false;
        }
        if (absl::Status status = reader->Resume(topic); !status.ok()) {
            base::LogWarning("a table's topic cannot be resumed yet",
                             {{"topic", topic}, base::LogField(status)});
            return false;
        }
        table->paused = false;
        return true;
    });
}

void Consumer::Impl::CommitApplied(const std::string& topic, int64_t offset) {
    // The poll thread (at the end) and a step (after a batch) may both be here: the offset never goes back.
    const std::lock_guard lock(commit_mutex);
    const auto [at, fresh] = committed.try_emplace(topic, offset);
    if (fresh || at->second < offset) {
        at->second = offset;
        reader->CommitApplied(topic, offset);
    }
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
                   WorkerPool& pool, ConsumerLimits limits)
    : impl_(std::make_unique<Impl>(std::move(kafka), std::move(pipeline), std::move(member), destination,
                                   std::move(codecs), metrics, pool, limits)) {}

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
