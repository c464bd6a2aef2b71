#include "data-plane/publish/copies.h"

#include <algorithm>
#include <utility>

#include "base/failpoint.h"
#include "base/log.h"
#include "base/status.h"
#include "base/text.h"
#include "data-plane/publish/table_copier.h"

namespace millrace::publish {
namespace {

using events::EventType;
using std::chrono::seconds;

/// Events of single tables are only told of so many at once.
constexpr size_t kFewTables = 20;
/// The server waits for all running transactions before it makes a slot. Without a new slot the stream waits with it: at
/// first not for long, then longer, because there may always be one that runs.
constexpr seconds kSlotPatience{120};
constexpr seconds kFirstPatience{4};
constexpr int kDoublings = 5;

}  // namespace

Copies::Copies(Surroundings surroundings) : surroundings_(std::move(surroundings)) {}

Copies::~Copies() = default;

absl::Status Copies::CopyAll(const std::vector<const sdk::SourceTable*>& tables, uint64_t at) {
    TransactionWriter& writer = surroundings_.writer;
    TableCopier copier(surroundings_.source, writer, surroundings_.board, surroundings_.rows, surroundings_.recorder,
                       surroundings_.keep_alive);
    const bool each = tables.size() <= kFewTables;
    const auto record_all = [&](EventType type, std::string_view what) {
        surroundings_.recorder.Record({.type = type,
                                       .message = base::Concat(tables.size(), " tables ", what),
                                       .position = PositionText(at)});
    };
    if (!each) {
        record_all(EventType::kCopyStarted, "are copied");
    }
    for (const sdk::SourceTable* table : tables) {
        TableState& state = surroundings_.tables.StateOf(*table);
        const TableState before = state;
        surroundings_.tables.BeginCopy(*table, state);
        if (each) {
            RecordOf(state, EventType::kCopyStarted, "the table is copied", at);
        }
        absl::Status status = copier.Copy(*table, at, state);
        if (base::ReasonOf(status) == "TABLE_LOCKED" && writer.durable().streaming) {
            state = before;
            surroundings_.tables.Postpone(state, status);
            continue;
        }
        if (!status.ok()) {
            return base::Annotate(status, "copying " + table->DisplayName());
        }
        if (before.held()) {
            RecordOf(state, EventType::kTableRecovered, "the table is published again", at);
        }
        if (each) {
            RecordOf(state, EventType::kCopyFinished, base::Concat(state.rows, " rows copied"), at);
        }
    }
    if (!each) {
        record_all(EventType::kCopyFinished, "copied");
    }
    return absl::OkStatus();
}

absl::Status Copies::CopyMissing() {
    TransactionWriter& writer = surroundings_.writer;
    RETURN_IF_ERROR(surroundings_.tables.ForgetLeft(writer));
    RETURN_IF_ERROR(surroundings_.tables.NoteStreamEntries(writer));
    std::vector<const sdk::SourceTable*> missing = surroundings_.tables.ToCopy();
    RETURN_IF_ERROR(Queue(missing));
    if (!missing.empty()) {
        RETURN_IF_ERROR(CopyUnderSnapshot(missing));
    }
    return writer.open() ? writer.Commit() : absl::OkStatus();
}

absl::Status Copies::CopyUnderSnapshot(const std::vector<const sdk::SourceTable*>& missing) {
    surroundings_.board.Update([](PublisherFacts& facts) { facts.state = PublisherState::kCopying; });
    const seconds patience = kFirstPatience * (1 << std::min(surroundings_.put_off, kDoublings));
    const absl::StatusOr<uint64_t> at =
        surroundings_.source.BeginCopy(/*new_slot=*/false, std::min(patience, kSlotPatience));
    if (base::ReasonOf(at.status()) == "SLOT_WAITING") {
        ++surroundings_.put_off;
        for (const sdk::SourceTable* table : missing) {
            surroundings_.tables.Postpone(surroundings_.tables.StateOf(*table), at.status());
        }
        return absl::OkStatus();
    }
    RETURN_IF_ERROR(at.status());
    surroundings_.put_off = 0;
    MILLRACE_FAILPOINT("publish.after_new_tables_snapshot");
    for (const sdk::SourceTable* table : missing) {
        RecordWhyAnew(*table, surroundings_.tables.StateOf(*table));
    }
    RETURN_IF_ERROR(CopyAll(missing, *at));
    return surroundings_.source.EndCopy();
}

absl::Status Copies::Queue(std::vector<const sdk::SourceTable*>& missing) {
    std::vector<const sdk::SourceTable*> others;
    for (const sdk::SourceTable* table : missing) {
        TableState& state = surroundings_.tables.StateOf(*table);
        ASSIGN_OR_RETURN(const bool readable, surroundings_.source.ReadsChunks(*table));
        if (!readable) {
            others.push_back(table);
            continue;
        }
        if (surroundings_.tables.GoesOn(*table, state)) {
            queue_.push_front(table);  // what was begun first ends first
            continue;
        }
        RecordWhyAnew(*table, state);
        if (state.published()) {
            state.Forget();
            RETURN_IF_ERROR(surroundings_.writer.WriteTableState(state));
        }
        queue_.push_back(table);
    }
    missing = std::move(others);
    return absl::OkStatus();
}

absl::Status Copies::Tend(StreamWriter& stream) {
    if (backfill_ && backfill_->done()) {
        RecordOf(backfill_->state(), EventType::kCopyFinished, base::Concat(backfill_->state().rows, " rows copied"),
                 surroundings_.writer.pending().end);
        stream.Attend(nullptr);
        backfill_.reset();
    }
    if (!backfill_ && !queue_.empty() && !surroundings_.writer.pending().mid_transaction) {
        RETURN_IF_ERROR(BeginNext(stream));
    }
    return backfill_ ? backfill_->Tend() : absl::OkStatus();
}

absl::Status Copies::BeginNext(StreamWriter& stream) {
    const sdk::SourceTable& table = *queue_.front();
    queue_.pop_front();
    TableState& state = surroundings_.tables.StateOf(table);
    ASSIGN_OR_RETURN(std::unique_ptr<sdk::ChunkReader> reader, surroundings_.source.OpenChunks(table));
    ASSIGN_OR_RETURN(const sdk::SchemaPtr now, surroundings_.source.DescribeNow(table));
    if (reader == nullptr || now == nullptr || now->source_table_id != table.id) {
        // It is another one meanwhile: the next look at the source tells, and a session that knows it begins.
        return absl::OkStatus();
    }
    const bool begins = !state.backfill;
    const bool was_held = state.held();
    if (begins) {
        surroundings_.tables.BeginCopy(table, state);
    }
    ASSIGN_OR_RETURN(backfill_, TableBackfill::Begin({.source = surroundings_.source,
                                                      .writer = surroundings_.writer,
                                                      .board = surroundings_.board,
                                                      .rows = surroundings_.rows,
                                                      .recorder = surroundings_.recorder},
                                                     table, state, std::move(reader), now));
    stream.Attend(backfill_.get());
    const uint64_t at = surroundings_.writer.pending().end;
    if (begins) {
        RecordOf(state, EventType::kCopyStarted, "the table is copied while its changes stream on", at);
    }
    if (was_held) {
        RecordOf(state, EventType::kTableRecovered, "the table is published again", at);
    }
    return absl::OkStatus();
}

absl::Status Copies::LeaveCurrent(const absl::Status& why) {
    return Leave({.table = &backfill_->state(),
                  .reason = std::string(why.message()),
                  .position = {surroundings_.writer.pending().end, 0}});
}

// What was published before the change stays, and the position stands before it: the source sends it again to
// the next session, whose copy contains it.
absl::Status Copies::Leave(const WantedCopy& wanted) {
    wanted.table->Forget();
    RETURN_IF_ERROR(surroundings_.writer.WriteTableState(*wanted.table));
    RETURN_IF_ERROR(surroundings_.writer.Commit());
    RecordAnew(*wanted.table, wanted.reason, wanted.position);
    return absl::OkStatus();
}

void Copies::RecordWhyAnew(const sdk::SourceTable& table, const TableState& state) const {
    const sdk::Position at{surroundings_.writer.durable().end, 0};
    if (IsKeyedAnew(table, state)) {
        RecordAnew(state, table.key.empty() ? "it has no key any more" : "it has got a key", at);
    } else if (IsLeftOut(table, state)) {
        RecordAnew(state,
                   "somebody took it out of the publication, or altered the publication, so that changes may not have come",
                   at);
    }
}

void Copies::RecordAnew(const TableState& table, const std::string& reason, const sdk::Position& position) const {
    surroundings_.recorder.Record(
        {.type = EventType::kTableResync,
         .schema = table.schema,
         .table = table.table,
         .message = base::Concat("the table is copied anew: ", reason),
         .position = PositionText(position.commit),
         .id = base::Concat("resync-", table.topic, "-", position.commit, "-", position.seq)});
    base::LogInfo("a table is copied anew",
                  {{"table", base::Concat(table.schema, ".", table.table)}, {"reason", reason}});
}

void Copies::RecordOf(const TableState& table, EventType type, std::string message, uint64_t at) const {
    surroundings_.recorder.Record({.type = type,
                                   .schema = table.schema,
                                   .table = table.table,
                                   .message = std::move(message),
                                   .position = PositionText(at)});
}

}  // namespace millrace::publish
