#include "data-plane/publish/session.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "base/defect.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/status.h"
#include "base/text.h"
#include "data-plane/bus/topic_admin.h"
#include "data-plane/config/topic_name.h"
#include "data-plane/publish/error_policy.h"
#include "data-plane/publish/table_copier.h"
#include "data-plane/publish/table_watch.h"

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
constexpr int kMaxEventsPerPoll = 20'000;
/// The server waits for all running transactions before it makes a slot.
constexpr seconds kSlotPatience{120};
/// After a commit that took so long, nothing is read for as long as it took.
constexpr milliseconds kSlowCommit{1'000};
/// The stream comes first: with so much of the log still to be read, no chunk is begun.
constexpr uint64_t kFarBehind = uint64_t{32} << 20;
/// A chunk that has been read is not to wait for the stream's next event.
constexpr milliseconds kBackfillPoll{10};

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
      stop_(std::move(stop)),
      control_topic_(config::ControlTopic(kafka.topic_prefix, pipeline.id)),
      schema_topic_(config::SchemaTopic(kafka.topic_prefix, pipeline.id)),
      tables_(kafka, pipeline, surroundings.wanted, refused) {}

Session::~Session() = default;

absl::Status Session::Run() {
    RETURN_IF_ERROR(Connect());
    MILLRACE_FAILPOINT("publish.after_connect");
    RETURN_IF_ERROR(PrepareTopics());
    MILLRACE_FAILPOINT("publish.after_topics");
    RETURN_IF_ERROR(ReadControl());
    if (!tables_.ResyncWanted()) {
        RETURN_IF_ERROR(CheckIdentity());
    }
    RETURN_IF_ERROR(source_->Prepare(tables_.listed()));
    MILLRACE_FAILPOINT("publish.after_source_prepared");
    // Preparing the source may have put tables into the stream.
    RETURN_IF_ERROR(tables_.ReadStreamEntries(*source_));
    tables_.ShowOn(board_);
    if (!tables_.control().position.streaming || tables_.ResyncWanted()) {
        RETURN_IF_ERROR(FirstCopy());
    }
    RETURN_IF_ERROR(TakeOver());
    MILLRACE_FAILPOINT("publish.after_take_over");
    // So may another worker have while we stood by.
    RETURN_IF_ERROR(tables_.ReadStreamEntries(*source_));
    Lead();
    RETURN_IF_ERROR(PrepareTableTopics());
    RETURN_IF_ERROR(tables_.HoldRefused(*writer_, surroundings_.recorder));
    RETURN_IF_ERROR(copies_->CopyMissing());
    MILLRACE_FAILPOINT("publish.before_stream");
    return Stream();
}

void Session::Lead() {
    leads_ = true;
    if (!surroundings_.led_before) {
        surroundings_.recorder.Record({.type = events::EventType::kPublisherTakeover,
                                       .message = "a worker begins to publish",
                                       .position = PositionText(tables_.control().position.end)});
    }
}

absl::Status Session::Connect() {
    wanted_version_ = surroundings_.wanted.version();
    ASSIGN_OR_RETURN(source_, make_source_());
    ASSIGN_OR_RETURN(identity_, source_->Identify());
    return tables_.List(*source_);
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
    const bool all = !tables_.control().position.streaming || tables_.ResyncWanted();
    const int64_t limit = bus::MaxMessageBytes(kafka_);
    for (const sdk::SourceTable* table : tables_.ToCopy()) {
        if (const TableState& state = tables_.StateOf(*table); !tables_.GoesOn(*table, state)) {
            copied_anew.insert(state.topic);
        }
    }
    for (const sdk::SourceTable& table : tables_.listed()) {
        const TableState& state = tables_.StateOf(table);
        if (all || copied_anew.contains(state.topic)) {
            wanted.push_back({state.topic, bus::TableTopicProperties(limit)});
        } else if (state.published()) {
            there.insert(state.topic);
        }
    }
    if (!wanted.empty()) {
        ASSIGN_OR_RETURN(auto admin, bus::TopicAdmin::Create(kafka_));
        RETURN_IF_ERROR(admin->CreateTopics(wanted, kTopicTimeout));
    }
    return RefuseWithout(std::move(there));
}

// A broker that has just started may not know of all topics yet.
absl::Status Session::RefuseWithout(std::set<std::string> topics) {
    ASSIGN_OR_RETURN(auto admin, bus::TopicAdmin::Create(kafka_));
    for (int look = 0; look < kLooksForTopic && !topics.empty(); ++look) {
        if (look > 0) {
            std::this_thread::sleep_for(kLookForTopicInterval);
            RETURN_IF_ERROR(KeepAlive());
        }
        if (stop_.stop_requested()) {
            return absl::CancelledError("stopped");
        }
        ASSIGN_OR_RETURN(const auto listed, admin->ListTopics(kafka_.topic_prefix, kTopicTimeout));
        for (const std::string& topic : listed) {
            topics.erase(topic);
        }
    }
    for (const std::string& topic : topics) {
        tables_.refused().try_emplace(
            topic, base::MakeError(absl::StatusCode::kNotFound, kTopicMissingReason,
                                   "topic " + topic + " was deleted, and with it what had not been applied",
                                   "`millrace table resync` makes the topic and copies the table anew"));
    }
    return absl::OkStatus();
}

absl::Status Session::ReadControl() {
    ASSIGN_OR_RETURN(tables_.control(), ReadControlState(kafka_, control_topic_));
    return absl::OkStatus();
}

absl::Status Session::CheckIdentity() {
    const StreamPosition& position = tables_.control().position;
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
        static_cast<size_t>(bus::PartBytes(kafka_)), tables_.control().position,
        metrics_.GetCounter("millrace_publish_commits_total", "Kafka transactions committed by the publisher",
                            labels),
        metrics_.GetHistogram("millrace_publish_commit_seconds", "Duration of a Kafka commit in seconds",
                              labels));
    copies_ = std::make_unique<Copies>(Copies::Surroundings{
        .source = *source_,
        .writer = *writer_,
        .tables = tables_,
        .board = board_,
        .recorder = surroundings_.recorder,
        .rows = metrics_.GetCounter("millrace_rows_copied_total", "Rows copied that existed before streaming", labels),
        .rules = pipeline_.backfill,
        .put_off = surroundings_.copies_put_off,
        .keep_alive = [this] { return stop_.stop_requested() ? absl::CancelledError("stopped") : KeepAlive(); }});
}

