#include "data-plane/publish/session.h"

#include <algorithm>
#include <set>
#include <thread>
#include <tuple>

#include "base/defect.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/status.h"
#include "base/text.h"
#include "data-plane/bus/topic_admin.h"
#include "data-plane/config/topic_name.h"
#include "data-plane/publish/error_policy.h"
#include "data-plane/publish/schema_note.h"
#include "data-plane/publish/table_copier.h"

namespace millrace::publish {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr seconds kTopicTimeout{20};
constexpr int kLooksForTopic = 5;
constexpr milliseconds kLookForTopicInterval{500};
constexpr seconds kStandbyInterval{2};
constexpr seconds kStopGrace{3};
constexpr seconds kHousekeepingInterval{1};
constexpr seconds kHeartbeatInterval{10};
/// How long a table that was made, dropped or renamed at the source may go unnoticed.
constexpr seconds kListingInterval{10};
/// The stream waits for a listing: that of very many tables is made less often.
constexpr int kListingShare = 20;
/// Events of single tables are only told of so many at once.
constexpr size_t kFewTables = 20;
constexpr int kMaxEventsPerPoll = 20'000;
/// The server waits for all running transactions before it makes a slot. Without a new slot the stream waits with it: at
/// first not for long, then longer, because there may always be one that runs.
constexpr seconds kSlotPatience{120};
constexpr seconds kFirstPatience{4};
/// Until the next try to copy a table that could not be read.
constexpr seconds kPostponement{20};

/// What makes a table another one: name, oid, whether it has a key, and whether all of its changes come.
using TableIdentity = std::tuple<std::string, std::string, uint64_t, bool, uint64_t>;
using TableIdentities = std::set<TableIdentity>;

TableIdentity IdentityOf(const sdk::SourceTable& table) {
    return {table.schema, table.table, table.id, table.key.empty(), table.stream_entry};
}

TableIdentities IdentitiesOf(const std::vector<sdk::SourceTable>& tables) {
    TableIdentities all;
    for (const sdk::SourceTable& table : tables) {
        all.insert(IdentityOf(table));
    }
    return all;
}

/// It has got a key, or lost it, since its last record: updates and deletes are published only of tables with one.
bool IsKeyedAnew(const sdk::SourceTable& table, const TableState& state) {
    return state.copied && state.schema_of_last && state.schema_of_last->append_only != table.key.empty();
}

/// Somebody took it out of the stream for a while, or parts of its changes.
bool IsLeftOut(const sdk::SourceTable& table, const TableState& state) {
    return state.copied && state.stream_entry != 0 && state.stream_entry != table.stream_entry;
}

}  // namespace

Session::Session(const config::KafkaConfig& kafka, const config::PipelineConfig& pipeline,
                 const SourceFactory& make_source, base::Metrics& metrics, FactsBoard& board,
                 Surroundings surroundings, RefusedTopics& refused, std::stop_token stop)
    : kafka_(kafka),
      pipeline_(pipeline),
      make_source_(make_source),
      metrics_(metrics),
      board_(board),
      surroundings_(surroundings),
      refused_(refused),
      stop_(std::move(stop)),
      control_topic_(config::ControlTopic(kafka.topic_prefix, pipeline.id)),
      schema_topic_(config::SchemaTopic(kafka.topic_prefix, pipeline.id)) {}

Session::~Session() = default;

absl::Status Session::Run() {
    RETURN_IF_ERROR(Connect());
    MILLRACE_FAILPOINT("publish.after_connect");
    RETURN_IF_ERROR(PrepareTopics());
    MILLRACE_FAILPOINT("publish.after_topics");
    RETURN_IF_ERROR(ReadControl());
    if (!ResyncWanted()) {
        RETURN_IF_ERROR(CheckIdentity());
    }
    RETURN_IF_ERROR(source_->Prepare(tables_));
    MILLRACE_FAILPOINT("publish.after_source_prepared");
    RETURN_IF_ERROR(ReadStreamEntries());
    ShowTables();
    if (!control_.position.streaming || ResyncWanted()) {
        RETURN_IF_ERROR(FirstCopy());
    }
    RETURN_IF_ERROR(TakeOver());
    MILLRACE_FAILPOINT("publish.after_take_over");
    RETURN_IF_ERROR(ReadStreamEntries());
    Lead();
    RETURN_IF_ERROR(PrepareTableTopics());
    RETURN_IF_ERROR(HoldRefusedTables());
    RETURN_IF_ERROR(CopyNewTables());
    MILLRACE_FAILPOINT("publish.before_stream");
    return Stream();
}

