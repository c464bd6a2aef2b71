#include "data-plane/publish/copies.h"

#include <algorithm>
#include <utility>

#include "base/failpoint.h"
#include "base/log.h"
#include "base/status.h"
#include "base/text.h"

namespace millrace::publish {
namespace {

using events::EventType;
using std::chrono::seconds;
using std::chrono::steady_clock;

/// Events of single tables are only told of so many at once.
constexpr size_t kFewTables = 20;
/// The server waits for all running transactions before it makes a slot. Without a new slot the stream waits with it: at
/// first not for long, then longer, because there may always be one that runs.
constexpr seconds kSlotPatience{120};
constexpr seconds kFirstPatience{4};
constexpr int kDoublings = 5;
/// So small a table is read faster than a session for it is made, and a snapshot may live so long for the sake of such.
constexpr int64_t kSmallTable = int64_t{1} << 20;
constexpr seconds kSmallTablesTime{3};
/// To read tables from a server that cannot be reached.
constexpr seconds kUntilNextTry{5};
/// For a connection that is free, or a table that waits.
constexpr std::chrono::milliseconds kUntilNextLook{100};
/// For transactions that are committing.
constexpr std::chrono::milliseconds kFirstWait{50};
constexpr std::chrono::milliseconds kLongestWait{2'000};

}  // namespace

Copies::Copies(Surroundings surroundings)
    : surroundings_(std::move(surroundings)),
      rate_(surroundings_.rules.rows_per_second, surroundings_.rules.bytes_per_second) {}

Copies::~Copies() = default;

// With a limit on chunks, or on the rate, no table is small.
absl::StatusOr<Copies::Division> Copies::Divide(const std::vector<const sdk::SourceTable*>& tables) {
    const config::BackfillRules& rules = surroundings_.rules;
    const bool limited = rules.chunk_rows > 0 || rules.rows_per_second > 0 || rules.bytes_per_second > 0;
    Division division;
    for (const sdk::SourceTable* table : tables) {
        if (!limited && table->bytes <= kSmallTable &&
            !surroundings_.tables.GoesOn(*table, surroundings_.tables.StateOf(*table))) {
            division.small.push_back(table);
            continue;
        }
        ASSIGN_OR_RETURN(const bool readable, surroundings_.source.ReadsChunks(*table));
        (readable ? division.in_chunks : division.whole).push_back(table);
    }
    return division;
}

absl::Status Copies::CopyFirst(const std::vector<const sdk::SourceTable*>& tables, uint64_t at) {
    ASSIGN_OR_RETURN(Division division, Divide(tables));
    return CopyOpen(division, at);
}

absl::Status Copies::CopyOpen(Division& tables, uint64_t at) {
    TableCopier copier(surroundings_.source, surroundings_.writer, surroundings_.board, surroundings_.rows,
                       surroundings_.recorder, surroundings_.keep_alive);
    const size_t count = tables.small.size() + tables.whole.size();
    const bool each = count <= kFewTables;
    const auto record_all = [&](EventType type, std::string_view what) {
        surroundings_.recorder.Record(
            {.type = type, .message = base::Concat(count, " tables ", what), .position = PositionText(at)});
    };
    if (!each) {
        record_all(EventType::kCopyStarted, "are copied");
    }
    const auto begun = steady_clock::now();
    while (!tables.small.empty() && steady_clock::now() - begun < kSmallTablesTime) {
        RETURN_IF_ERROR(CopyOne(copier, *tables.small.front(), at, each));
        tables.small.pop_front();
    }
    for (const sdk::SourceTable* table : std::exchange(tables.whole, {})) {
        RETURN_IF_ERROR(CopyOne(copier, *table, at, each));
    }
    if (!each) {
        record_all(EventType::kCopyFinished,
                   tables.small.empty() ? "copied" : base::Concat("copied but for ", tables.small.size(), " that are next"));
    }
    return absl::OkStatus();
}

absl::Status Copies::CopyOne(TableCopier& copier, const sdk::SourceTable& table, uint64_t at, bool told) {
    TableState& state = surroundings_.tables.StateOf(table);
    const TableState before = state;
    if (surroundings_.writer.durable().streaming) {
        RecordWhyAnew(table, state);
    }
    const bool stands = surroundings_.tables.Stands(table, state);
    surroundings_.tables.BeginCopy(table, state);
    if (told) {
        RecordOf(state, EventType::kCopyStarted, "the table is copied", at);
    }
    const absl::Status status = copier.Copy(table, at, state, stands);
    if (base::ReasonOf(status) == "TABLE_LOCKED" && surroundings_.writer.durable().streaming) {
        state = before;
        surroundings_.tables.Postpone(state, status);
        return absl::OkStatus();
    }
    RETURN_IF_ERROR(base::Annotate(status, "copying " + table.DisplayName()));
    if (before.held()) {
        RecordOf(state, EventType::kTableRecovered, "the table is published again", at);
    }
    if (told) {
        RecordOf(state, EventType::kCopyFinished, base::Concat(state.rows, " rows copied"), at);
    }
    return absl::OkStatus();
}

absl::Status Copies::CopyMissing() {
    TransactionWriter& writer = surroundings_.writer;
    RETURN_IF_ERROR(surroundings_.tables.ForgetLeft(writer));
    RETURN_IF_ERROR(surroundings_.tables.NoteStreamEntries(writer));
    ASSIGN_OR_RETURN(Division missing, Divide(surroundings_.tables.ToCopy()));
    while (!missing.small.empty() || !missing.whole.empty()) {
        RETURN_IF_ERROR(CopyUnderSnapshot(missing));
    }
    for (const sdk::SourceTable* table : missing.in_chunks) {
        RETURN_IF_ERROR(Queue(*table));
    }
    for (const sdk::SourceTable& table : surroundings_.tables.listed()) {
        const TableState& state = surroundings_.tables.StateOf(table);
        if (state.copied && surroundings_.tables.GoesOn(table, state)) {
            queue_.push_back(&table);  // chosen rows of it
        }
    }
    RETURN_IF_ERROR(TakeOrders());
    return writer.open() ? writer.Commit() : absl::OkStatus();
}

// Where transactions keep a snapshot from being had, chunks do not wait for them.
absl::Status Copies::CopyUnderSnapshot(Division& missing) {
    surroundings_.board.Update([](PublisherFacts& facts) { facts.state = PublisherState::kCopying; });
    const seconds patience = kFirstPatience * (1 << std::min(surroundings_.put_off, kDoublings));
    const absl::StatusOr<uint64_t> at =
        surroundings_.source.BeginCopy(/*new_slot=*/false, std::min(patience, kSlotPatience));
    if (base::ReasonOf(at.status()) == "SLOT_WAITING") {
        ++surroundings_.put_off;
        for (const sdk::SourceTable* table : std::exchange(missing.small, {})) {
            ASSIGN_OR_RETURN(const bool readable, surroundings_.source.ReadsChunks(*table));
            (readable ? missing.in_chunks : missing.whole).push_back(table);
        }
        for (const sdk::SourceTable* table : std::exchange(missing.whole, {})) {
            surroundings_.tables.Postpone(surroundings_.tables.StateOf(*table), at.status());
        }
        return absl::OkStatus();
    }
    RETURN_IF_ERROR(at.status());
    surroundings_.put_off = 0;
    MILLRACE_FAILPOINT("publish.after_new_tables_snapshot");
    RETURN_IF_ERROR(CopyOpen(missing, *at));
    return surroundings_.source.EndCopy();
}

absl::Status Copies::Queue(const sdk::SourceTable& table) {
    TableState& state = surroundings_.tables.StateOf(table);
    if (surroundings_.tables.GoesOn(table, state)) {
        queue_.push_front(&table);  // what was begun first ends first
        return absl::OkStatus();
    }
    RecordWhyAnew(table, state);
    // Whatever was cancelled before is another one.
    state.cancel_counter = surroundings_.tables.wanted().Of(table.schema, table.table).backfill_cancel_counter;
    if (state.published()) {
        state.Forget();
        RETURN_IF_ERROR(surroundings_.writer.WriteTableState(state));
    }
    queue_.push_back(&table);
    return absl::OkStatus();
}

void Copies::Settle(StreamWriter& stream) {
    for (auto one = going_on_.begin(); one != going_on_.end();) {
        if ((*one)->durable()) {
            End(stream, **one);
            one = going_on_.erase(one);
            look_from_ = {};
        } else {
            ++one;
        }
    }
}

absl::Status Copies::Tend(StreamWriter& stream, bool may_read) {
    Settle(stream);
    if (orders_taken_ != surroundings_.tables.wanted().version() && !surroundings_.writer.pending().mid_transaction) {
        RETURN_IF_ERROR(TakeOrders());
    }
    if (opening_.valid()) {
        RETURN_IF_ERROR(UseOpened(stream));
    } else {
        OpenNext();
    }
    for (const auto& backfill : going_on_) {
        RETURN_IF_ERROR(TendOne(*backfill, may_read));
    }
    return absl::OkStatus();
}

absl::Status Copies::TendOne(TableBackfill& backfill, bool may_read) {
    const absl::Status tended = backfill.Tend(may_read, ReadersInUse());
    if (base::ReasonOf(tended) == kBackfillRefusedReason) {
        return GiveUp(backfill, std::string(tended.message()));
    }
    if (base::ReasonOf(tended) == kCopyNeededReason) {
        RETURN_IF_ERROR(Leave({.table = &backfill.state(),
                               .reason = std::string(tended.message()),
                               .position = {surroundings_.writer.pending().end, 0}}));
    }
    return tended;
}

void Copies::End(StreamWriter& stream, TableBackfill& backfill) {
    stream.Dismiss(backfill);
    backfill.ShowCopied();
    // Chosen rows may have been asked for meanwhile.
    orders_taken_.reset();
    const TableState& state = backfill.state();
    const int64_t rows = backfill.chosen() ? backfill.counts().rows : static_cast<int64_t>(state.rows);
    if (backfill.cancelled()) {
        RecordOf(state, EventType::kTableBackfill, base::Concat("the backfill was cancelled; ", rows, " rows had been read"),
                 surroundings_.writer.pending().end);
        return;
    }
    RecordOf(state, EventType::kCopyFinished, base::Concat(rows, backfill.chosen() ? " chosen rows copied" : " rows copied"),
             surroundings_.writer.pending().end);
    base::LogInfo("table copied", {{"table", base::Concat(state.schema, ".", state.table)},
                                   {"rows", state.rows},
                                   {"chunks", backfill.counts().chunks},
                                   {"overtaken", backfill.counts().overtaken},
                                   {"repaired", backfill.counts().repaired}});
}

bool Copies::IsNotToBeInterrupted() const {
    return std::ranges::any_of(going_on_, [](const auto& backfill) { return backfill->StartsOver(); });
}

bool Copies::IsInterruptedByWish() const {
    return std::ranges::any_of(going_on_, [this](const auto& backfill) {
        return backfill->StartsOver() && surroundings_.tables.WantedAnew(backfill->table(), backfill->state());
    });
}

TableBackfill* Copies::BackfillOf(const sdk::SourceTable& table) {
    const TableState& state = surroundings_.tables.StateOf(table);
    const auto found = std::ranges::find_if(going_on_, [&](const auto& backfill) { return &backfill->state() == &state; });
    return found == going_on_.end() ? nullptr : found->get();
}

const sdk::SourceTable* Copies::WhoWantsReader() {
    for (const auto& backfill : going_on_) {
        if (backfill->WantsReader()) {
            const auto& listed = surroundings_.tables.listed();
            const auto table = std::ranges::find_if(
                listed, [&](const sdk::SourceTable& one) { return one.id == backfill->table().id; });
            return table == listed.end() ? nullptr : &*table;
        }
    }
    return nullptr;
}

size_t Copies::ReadersInUse() const {
    size_t readers = 0;
    for (const auto& backfill : going_on_) {
        readers += backfill->done() ? 0 : backfill->readers();
    }
    return readers;
}

absl::StatusOr<Copies::Opened> Copies::Open(sdk::Source& source, const sdk::SourceTable& table, int pieces) {
    ASSIGN_OR_RETURN(std::unique_ptr<sdk::ChunkReader> reader, source.OpenChunks(table));
    std::vector<sdk::KeyTexts> splits;
    if (reader != nullptr && pieces > 1) {
        ASSIGN_OR_RETURN(splits, reader->Split(pieces));
    }
    return Opened{.reader = std::move(reader), .ranges = backfill::RangesBetween(std::move(splits))};
}

void Copies::OpenNext() {
    const auto now = steady_clock::now();
    if (now < look_from_) {
        return;
    }
    // The queue may be long; once something is opened, the next one is looked for at once.
    look_from_ = now + kUntilNextLook;
    const auto most = static_cast<size_t>(surroundings_.rules.connections);
    const bool may_open = now >= open_from_;
    const size_t next = may_open ? NextInQueue() : queue_.size();
    const bool waits = next != queue_.size();
    for (const auto& backfill : going_on_) {
        backfill->GiveReadersBack(waits);
    }
    if (!may_open || ReadersInUse() >= most) {
        return;
    }
    if (waits) {
        opening_for_ = queue_[next];
        queue_.erase(queue_.begin() + static_cast<ptrdiff_t>(next));
    } else {
        opening_for_ = WhoWantsReader();
    }
    if (opening_for_ == nullptr) {
        return;
    }
    look_from_ = {};
    opening_another_ = !waits;
    const bool begun = surroundings_.tables.StateOf(*opening_for_).backfill.has_value();
    const int pieces = begun ? 1 : TableBackfill::RangesFor(*opening_for_, surroundings_.rules);
    opening_ = std::async(std::launch::async,
                          [&source = surroundings_.source, table = *opening_for_, pieces] { return Open(source, table, pieces); });
}

absl::Status Copies::UseOpened(StreamWriter& stream) {
    if (opening_.wait_for(seconds{0}) != std::future_status::ready || surroundings_.writer.pending().mid_transaction) {
        return absl::OkStatus();
    }
    absl::StatusOr<Opened> opened = opening_.get();
    const sdk::SourceTable& table = *std::exchange(opening_for_, nullptr);
    if (!opened.ok()) {
        open_from_ = steady_clock::now() + kUntilNextTry;
    }
    if (opening_another_) {
        TableBackfill* const backfill = BackfillOf(table);
        if (opened.ok() && opened->reader != nullptr && backfill != nullptr && backfill->WantsReader()) {
            backfill->AddReader(std::move(opened->reader));
        }
        return absl::OkStatus();  // without another reader it goes on, too
    }
    surroundings_.tables.Delay(surroundings_.tables.StateOf(table), opened.status());
    if (!opened.ok()) {
        queue_.push_back(&table);
        surroundings_.tables.ShowOn(surroundings_.board);
        ShowQueue();
        return absl::OkStatus();
    }
    return Begin(stream, table, *std::move(opened));
}

absl::Status Copies::Begin(StreamWriter& stream, const sdk::SourceTable& table, Opened opened) {
    TableState& state = surroundings_.tables.StateOf(table);
    ASSIGN_OR_RETURN(const sdk::SchemaPtr now, surroundings_.source.DescribeNow(table));
    if (opened.reader == nullptr || now == nullptr || now->source_table_id != table.id) {
        // It is another one meanwhile: the next look at the source tells, and a session that knows it begins.
        return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const sdk::Sight sight, opened.reader->Look());
    if (table.key.empty() && !sight.ending.empty()) {
        // Their changes may have gone by already, and the rows would not have them.
        queue_.push_back(&table);
        wait_for_them_ = std::clamp(2 * wait_for_them_, kFirstWait, kLongestWait);
        open_from_ = steady_clock::now() + wait_for_them_;
        return absl::OkStatus();
    }
    wait_for_them_ = {};
    const bool begins = !state.backfill;
    const config::TableOverride wanted = surroundings_.tables.wanted().Of(table.schema, table.table);
    const bool was_held = state.held();
    const bool stands = surroundings_.tables.Stands(table, state);
    if (begins) {
        surroundings_.tables.BeginCopy(table, state);
    }
    ASSIGN_OR_RETURN(auto backfill, TableBackfill::Begin({.source = surroundings_.source,
                                                          .writer = surroundings_.writer,
                                                          .board = surroundings_.board,
                                                          .rows = surroundings_.rows,
                                                          .recorder = surroundings_.recorder,
                                                          .rules = surroundings_.rules,
                                                          .rate = rate_},
                                                         table, state, std::move(opened.reader),
                                                         {.sight = sight, .shape = now, .stands = stands, .ranges = std::move(opened.ranges)}));
    backfill->Pause(wanted.backfill_paused);
    if (cancelled_in_queue_.erase(&table) > 0) {
        RETURN_IF_ERROR(backfill->Cancel());
    }
    stream.Attend(*backfill);
    going_on_.push_back(std::move(backfill));
    const uint64_t at = surroundings_.writer.pending().end;
    if (begins) {
        RecordOf(state, EventType::kCopyStarted, "the table is copied while its changes stream on", at);
    }
    if (was_held) {
        RecordOf(state, EventType::kTableRecovered, "the table is published again", at);
    }
    return absl::OkStatus();
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
