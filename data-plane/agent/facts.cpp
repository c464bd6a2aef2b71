#include "data-plane/agent/facts.h"

#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>
#include <utility>

#include "base/status.h"
#include "millrace/v1/link.pb.h"

namespace millrace::agent {
namespace {

using google::protobuf::util::TimeUtil;
using publish::PublisherState;

google::protobuf::Timestamp Time(std::chrono::system_clock::time_point time) {
    return TimeUtil::MicrosecondsToTimestamp(
        std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count());
}

v1::PublisherFacts::State State(PublisherState state) {
    switch (state) {
        case PublisherState::kStarting:
            return v1::PublisherFacts::STATE_STARTING;
        case PublisherState::kStandby:
            return v1::PublisherFacts::STATE_STANDBY;
        case PublisherState::kCopying:
            return v1::PublisherFacts::STATE_COPYING;
        case PublisherState::kStreaming:
            return v1::PublisherFacts::STATE_STREAMING;
        case PublisherState::kRetrying:
            return v1::PublisherFacts::STATE_RETRYING;
        case PublisherState::kBlocked:
            return v1::PublisherFacts::STATE_BLOCKED;
    }
    return v1::PublisherFacts::STATE_UNSPECIFIED;
}

v1::TableStatus::State State(apply::TableState state) {
    switch (state) {
        case apply::TableState::kWaiting:
        case apply::TableState::kTakingOver:
        case apply::TableState::kStopped:
            return v1::TableStatus::STATE_WAITING;
        case apply::TableState::kLive:
            return v1::TableStatus::STATE_LIVE;
        case apply::TableState::kRetrying:
            return v1::TableStatus::STATE_RETRYING;
        case apply::TableState::kHeld:
            return v1::TableStatus::STATE_HELD;
        case apply::TableState::kPaused:
            return v1::TableStatus::STATE_PAUSED;
    }
    return v1::TableStatus::STATE_UNSPECIFIED;
}

v1::PipelineEvent::Type Type(events::EventType type) {
    switch (type) {
        case events::EventType::kSchemaChanged:
            return v1::PipelineEvent::TYPE_SCHEMA_CHANGED;
        case events::EventType::kTableHeld:
            return v1::PipelineEvent::TYPE_TABLE_HELD;
        case events::EventType::kTableRecovered:
            return v1::PipelineEvent::TYPE_TABLE_RECOVERED;
        case events::EventType::kDropPending:
            return v1::PipelineEvent::TYPE_DROP_PENDING;
        case events::EventType::kColumnsDropped:
            return v1::PipelineEvent::TYPE_COLUMNS_DROPPED;
        case events::EventType::kTableResync:
            return v1::PipelineEvent::TYPE_TABLE_RESYNC;
        case events::EventType::kTableSkipped:
            return v1::PipelineEvent::TYPE_TABLE_SKIPPED;
        case events::EventType::kCopyStarted:
            return v1::PipelineEvent::TYPE_COPY_STARTED;
        case events::EventType::kCopyFinished:
            return v1::PipelineEvent::TYPE_COPY_FINISHED;
        case events::EventType::kPublisherTakeover:
            return v1::PipelineEvent::TYPE_PUBLISHER_TAKEOVER;
        case events::EventType::kDeadLettersReplayed:
            return v1::PipelineEvent::TYPE_DEAD_LETTERS_REPLAYED;
        case events::EventType::kTableBackfill:
            return v1::PipelineEvent::TYPE_TABLE_BACKFILL;
        case events::EventType::kTablesChanged:
            return v1::PipelineEvent::TYPE_TABLES_CHANGED;
    }
    return v1::PipelineEvent::TYPE_UNSPECIFIED;
}

void TranslatePublisher(const publish::PublisherFacts& facts, const std::string& worker_id,
                        v1::PublisherFacts* proto) {
    proto->set_state(State(facts.state));
    proto->set_worker_id(worker_id);
    proto->set_durable_position(facts.durable_position);
    proto->set_source_position(facts.source_position);
    proto->set_retained_bytes(facts.retained_bytes);
    proto->set_events_total(facts.events_total);
    proto->set_events_per_second(facts.events_per_second);
    if (!facts.error.ok()) {
        proto->set_error(std::string(facts.error.message()));
        proto->set_error_reason(base::ReasonOf(facts.error));
        proto->set_remedy(base::RemedyOf(facts.error));
    }
    if (facts.error_time) {
        *proto->mutable_error_time() = Time(*facts.error_time);
    }
    if (facts.next_retry_time) {
        *proto->mutable_next_retry_time() = Time(*facts.next_retry_time);
    }
    for (const publish::TableFacts& table : facts.tables) {
        proto->set_rows_copied(proto->rows_copied() + table.rows_copied);
        proto->set_tables_copied(proto->tables_copied() + (table.copied ? 1 : 0));
        proto->set_tables_total(proto->tables_total() + 1);
    }
}

void TranslateTable(const apply::TableFacts& facts, const std::string& worker_id, v1::TableStatus* proto) {
    proto->set_schema(facts.schema);
    // A topic with a hashed name, before its schema was read: its name is all that is known.
    proto->set_table(facts.table.empty() ? facts.topic : facts.table);
    proto->set_state(State(facts.state));
    proto->set_worker_id(worker_id);
    proto->set_append_only(facts.append_only);
    proto->set_rows_applied(facts.rows_applied);
    proto->set_batches_applied(facts.batches);
    proto->set_dead_letters(facts.dead_letters);
    proto->mutable_pending_drops()->Assign(facts.pending_drops.begin(), facts.pending_drops.end());
    proto->set_replay_counter(facts.replay_counter);
    proto->set_replayed_letters(facts.replayed_letters);
    proto->set_refused_letters(facts.refused_letters);
    proto->set_lag_records(facts.records_waiting);
    proto->set_lag_bytes(facts.bytes_waiting);
    proto->set_lag_seconds(facts.lag_seconds);
    if (facts.last_commit_time_us > 0) {
        *proto->mutable_last_commit_time() = TimeUtil::MicrosecondsToTimestamp(facts.last_commit_time_us);
    }
    if (facts.last_applied_time_us > 0) {
        *proto->mutable_last_applied_time() = TimeUtil::MicrosecondsToTimestamp(facts.last_applied_time_us);
    }
    proto->set_error(facts.error);
    proto->set_error_reason(facts.reason);
    proto->set_remedy(facts.remedy);
    proto->set_attempts(facts.attempts);
    proto->set_held_first_offset(facts.held_first_offset);
    proto->set_held_next_offset(facts.held_next_offset);
    if (facts.next_retry_time_us > 0) {
        *proto->mutable_next_retry_time() = TimeUtil::MicrosecondsToTimestamp(facts.next_retry_time_us);
    }
}

void ShowHeld(const absl::Status& held, v1::TableStatus* proto) {
    proto->set_publisher_holds(true);
    proto->set_state(v1::TableStatus::STATE_HELD);
    proto->set_error(std::string(held.message()));
    proto->set_error_reason(base::ReasonOf(held));
    proto->set_remedy(base::RemedyOf(held));
    proto->clear_next_retry_time();
    proto->clear_held_first_offset();
    proto->clear_held_next_offset();
}

v1::BackfillStatus::State State(publish::BackfillFacts::State state) {
    switch (state) {
        case publish::BackfillFacts::State::kNone:
            return v1::BackfillStatus::STATE_UNSPECIFIED;
        case publish::BackfillFacts::State::kQueued:
            return v1::BackfillStatus::STATE_QUEUED;
        case publish::BackfillFacts::State::kRunning:
            return v1::BackfillStatus::STATE_RUNNING;
        case publish::BackfillFacts::State::kPaused:
            return v1::BackfillStatus::STATE_PAUSED;
        case publish::BackfillFacts::State::kCancelled:
            return v1::BackfillStatus::STATE_CANCELLED;
    }
    return v1::BackfillStatus::STATE_UNSPECIFIED;
}

void TranslateBackfill(const publish::BackfillFacts& facts, v1::BackfillStatus& proto) {
    proto.set_state(State(facts.state));
    proto.set_resync(facts.resync);
    proto.set_chosen(facts.chosen);
    proto.set_rows_read(facts.rows);
    proto.set_bytes_read(facts.bytes);
    proto.set_chunks(facts.chunks);
    proto.set_rows_per_second(facts.rows_per_second);
    if (facts.remaining) {
        proto.mutable_remaining_least()->set_seconds(facts.remaining->first.count());
        proto.mutable_remaining_most()->set_seconds(facts.remaining->second.count());
    }
}

void AddCopyState(const publish::TableFacts& facts, v1::TableStatus* proto) {
    proto->set_schema(facts.schema);
    proto->set_table(facts.table);
    proto->set_append_only(facts.append_only);
    proto->set_rows_copied(facts.rows_copied);
    proto->set_rows_estimated(std::max<int64_t>(0, facts.rows_estimated));
    if (facts.backfill.state != publish::BackfillFacts::State::kNone) {
        TranslateBackfill(facts.backfill, *proto->mutable_backfill());
    }
    if (!facts.held.ok()) {
        ShowHeld(facts.held, proto);
        return;
    }
    const auto state = proto->state();
    const bool quiet = state == v1::TableStatus::STATE_UNSPECIFIED ||
                       state == v1::TableStatus::STATE_WAITING || state == v1::TableStatus::STATE_LIVE;
    if (!facts.copied && quiet) {
        proto->set_state(v1::TableStatus::STATE_COPYING);
    }
}

}  // namespace

void TranslateFacts(const runtime::PipelineFacts& facts, const std::string& worker_id,
                    v1::PipelineFacts* proto) {
    proto->set_name(facts.name);
    proto->set_generation(facts.generation);
    proto->set_paused(facts.paused);
    proto->set_removed(facts.removed);
    if (!facts.error.ok()) {
        proto->set_error(std::string(facts.error.message()));
        proto->set_error_reason(base::ReasonOf(facts.error));
        proto->set_remedy(base::RemedyOf(facts.error));
    }
    std::map<std::pair<std::string, std::string>, v1::TableStatus> tables;
    for (const apply::TableFacts& table : facts.tables) {
        v1::TableStatus status;
        TranslateTable(table, worker_id, &status);
        tables[{status.schema(), status.table()}] = std::move(status);
    }
    if (facts.publisher) {
        TranslatePublisher(*facts.publisher, worker_id, proto->mutable_publisher());
        // A stand-by's knowledge of the copy is as old as its own last turn.
        if (facts.publisher->state != PublisherState::kStandby) {
            for (const publish::TableFacts& table : facts.publisher->tables) {
                AddCopyState(table, &tables[{table.schema, table.table}]);
            }
        }
    }
    for (auto& [name, status] : tables) {
        *proto->add_tables() = std::move(status);
    }
}

void TranslateEvent(const events::LoggedEvent& logged, const std::string& worker_id,
                    v1::PipelineEvent* proto) {
    const events::Event& event = logged.event;
    proto->set_id(event.id);
    *proto->mutable_time() = TimeUtil::MicrosecondsToTimestamp(logged.time_us);
    proto->set_type(Type(event.type));
    proto->set_schema(event.schema);
    proto->set_table(event.table);
    proto->set_before(event.before);
    proto->set_after(event.after);
    proto->set_message(event.message);
    proto->set_position(event.position);
    proto->set_worker_id(worker_id);
}

}  // namespace millrace::agent