void Session::Lead() {
    leads_ = true;
    if (!surroundings_.led_before) {
        surroundings_.recorder.Record({.type = events::EventType::kPublisherTakeover,
                                       .message = "a worker begins to publish",
                                       .position = PositionText(control_.position.end)});
    }
}

absl::Status Session::Connect() {
    wanted_version_ = surroundings_.wanted.version();
    ASSIGN_OR_RETURN(source_, make_source_());
    ASSIGN_OR_RETURN(identity_, source_->Identify());
    ASSIGN_OR_RETURN(tables_, source_->ListTables(pipeline_.selection));
    if (tables_.empty()) {
        return base::MakeError(absl::StatusCode::kFailedPrecondition, "TBL_MISSING",
                               "no table of the source matches the pipeline's table patterns",
                               "Change the pipeline's tables, or create them at the source");
    }
    // Small tables are live first.
    std::stable_sort(tables_.begin(), tables_.end(),
                     [](const sdk::SourceTable& a, const sdk::SourceTable& b) { return a.bytes < b.bytes; });
    return absl::OkStatus();
}

// Preparing the source may have put tables into the stream, and so may another worker while we stood by.
absl::Status Session::ReadStreamEntries() {
    const bool known = std::ranges::all_of(tables_, [this](const sdk::SourceTable& table) {
        return table.stream_entry != 0 && !IsLeftOut(table, StateOf(table));
    });
    if (!known) {
        ASSIGN_OR_RETURN(const std::vector<sdk::SourceTable> now, source_->ListTables(pipeline_.selection));
        std::map<uint64_t, uint64_t> entries;
        for (const sdk::SourceTable& table : now) {
            entries[table.id] = table.stream_entry;
        }
        for (sdk::SourceTable& table : tables_) {
            table.stream_entry = entries[table.id];
        }
    }
    return absl::OkStatus();
}

absl::Status Session::PrepareTopics() {
    ASSIGN_OR_RETURN(auto admin, bus::TopicAdmin::Create(kafka_));
    const auto properties = bus::CompactedTopicProperties(bus::MaxMessageBytes(kafka_));
    return admin->CreateTopics({{control_topic_, properties}, {schema_topic_, properties}}, kTopicTimeout);
}

// A topic that holds a copied table is never made: what was in it would be missing without a word.
absl::Status Session::PrepareTableTopics() {
    std::vector<bus::TopicSpec> wanted;
    std::set<std::string> there;
    std::set<std::string> copied_anew;
    const bool all = !control_.position.streaming || ResyncWanted();
    const int64_t limit = bus::MaxMessageBytes(kafka_);
    for (const sdk::SourceTable* table : TablesToCopy()) {
        copied_anew.insert(StateOf(*table).topic);
    }
    for (const sdk::SourceTable& table : tables_) {
        const TableState& state = StateOf(table);
        if (all || copied_anew.contains(state.topic)) {
            wanted.push_back({state.topic, bus::TableTopicProperties(limit)});
        } else if (state.copied) {
            there.insert(state.topic);
        }
    }
    ASSIGN_OR_RETURN(auto admin, bus::TopicAdmin::Create(kafka_));
    if (!wanted.empty()) {
        RETURN_IF_ERROR(admin->CreateTopics(wanted, kTopicTimeout));
    }
    // A broker that has just started may not know of all topics yet.
    for (int look = 0; look < kLooksForTopic && !there.empty(); ++look) {
        if (look > 0) {
            std::this_thread::sleep_for(kLookForTopicInterval);
            RETURN_IF_ERROR(KeepAlive());
        }
        if (stop_.stop_requested()) {
            return absl::CancelledError("stopped");
        }
        ASSIGN_OR_RETURN(const auto listed, admin->ListTopics(kafka_.topic_prefix, kTopicTimeout));
        for (const std::string& topic : listed) {
            there.erase(topic);
        }
    }
    for (const std::string& topic : there) {
        refused_.try_emplace(
            topic, base::MakeError(absl::StatusCode::kNotFound, kTopicMissingReason,
                                   "topic " + topic + " was deleted, and with it what had not been applied",
                                   "`millrace table resync` makes the topic and copies the table anew"));
    }
    return absl::OkStatus();
}