// The worker that copied before us may have come to its end, and changes that nobody has read yet wait in its slot.
absl::Status Session::CheckCopyIsDue() {
    RETURN_IF_ERROR(ReadControl());
    if (tables_.control().position.streaming && !tables_.ResyncWanted()) {
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
    StreamPosition& position = tables_.control().position;
    position = {.system_id = identity_.system_id,
                .timeline = identity_.timeline,
                .generation = position.generation + 1,
                .last = {CopyCommit(at), 0},
                .end = at,
                .resync_counter = wanted_resync};
    base::LogInfo(
        "first copy begins",
        {{"pipeline", pipeline_.name}, {"tables", tables_.listed().size()}, {"generation", position.generation}});
    MakeWriter();
    RETURN_IF_ERROR(tables_.ForgetAll(*writer_, surroundings_.recorder));
    RETURN_IF_ERROR(writer_->Commit());
    MILLRACE_FAILPOINT("publish.after_generation_written");
    std::vector<const sdk::SourceTable*> all;
    for (const sdk::SourceTable& table : tables_.listed()) {
        if (!tables_.refused().contains(tables_.StateOf(table).topic)) {
            all.push_back(&table);
        }
    }
    RETURN_IF_ERROR(copies_->CopyFirst(all, at));
    RETURN_IF_ERROR(tables_.HoldRefused(*writer_, surroundings_.recorder));
    MILLRACE_FAILPOINT("publish.after_tables_copied");
    writer_->pending().streaming = true;
    RETURN_IF_ERROR(writer_->Commit());
    MILLRACE_FAILPOINT("publish.after_copy_committed");
    tables_.control().position = writer_->durable();
    return source_->EndCopy();
}

// First the slot, then the fence: a stand-by that initialised its transactions before it holds the slot would
// kill a healthy leader. What the old leader made durable meanwhile is read after the fence.
absl::Status Session::TakeOver() {
    RETURN_IF_ERROR(StartWhenFree());
    if (producer_ != nullptr) {
        return absl::OkStatus();  // we made the first copy ourselves
    }
    const uint32_t generation = tables_.control().position.generation;
    RETURN_IF_ERROR(InitProducer());
    RETURN_IF_ERROR(ReadControl());
    if (!tables_.control().position.streaming || tables_.control().position.generation != generation) {
        return base::MakeError(absl::StatusCode::kAborted, "COPY_ELSEWHERE",
                               "another worker began the copy anew");
    }
    MakeWriter();
    return absl::OkStatus();
}

absl::Status Session::StartWhenFree() {
    while (true) {
        absl::Status status = source_->Start(tables_.control().position.end);
        if (status.ok()) {
            MILLRACE_FAILPOINT("publish.after_stream_started");
            source_->Acknowledge(tables_.control().position.end);
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

absl::Status Session::Stream() {
    StreamWriter stream(
        *writer_, tables_.control().tables,
        [this](const auto& before, const auto& after) { return source_->WhyCopyAnew(before, after); },
        surroundings_.recorder);
    TableWatch watch({.source = *source_,
                      .selection = pipeline_.selection,
                      .tables = tables_,
                      .copies = *copies_,
                      .writer = *writer_,
                      .recorder = surroundings_.recorder},
                     wanted_version_);
    ShowStreaming();
    copies_->ShowQueue();
    bool changed = false;
    while (!stop_.stop_requested() && !changed) {
        const milliseconds patience =
            copies_->tending() ? std::min(stream.PollTimeout(), kBackfillPoll) : stream.PollTimeout();
        const absl::StatusOr<int> handled = source_->Poll(stream, patience, kMaxEventsPerPoll);
        MILLRACE_FAILPOINT("publish.after_poll");
        if (MILLRACE_DEFECT("acknowledge-early", 1)) {
            source_->Acknowledge(writer_->pending().end);
            RETURN_IF_ERROR(source_->SendFeedback(/*now=*/true));
        }
        if (stream.wanted_copy()) {
            return copies_->Leave(*stream.wanted_copy());
        }
        RETURN_IF_ERROR(handled.status());
        const absl::Status tended = copies_->Tend(stream, MayReadRows());
        if (base::ReasonOf(tended) == kCopyNeededReason) {
            return absl::OkStatus();
        }
        RETURN_IF_ERROR(tended);
        RETURN_IF_ERROR(stream.CommitIfDue(*handled < kMaxEventsPerPoll));
        MILLRACE_FAILPOINT("publish.before_acknowledge");
        source_->Acknowledge(writer_->durable().end);
        MILLRACE_FAILPOINT("publish.after_acknowledge");
        RETURN_IF_ERROR(Housekeeping(stream.events()));
        if (stream.TakeStrange()) {
            watch.LookSoon();
        }
        ASSIGN_OR_RETURN(changed, watch.Changed());
    }
    RETURN_IF_ERROR(stream.Finish());
    copies_->Settle(stream);
    MILLRACE_FAILPOINT("publish.after_finish");
    source_->Acknowledge(writer_->durable().end);
    return source_->SendFeedback(/*now=*/true);
}

// What is far behind, or waits for Kafka, has enough to do.
bool Session::MayReadRows() const {
    const auto took = writer_->last_commit_took();
    return !behind_ && (took < kSlowCommit || steady_clock::now() - writer_->last_commit() >= took);
}

void Session::ShowStreaming() {
    tables_.ShowOn(board_);
    board_.Update([](PublisherFacts& facts) {
        facts.state = PublisherState::kStreaming;
        facts.error = absl::OkStatus();
        facts.error_time.reset();
        facts.next_retry_time.reset();
    });
    base::LogInfo("streaming", {{"pipeline", pipeline_.name}, {"generation", writer_->durable().generation}});
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
    if (copies_->tending()) {
        copies_->ReportOn(metrics_, pipeline_.name);
        ASSIGN_OR_RETURN(const uint64_t at, source_->CurrentPosition());
        behind_ = at > writer_->pending().end + kFarBehind;
    }
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