absl::Status Session::ReadControl() {
    ASSIGN_OR_RETURN(control_, ReadControlState(kafka_, control_topic_));
    return absl::OkStatus();
}

bool Session::ResyncWanted() const {
    return surroundings_.wanted.Resync() > control_.position.resync_counter;
}

absl::Status Session::CheckIdentity() {
    const StreamPosition& position = control_.position;
    if (position.generation == 0) {
        return absl::OkStatus();
    }
    if (position.system_id != identity_.system_id) {
        return base::MakeError(
            absl::StatusCode::kFailedPrecondition, "IDENTITY_CHANGED",
            "the source is another database cluster than the one this pipeline was made for "
            "(its system identifier differs)",
            "Point the source at the old cluster, or copy everything from this one: " + ResyncCommand());
    }
    if (position.timeline != identity_.timeline) {
        return base::MakeError(absl::StatusCode::kFailedPrecondition, "TIMELINE_CHANGED",
                               "the source is on timeline " + std::to_string(identity_.timeline) +
                                   ", the pipeline stands on timeline " + std::to_string(position.timeline) +
                                   ": it was promoted or restored to an earlier time, so changes may be missing",
                               "Point the source at the server on the old timeline if that still runs, or copy "
                               "everything anew: " +
                                   ResyncCommand());
    }
    ASSIGN_OR_RETURN(const uint64_t at, source_->CurrentPosition());
    if (position.streaming && at < position.end) {
        return base::MakeError(absl::StatusCode::kFailedPrecondition, kSourceBehindReason,
                               "the source's log ends at " + PositionText(at) + ", before " +
                                   PositionText(position.end) +
                                   ", which is published already: its files were restored to an earlier state",
                               "Put the newer files back if there are any, or copy everything anew: " +
                                   ResyncCommand());
    }
    return absl::OkStatus();
}

std::string Session::ResyncCommand() const {
    return "`millrace pipeline resync " + pipeline_.name.substr(pipeline_.name.rfind('/') + 1) + " --confirm`";
}

TableState& Session::StateOf(const sdk::SourceTable& table) {
    const std::string topic =
        config::TableTopic(kafka_.topic_prefix, pipeline_.id, table.schema, table.table);
    TableState& state = control_.tables[topic];
    state.schema = table.schema;
    state.table = table.table;
    state.topic = topic;
    return state;
}

absl::Status Session::WhyNotPublished(const TableState& state) const {
    if (state.held()) {
        return base::MakeError(absl::StatusCode::kFailedPrecondition, state.held_reason, state.held_error,
                               state.held_remedy);
    }
    const auto postponed = postponed_.find(state.topic);
    return state.copied || postponed == postponed_.end() ? absl::OkStatus() : postponed->second;
}

void Session::ShowTables() {
    std::vector<TableFacts> facts;
    for (const sdk::SourceTable& table : tables_) {
        const TableState& state = StateOf(table);
        facts.push_back({.schema = table.schema,
                         .table = table.table,
                         .topic = state.topic,
                         .append_only = table.key.empty(),
                         .copied = state.copied && control_.position.streaming,
                         .rows_copied = static_cast<int64_t>(state.rows),
                         .held = WhyNotPublished(state)});
    }
    board_.Update([&](PublisherFacts& board) { board.tables = std::move(facts); });
}

absl::Status Session::InitProducer() {
    ASSIGN_OR_RETURN(producer_, bus::TransactionalProducer::Create(
                                    kafka_, config::TransactionalId(kafka_.topic_prefix, pipeline_.id),
                                    [this] { return KeepAlive(); }));
    MILLRACE_FAILPOINT("publish.before_fence");
    return producer_->Init();
}

std::unique_ptr<codec::EventCodec> Session::MakeCodec() const {
    if (pipeline_.codec == config::Codec::kNative) {
        return codec::MakeMillraceCodec();
    }
    const auto& options = pipeline_.source.options.values;
    const auto database = options.find("database");
    return codec::MakeDebeziumCodec({.name = base::Concat(kafka_.topic_prefix, ".", pipeline_.id),
                                     .database = database == options.end() ? "" : database->second});
}

void Session::MakeWriter() {
    const base::Labels labels{{"pipeline", pipeline_.name}};
    writer_ = std::make_unique<TransactionWriter>(
        *producer_, MakeCodec(), TransactionWriter::Topics{control_topic_, schema_topic_},
        static_cast<size_t>(bus::PartBytes(kafka_)), control_.position,
        metrics_.GetCounter("millrace_publish_commits_total", "Kafka transactions committed by the publisher",
                            labels),
        metrics_.GetHistogram("millrace_publish_commit_seconds", "Duration of a Kafka commit in seconds",
                              labels));
}

// The worker that copied before us may have come to its end, and changes that nobody has read yet wait in its slot.
absl::Status Session::CheckCopyIsDue() {
    RETURN_IF_ERROR(ReadControl());
    if (control_.position.streaming && !ResyncWanted()) {
        return base::MakeError(absl::StatusCode::kAborted, "COPY_ELSEWHERE",
                               "another worker finished the first copy meanwhile");
    }
    return absl::OkStatus();
}

// The snapshot belongs to a slot, and a slot's snapshot cannot be had twice: an interrupted copy starts over
// with a new slot and the next generation.
absl::Status Session::FirstCopy() {
    board_.Update([](PublisherFacts& facts) { facts.state = PublisherState::kCopying; });
    RETURN_IF_ERROR(PrepareTableTopics());
    RETURN_IF_ERROR(source_->LockCopy());
    RETURN_IF_ERROR(CheckCopyIsDue());
    // A worker that lost the lock without knowing cannot end its copy any more.
    RETURN_IF_ERROR(InitProducer());
    RETURN_IF_ERROR(CheckCopyIsDue());
    MILLRACE_FAILPOINT("publish.after_fence");
    const int64_t wanted_resync = surroundings_.wanted.Resync();
    ASSIGN_OR_RETURN(const uint64_t at, source_->BeginCopy(/*new_slot=*/true, kSlotPatience));
    MILLRACE_FAILPOINT("publish.after_slot_created");
    StreamPosition& position = control_.position;
    position = {.system_id = identity_.system_id,
                .timeline = identity_.timeline,
                .generation = position.generation + 1,
                .last = {CopyCommit(at), 0},
                .end = at,
                .resync_counter = wanted_resync};
    base::LogInfo(
        "first copy begins",
        {{"pipeline", pipeline_.name}, {"tables", tables_.size()}, {"generation", position.generation}});
    MakeWriter();
    RETURN_IF_ERROR(writer_->Commit());
    MILLRACE_FAILPOINT("publish.after_generation_written");
    std::vector<const sdk::SourceTable*> all;
    for (const sdk::SourceTable& table : tables_) {
        if (!refused_.contains(StateOf(table).topic)) {
            all.push_back(&table);
        }
    }
    RETURN_IF_ERROR(CopyAll(all, at));
    RETURN_IF_ERROR(HoldRefusedTables());
    MILLRACE_FAILPOINT("publish.after_tables_copied");
    writer_->pending().streaming = true;
    RETURN_IF_ERROR(writer_->Commit());
    MILLRACE_FAILPOINT("publish.after_copy_committed");
    control_.position = writer_->durable();
    return source_->EndCopy();
}

absl::Status Session::CopyAll(const std::vector<const sdk::SourceTable*>& tables, uint64_t at) {
    TableCopier copier(
        *source_, *writer_, board_,
        metrics_.GetCounter("millrace_rows_copied_total", "Rows copied that existed before streaming",
                            {{"pipeline", pipeline_.name}}),
        surroundings_.recorder,
        [this] { return stop_.stop_requested() ? absl::CancelledError("stopped") : KeepAlive(); });
    const bool each = tables.size() <= kFewTables;
    const auto record = [&](events::EventType type, const sdk::SourceTable* table, std::string message) {
        surroundings_.recorder.Record({.type = type,
                                       .schema = table != nullptr ? table->schema : "",
                                       .table = table != nullptr ? table->table : "",
                                       .message = std::move(message),
                                       .position = PositionText(at)});
    };
    if (!each) {
        record(events::EventType::kCopyStarted, nullptr,
               std::to_string(tables.size()) + " tables are copied");
    }
    for (const sdk::SourceTable* table : tables) {
        TableState& state = StateOf(*table);
        const TableState before = state;
        state.resync_counter = surroundings_.wanted.ResyncOf(table->schema, table->table);
        state.column_policy = table->column_policy;
        state.stream_entry = table->stream_entry;
        const bool was_held = state.held();
        state.Release();
        if (each) {
            record(events::EventType::kCopyStarted, table, "the table is copied");
        }
        absl::Status status = copier.Copy(*table, at, state);
        if (base::ReasonOf(status) == "TABLE_LOCKED" && writer_->durable().streaming) {
            state = before;
            Postpone(state, status);
            continue;
        }
        if (!status.ok()) {
            return base::Annotate(status, "copying " + table->DisplayName());
        }
        if (was_held) {
            record(events::EventType::kTableRecovered, table, "the table is published again");
        }
        if (each) {
            record(events::EventType::kCopyFinished, table, std::to_string(state.rows) + " rows copied");
        }
    }
    if (!each) {
        record(events::EventType::kCopyFinished, nullptr, std::to_string(tables.size()) + " tables copied");
    }
    return absl::OkStatus();
}

// Nothing of the copy has been written. The others' stream is not to wait for whoever keeps the table from being read.
void Session::Postpone(const TableState& table, const absl::Status& why) {
    postponed_[table.topic] = why;
    try_postponed_from_ = steady_clock::now() + kPostponement;
    base::LogWarning("a table's copy is put off",
                     {{"table", base::Concat(table.schema, ".", table.table)}, base::LogField(why)});
}

// First the slot, then the fence: a stand-by that initialised its transactions before it holds the slot would
// kill a healthy leader. What the old leader made durable meanwhile is read after the fence.
absl::Status Session::TakeOver() {
    RETURN_IF_ERROR(StartWhenFree());
    if (producer_ != nullptr) {
        return absl::OkStatus();  // we made the first copy ourselves
    }
    const uint32_t generation = control_.position.generation;
    RETURN_IF_ERROR(InitProducer());
    RETURN_IF_ERROR(ReadControl());
    if (!control_.position.streaming || control_.position.generation != generation) {
        return base::MakeError(absl::StatusCode::kAborted, "COPY_ELSEWHERE",
                               "another worker began the copy anew");
    }
    MakeWriter();
    return absl::OkStatus();
}

absl::Status Session::StartWhenFree() {
    while (true) {
        absl::Status status = source_->Start(control_.position.end);
        if (status.ok()) {
            MILLRACE_FAILPOINT("publish.after_stream_started");
            source_->Acknowledge(control_.position.end);
            return status;
        }
        if (base::ReasonOf(status) != "SLOT_ACTIVE") {
            return status;
        }
        board_.Update([&](PublisherFacts& facts) {
            facts.state = PublisherState::kStandby;
            facts.error = status;
        });
        for (auto waited = milliseconds{0}; waited < kStandbyInterval; waited += milliseconds{100}) {
            if (stop_.stop_requested()) {
                return absl::CancelledError("stopped");
            }
            std::this_thread::sleep_for(milliseconds{100});
        }
        // The leader has moved on: starting from an old position would look like a gap.
        RETURN_IF_ERROR(ReadControl());
    }
}

std::vector<const sdk::SourceTable*> Session::TablesToCopy() {
    std::vector<const sdk::SourceTable*> missing;
    for (const sdk::SourceTable& table : tables_) {
        const TableState& state = StateOf(table);
        const bool another = state.source_table_id != 0 && table.id != 0 && state.source_table_id != table.id;
        const bool wanted = state.column_policy != table.column_policy || IsKeyedAnew(table, state) ||
                            IsLeftOut(table, state) ||
                            surroundings_.wanted.ResyncOf(table.schema, table.table) > state.resync_counter;
        if (another || wanted || (!state.copied && !state.held() && !refused_.contains(state.topic))) {
            missing.push_back(&table);
        }
    }
    return missing;
}

absl::Status Session::ForgetLeftTables() {
    std::set<std::string> selected;
    for (const sdk::SourceTable& table : tables_) {
        selected.insert(StateOf(table).topic);
    }
    for (auto& [topic, state] : control_.tables) {
        if ((state.copied || state.held()) && !selected.contains(topic)) {
            state.copied = false;  // left the pipeline: a return means a new copy
            state.Release();
            RETURN_IF_ERROR(writer_->WriteTableState(state));
        }
    }
    return absl::OkStatus();
}

absl::Status Session::HoldRefusedTables() {
    bool held = false;
    for (const sdk::SourceTable& table : tables_) {
        TableState& state = StateOf(table);
        if (const auto refused = refused_.find(state.topic); refused != refused_.end()) {
            // Only a resync, or other column rules, that are asked for from now on release it.
            state.column_policy = table.column_policy;
            state.resync_counter = surroundings_.wanted.ResyncOf(table.schema, table.table);
            state.Hold(refused->second);
            RETURN_IF_ERROR(writer_->WriteTableState(state));
            held = true;
        }
    }
    if (!held) {
        return absl::OkStatus();
    }
    RETURN_IF_ERROR(writer_->Commit());
    for (const sdk::SourceTable& table : tables_) {
        if (const TableState& state = StateOf(table); refused_.erase(state.topic) > 0) {
            surroundings_.recorder.Record({.type = events::EventType::kTableHeld,
                                           .schema = table.schema,
                                           .table = table.table,
                                           .message = state.held_error,
                                           .position = PositionText(writer_->durable().end)});
        }
    }
    refused_.clear();
    return absl::OkStatus();
}

absl::Status Session::CopyNewTables() {
    RETURN_IF_ERROR(ForgetLeftTables());
    for (const sdk::SourceTable& table : tables_) {
        // Copied by a version that did not know of it.
        if (TableState& state = StateOf(table); state.copied && state.stream_entry == 0 && table.stream_entry != 0) {
            state.stream_entry = table.stream_entry;
            RETURN_IF_ERROR(writer_->WriteTableState(state));
        }
    }
    const std::vector<const sdk::SourceTable*> missing = TablesToCopy();
    if (!missing.empty()) {
        board_.Update([](PublisherFacts& facts) { facts.state = PublisherState::kCopying; });
        const int doublings = std::min(surroundings_.copies_put_off, 5);
        const absl::StatusOr<uint64_t> at =
            source_->BeginCopy(/*new_slot=*/false, std::min<seconds>(kFirstPatience * (1 << doublings), kSlotPatience));
        if (base::ReasonOf(at.status()) == "SLOT_WAITING") {
            ++surroundings_.copies_put_off;
            for (const sdk::SourceTable* table : missing) {
                Postpone(StateOf(*table), at.status());
            }
            return writer_->open() ? writer_->Commit() : absl::OkStatus();
        }
        RETURN_IF_ERROR(at.status());
        surroundings_.copies_put_off = 0;
        MILLRACE_FAILPOINT("publish.after_new_tables_snapshot");
        for (const sdk::SourceTable* table : missing) {
            if (const TableState& state = StateOf(*table); IsKeyedAnew(*table, state)) {
                RecordCopyAnew(state, table->key.empty() ? "it has no key any more" : "it has got a key",
                               {writer_->durable().end, 0});
            } else if (IsLeftOut(*table, state)) {
                RecordCopyAnew(state,
                               "somebody took it out of the publication, or altered the publication, so that changes "
                               "may not have come",
                               {writer_->durable().end, 0});
            }
        }
        RETURN_IF_ERROR(CopyAll(missing, *at));
        RETURN_IF_ERROR(source_->EndCopy());
    }
    return writer_->open() ? writer_->Commit() : absl::OkStatus();
}

absl::Status Session::Stream() {
    StreamWriter stream(
        *writer_, control_.tables,
        [this](const auto& before, const auto& after) { return source_->WhyCopyAnew(before, after); },
        surroundings_.recorder);
    last_listing_ = steady_clock::now();
    ShowTables();
    board_.Update([](PublisherFacts& facts) {
        facts.state = PublisherState::kStreaming;
        facts.error = absl::OkStatus();
        facts.error_time.reset();
        facts.next_retry_time.reset();
    });
    base::LogInfo("streaming", {{"pipeline", pipeline_.name}, {"generation", writer_->durable().generation}});
    bool changed = false;
    while (!stop_.stop_requested() && !changed) {
        const absl::StatusOr<int> handled = source_->Poll(stream, stream.PollTimeout(), kMaxEventsPerPoll);
        MILLRACE_FAILPOINT("publish.after_poll");
        if (MILLRACE_DEFECT("acknowledge-early", 1)) {
            source_->Acknowledge(writer_->pending().end);
            RETURN_IF_ERROR(source_->SendFeedback(/*now=*/true));
        }
        if (stream.wanted_copy()) {
            return LeaveToCopy(*stream.wanted_copy());
        }
        RETURN_IF_ERROR(handled.status());
        RETURN_IF_ERROR(stream.CommitIfDue(*handled < kMaxEventsPerPoll));
        MILLRACE_FAILPOINT("publish.before_acknowledge");
        source_->Acknowledge(writer_->durable().end);
        MILLRACE_FAILPOINT("publish.after_acknowledge");
        RETURN_IF_ERROR(Housekeeping(stream.events()));
        if (stream.TakeStrange()) {
            last_listing_ = {};
        }
        ASSIGN_OR_RETURN(changed, TablesChanged());
    }
    RETURN_IF_ERROR(stream.Finish());
    MILLRACE_FAILPOINT("publish.after_finish");
    source_->Acknowledge(writer_->durable().end);
    return source_->SendFeedback(/*now=*/true);
}

// What was published before the change stays, and the position stands before it: the source sends it again to
// the next session, whose copy contains it.
absl::Status Session::LeaveToCopy(const WantedCopy& wanted) {
    TableState& table = *wanted.table;
    table.copied = false;
    RETURN_IF_ERROR(writer_->WriteTableState(table));
    RETURN_IF_ERROR(writer_->Commit());
    RecordCopyAnew(table, wanted.reason, wanted.position);
    return absl::OkStatus();
}

void Session::RecordCopyAnew(const TableState& table, const std::string& reason,
                             const sdk::Position& position) {
    surroundings_.recorder.Record(
        {.type = events::EventType::kTableResync,
         .schema = table.schema,
         .table = table.table,
         .message = base::Concat("the table is copied anew: ", reason),
         .position = PositionText(position.commit),
         .id = base::Concat("resync-", table.topic, "-", position.commit, "-", position.seq)});
    base::LogInfo("a table is copied anew",
                  {{"table", base::Concat(table.schema, ".", table.table)}, {"reason", reason}});
}

absl::StatusOr<bool> Session::TablesChanged() {
    if (const uint64_t version = surroundings_.wanted.version(); version != wanted_version_) {
        wanted_version_ = version;
        if (ResyncWanted() || !TablesToCopy().empty()) {
            return true;
        }
    }
    const auto now = steady_clock::now();
    if (!postponed_.empty() && now >= try_postponed_from_) {
        return true;
    }
    if (now - last_listing_ < std::max<steady_clock::duration>(kListingInterval, kListingShare * listing_took_)) {
        return false;
    }
    ASSIGN_OR_RETURN(const std::vector<sdk::SourceTable> tables, source_->ListTables(pipeline_.selection));
    last_listing_ = steady_clock::now();
    listing_took_ = last_listing_ - now;
    ASSIGN_OR_RETURN(const bool rewritten, LeaveRewritten(tables));
    if (rewritten) {
        return true;
    }
    // With none left there is nothing to go on with: what comes of the old ones is still to be read.
    if (tables.empty() || IdentitiesOf(tables) == IdentitiesOf(tables_)) {
        return false;
    }
    RecordTableListChange(tables);
    return true;
}

absl::StatusOr<bool> Session::LeaveRewritten(const std::vector<sdk::SourceTable>& tables) {
    bool left = false;
    for (const sdk::SourceTable& table : tables) {
        const std::string topic =
            config::TableTopic(kafka_.topic_prefix, pipeline_.id, table.schema, table.table);
        const auto found = control_.tables.find(topic);
        if (found == control_.tables.end() || !found->second.copied || !found->second.schema_of_last ||
            table.storage.empty() || found->second.source_table_id != table.id ||
            table.storage == found->second.schema_of_last->storage ||
            table.storage == harmless_storage_[topic]) {
            continue;
        }
        ASSIGN_OR_RETURN(const sdk::SchemaPtr now, source_->DescribeNow(table));
        if (now == nullptr) {
            continue;
        }
        std::string reason = source_->WhyCopyAnew(*found->second.schema_of_last, *now);
        if (reason.empty()) {
            harmless_storage_[topic] = table.storage;
            continue;
        }
        RETURN_IF_ERROR(LeaveToCopy(
            {.table = &found->second, .reason = std::move(reason), .position = {writer_->durable().end, 0}}));
        left = true;
    }
    return left;
}

void Session::RecordTableListChange(const std::vector<sdk::SourceTable>& now) {
    const auto names = [](const std::vector<sdk::SourceTable>& from,
                          const std::vector<sdk::SourceTable>& without) {
        const TableIdentities others = IdentitiesOf(without);
        std::string text;
        size_t listed = 0;
        for (const sdk::SourceTable& table : from) {
            if (!others.contains(IdentityOf(table)) && listed++ < kFewTables) {
                text += (text.empty() ? "" : ", ") + table.DisplayName();
            }
        }
        return listed > kFewTables ? text + " and " + std::to_string(listed - kFewTables) + " more" : text;
    };
    surroundings_.recorder.Record(
        {.type = events::EventType::kTablesChanged,
         .before = names(tables_, now),
         .after = names(now, tables_),
         .message = "tables were made, dropped, renamed or keyed anew at the source, or left the publication",
         .position = PositionText(writer_->durable().end)});
}

absl::Status Session::KeepAlive() {
    if (stop_.stop_requested()) {
        const auto now = steady_clock::now();
        stop_seen_ = stop_seen_.value_or(now);
        if (now - *stop_seen_ > kStopGrace) {
            return absl::CancelledError("stopped");
        }
    }
    return source_->SendFeedback(/*now=*/false);
}

absl::Status Session::Housekeeping(int64_t events) {
    const auto now = steady_clock::now();
    const auto since = now - last_housekeeping_;
    if (since < kHousekeepingInterval) {
        return absl::OkStatus();
    }
    const double elapsed = std::chrono::duration<double>(since).count();
    last_housekeeping_ = now;
    const base::Labels labels{{"pipeline", pipeline_.name}};
    const int64_t fresh = events - events_before_;
    events_before_ = events;
    metrics_.GetCounter("millrace_events_published_total", "Changes written to Kafka", labels)
        .Add(static_cast<double>(fresh));
    ASSIGN_OR_RETURN(const sdk::RetainedLog retained, source_->Retained());
    metrics_
        .GetGauge("millrace_source_retained_bytes", "Log that the source keeps for the pipeline, in bytes",
                  labels)
        .Set(static_cast<double>(retained.bytes));
    board_.Update([&](PublisherFacts& facts) {
        facts.events_total += fresh;
        facts.events_per_second = static_cast<double>(fresh) / elapsed;
        facts.durable_position = retained.durable_position;
        facts.source_position = retained.source_position;
        facts.retained_bytes = retained.bytes;
    });
    if (retained.bytes > 0 && fresh == 0 && now - last_heartbeat_ >= kHeartbeatInterval) {
        last_heartbeat_ = now;
        if (absl::Status status = source_->Heartbeat(); !status.ok()) {
            base::LogWarning("heartbeat failed", {{"pipeline", pipeline_.name}, base::LogField(status)});
        }
    }
    return absl::OkStatus();
}

}  // namespace millrace::publish
