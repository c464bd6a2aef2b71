#include "data-plane/publish/table_backfill.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/status.h"
#include "base/text.h"
#include "data-plane/publish/schema_note.h"
#include "data-plane/publish/stream_writer.h"
#include "data-plane/publish/table_set.h"

namespace millrace::publish {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr int64_t kChunkBytes = int64_t{8} << 20;
constexpr int64_t kFirstRows = 5'000;
constexpr int64_t kMostRows = 200'000;
/// The next one is read while one waits for the stream.
constexpr size_t kReadAhead = 2;
/// Of changes that a chunk may not have seen.
constexpr int64_t kWindowBytes = int64_t{64} << 20;
/// A chunk's transaction keeps the source from cleaning up.
constexpr milliseconds kLongRead{1'000};
constexpr size_t kRepairsAtOnce = 100;
constexpr milliseconds kFirstPause{50};
constexpr milliseconds kLongestPause{15'000};
constexpr milliseconds kNudgeInterval{1'000};
constexpr milliseconds kNudgeDelay{20};
constexpr std::chrono::seconds kPaceTime{10};
/// What the source believes of the number of rows may be wrong by so much.
constexpr double kEstimateError = 0.2;

int64_t RowsFor(int64_t bytes, int64_t rows) {
    return rows <= 0 || bytes <= 0 ? kFirstRows : std::clamp(kChunkBytes * rows / bytes, int64_t{1}, kMostRows);
}

}  // namespace

absl::StatusOr<std::unique_ptr<TableBackfill>> TableBackfill::Begin(const Surroundings& surroundings,
                                                                    const sdk::SourceTable& table, TableState& state,
                                                                    std::unique_ptr<sdk::ChunkReader> reader,
                                                                    const sdk::SchemaPtr& now, bool stands) {
    ASSIGN_OR_RETURN(sdk::Sight sight, reader->Look());
    std::unique_ptr<TableBackfill> backfill(new TableBackfill(surroundings, table, state, std::move(reader), sight));
    if (!state.backfill) {
        backfill->begun_at_ = std::move(sight.seen);
        RETURN_IF_ERROR(backfill->BeginWith(now, stands));
    }
    return backfill;
}

TableBackfill::TableBackfill(const Surroundings& surroundings, const sdk::SourceTable& table, TableState& state,
                             std::unique_ptr<sdk::ChunkReader> reader, const sdk::Sight& sight)
    : surroundings_(surroundings),
      table_(table),
      state_(state),
      window_(sight),
      fetcher_(std::move(reader)),
      tracked_from_(surroundings.writer.pending().end),
      max_rows_(RowsFor(table.bytes, table.estimated_rows)),
      chosen_(state.backfill && state.backfill->chosen),
      counted_(state.rows) {
    if (state.backfill) {
        window_.AddRepairs(state.backfill->repairs);
        read_up_to_ = state.backfill->cursor;
        bound_ = state.backfill->bound;
        read_all_ = state.backfill->scanned;
    }
}

// Above every change sent before, and below every later one, whose commit record may begin at the end of the last.
sdk::Position TableBackfill::NextPosition() {
    return {surroundings_.writer.pending().end - 1, ++state_.backfill_seq};
}

absl::StatusOr<sdk::Position> TableBackfill::WriteMarker(sdk::Op op, const sdk::SchemaPtr& schema) {
    sdk::ChangeEvent marker;
    marker.op = op;
    marker.schema = schema;
    marker.position = NextPosition();
    marker.commit_time_us = base::NowMicros();
    marker.generation = surroundings_.writer.pending().generation;
    RETURN_IF_ERROR(surroundings_.writer.Write(marker, state_.topic));
    return marker.position;
}

absl::Status TableBackfill::BeginWith(const sdk::SchemaPtr& schema, bool stands) {
    const bool resync = stands && RowsStay(surroundings_.source, state_, *schema);
    // Behind what a copy under a snapshot has written there, too.
    state_.backfill_seq = std::max(state_.backfill_seq, state_.rows + 1);
    ASSIGN_OR_RETURN(const sdk::Position position, WriteMarker(resync ? sdk::Op::kResync : sdk::Op::kTruncate, schema));
    MILLRACE_FAILPOINT("publish.after_backfill_marker");
    NoteSchema(state_, schema, position, surroundings_.recorder);
    state_.source_table_id = schema->source_table_id;
    state_.copied = false;
    state_.copied_at = 0;
    state_.rows = 0;
    counted_ = 0;
    state_.stands = resync;
    state_.incomplete = false;
    state_.backfill.emplace().resync = resync;
    return surroundings_.writer.WriteTableState(state_);
}

absl::Status TableBackfill::Observe(const sdk::ChangeEvent& event) {
    if (done()) {
        return absl::OkStatus();
    }
    const size_t known = window_.repairs().size();
    window_.Observe(event);
    if (window_.bytes() > kWindowBytes) {
        return base::MakeError(absl::StatusCode::kUnavailable, "BACKFILL_WINDOW_FULL",
                               base::Concat("reading ", table_.DisplayName(),
                                            ": its changes came faster than a chunk of its rows; it is read again"));
    }
    if (window_.repairs().size() == known) {
        return absl::OkStatus();
    }
    // In the Kafka transaction of the change itself: a later session must not forget it.
    state_.backfill->repairs.assign(window_.repairs().begin(), window_.repairs().end());
    return surroundings_.writer.WriteTableState(state_);
}

bool TableBackfill::MayAsk(steady_clock::time_point now) {
    if (done() || paused_ || !refused_.empty() || fetcher_.on_its_way() || now < ask_from_ || !surroundings_.rate.Allows(now)) {
        return false;
    }
    return read_all_ ? state_.backfill->scanned && ready_.empty() : ready_.size() < kReadAhead;
}

sdk::ChunkRequest TableBackfill::NextRequest() {
    sdk::ChunkRequest request{.max_rows = max_rows_, .max_bytes = kChunkBytes, .not_before = tracked_from_};
    request.where = state_.backfill->where;
    for (const int64_t limit : {surroundings_.rules.chunk_rows, surroundings_.rate.rows_at_once()}) {
        request.max_rows = limit > 0 ? std::min(limit, request.max_rows) : request.max_rows;
    }
    if (const int64_t limit = surroundings_.rate.bytes_at_once(); limit > 0) {
        request.max_bytes = std::min(limit, request.max_bytes);
    }
    if (!read_all_) {
        request.after = read_up_to_;
        request.bound = bound_;
        return request;
    }
    if (asked_keys_.empty()) {
        for (const sdk::KeyTexts& key : window_.repairs()) {
            if (asked_keys_.size() < kRepairsAtOnce) {
                asked_keys_.push_back(key);
            }
        }
    }
    request.keys = asked_keys_;
    request.after = repaired_up_to_;
    return request;
}

absl::Status TableBackfill::Tend(bool may_read) {
    RETURN_IF_ERROR(TakeAnswer());
    if (!refused_.empty() && !done()) {
        return base::MakeError(absl::StatusCode::kAborted, kBackfillRefusedReason, refused_);
    }
    const auto now = steady_clock::now();
    if (may_read && MayAsk(now)) {
        window_.NoteAsked();
        fetcher_.Ask(NextRequest());
    }
    if (!surroundings_.writer.pending().mid_transaction) {
        RETURN_IF_ERROR(WriteReady());
    }
    // An idle source's stream stands still, and with it the chunk.
    if (!ready_.empty() && surroundings_.writer.pending().end < ready_.front().high && now >= nudge_from_) {
        nudge_from_ = now + kNudgeInterval;
        RETURN_IF_ERROR(surroundings_.source.Heartbeat());
    }
    return absl::OkStatus();
}

absl::Status TableBackfill::TakeAnswer() {
    auto answer = fetcher_.Take();
    if (!answer || std::exchange(in_vain_, false) || done()) {
        return absl::OkStatus();
    }
    if (!answer->chunk.ok()) {
        return TakeFailure(answer->chunk.status());
    }
    sdk::Chunk& chunk = *answer->chunk;
    surroundings_.rate.Spend(static_cast<int64_t>(chunk.rows.size()), chunk.rows.bytes(), steady_clock::now());
    AdaptTo(chunk, answer->took);
    if (!read_all_) {
        if (bound_.empty()) {
            bound_ = chunk.bound;
        }
        if (!chunk.last_key.empty()) {
            read_up_to_ = chunk.last_key;
        }
        read_all_ = chunk.complete;
    }
    if (ready_.empty()) {
        nudge_from_ = steady_clock::now() + kNudgeDelay;
    }
    ready_.push_back(std::move(chunk));
    return absl::OkStatus();
}

absl::Status TableBackfill::TakeFailure(const absl::Status& status) {
    if (chosen_ && !absl::IsUnavailable(status) && !absl::IsAborted(status) && !absl::IsResourceExhausted(status) &&
        !absl::IsDeadlineExceeded(status)) {
        refused_ = base::ReasonOf(status) == "WHERE_INVALID" ? std::string(status.message())
                                                             : base::Concat("the source refuses them (", base::ReasonOf(status), ")");
        return absl::OkStatus();
    }
    if (absl::IsPermissionDenied(status) || absl::IsUnauthenticated(status) || absl::IsDataLoss(status)) {
        return base::Annotate(status, base::Concat("copying ", table_.DisplayName()));
    }
    if (base::ReasonOf(status) == "KEY_CHANGED") {
        return base::MakeError(absl::StatusCode::kAborted, kCopyNeededReason, "its key has other columns now");
    }
    pause_ = std::clamp(2 * pause_, milliseconds{1'000}, kLongestPause);
    ask_from_ = steady_clock::now() + pause_;
    base::LogWarning("a chunk could not be read; it is tried again",
                     {{"table", table_.DisplayName()}, base::LogField(status)});
    return absl::OkStatus();
}

void TableBackfill::ReadAgainIn(milliseconds pause) {
    ready_.clear();
    in_vain_ = fetcher_.on_its_way();
    read_up_to_ = state_.backfill->cursor;
    read_all_ = state_.backfill->scanned;
    pause_ = pause;
    ask_from_ = steady_clock::now() + pause;
}

absl::Status TableBackfill::OnBoundary() {
    RETURN_IF_ERROR(TakeAnswer());
    return WriteReady();
}

absl::Status TableBackfill::WriteReady() {
    while (!ready_.empty() && surroundings_.writer.pending().end >= ready_.front().high) {
        ASSIGN_OR_RETURN(const bool usable, Judge(ready_.front()));
        if (!usable) {
            return absl::OkStatus();
        }
        pause_ = {};
        sdk::Chunk chunk = std::move(ready_.front());
        ready_.pop_front();
        counts_.overtaken += window_.Resolve(chunk);
        ++counts_.chunks;
        MILLRACE_FAILPOINT("publish.before_chunk");
        RETURN_IF_ERROR(WriteRows(chunk));
        window_.Prune(chunk.seen);
        RETURN_IF_ERROR(Advance(chunk));
        MILLRACE_FAILPOINT("publish.after_chunk");
    }
    return absl::OkStatus();
}

absl::StatusOr<bool> TableBackfill::Judge(const sdk::Chunk& chunk) {
    switch (window_.Judge(chunk)) {
        case backfill::ChunkWindow::Verdict::kTooEarly:
            if (pause_ >= milliseconds{1'000}) {
                base::LogWarning("a table's rows are not read yet: transactions that ran when the backfill began still do",
                                 {{"table", table_.DisplayName()}, {"transactions", window_.awaited()}});
            }
            ReadAgainIn(std::clamp(2 * pause_, kFirstPause, milliseconds{2'000}));
            return false;
        case backfill::ChunkWindow::Verdict::kOtherShape:
            ReadAgainIn(kFirstPause);
            return false;
        case backfill::ChunkWindow::Verdict::kUsable:
            break;
    }
    if (state_.schema_of_last) {
        if (std::string reason = surroundings_.source.WhyCopyAnew(*state_.schema_of_last, *chunk.schema);
            !reason.empty()) {
            return base::MakeError(absl::StatusCode::kAborted, kCopyNeededReason, reason);
        }
    }
    return true;
}

absl::Status TableBackfill::WriteRows(sdk::Chunk& chunk) {
    TransactionWriter& writer = surroundings_.writer;
    sdk::ChangeEvent event;
    event.op = sdk::Op::kRead;
    event.schema = chunk.schema;
    event.commit_time_us = base::NowMicros();
    event.generation = writer.pending().generation;
    for (size_t row = 0; row < chunk.rows.size(); ++row) {
        event.position = NextPosition();
        event.after = chunk.rows.Row(row);
        RETURN_IF_ERROR(writer.Write(event, state_.topic));
        MILLRACE_FAILPOINT("publish.after_chunk_row");
    }
    if (chunk.rows.size() > 0) {
        NoteSchema(state_, chunk.schema, event.position, surroundings_.recorder);
    }
    BackfillState& progress = *state_.backfill;
    if (!progress.scanned && !chosen_) {
        state_.rows += chunk.rows.size();
    }
    progress.rows += static_cast<int64_t>(chunk.rows.size());
    progress.bytes += chunk.rows.bytes();
    ++progress.chunks;
    counts_.rows += static_cast<int64_t>(chunk.rows.size());
    return absl::OkStatus();
}

absl::Status TableBackfill::Advance(const sdk::Chunk& chunk) {
    BackfillState& progress = *state_.backfill;
    if (!progress.scanned) {
        if (progress.bound.empty()) {
            progress.bound = chunk.bound;
        }
        if (!chunk.last_key.empty()) {
            progress.cursor = chunk.last_key;
        }
        progress.scanned = chunk.complete;
    } else if (chunk.complete) {
        counts_.repaired += std::ssize(asked_keys_);
        window_.Repaired(asked_keys_);
        asked_keys_.clear();
        repaired_up_to_.clear();
    } else {
        repaired_up_to_ = chunk.last_key;
    }
    progress.repairs.assign(window_.repairs().begin(), window_.repairs().end());
    if (progress.scanned && progress.repairs.empty()) {
        if (progress.resync) {
            RETURN_IF_ERROR(WriteMarker(sdk::Op::kResyncEnd, chunk.schema).status());
            MILLRACE_FAILPOINT("publish.after_resync_end");
        }
        state_.backfill.reset();
        state_.copied = true;
        state_.stands = true;
        done_at_ = steady_clock::now();
    }
    Show(/*copied=*/false);
    return surroundings_.writer.WriteTableState(state_);
}

void TableBackfill::Pause(bool paused) {
    if (std::exchange(paused_, paused) != paused) {
        pace_.clear();
        Show(/*copied=*/done());
    }
}

absl::Status TableBackfill::Cancel() {
    if (done()) {
        return absl::OkStatus();
    }
    if (state_.backfill->resync) {
        RETURN_IF_ERROR(WriteMarker(sdk::Op::kResyncCancel, state_.schema_of_last).status());
    }
    if (!chosen_) {
        state_.copied = true;
        state_.stands = true;
        state_.incomplete = true;
    }
    state_.backfill.reset();
    ready_.clear();
    cancelled_ = true;
    done_at_ = steady_clock::now();
    return surroundings_.writer.WriteTableState(state_);
}

double TableBackfill::RateNow(steady_clock::time_point now) {
    pace_.emplace_back(now, counts_.rows);
    while (pace_.size() > 2 && now - pace_.front().first > kPaceTime) {
        pace_.pop_front();
    }
    const double seconds = std::chrono::duration<double>(now - pace_.front().first).count();
    return seconds > 0 ? static_cast<double>(counts_.rows - pace_.front().second) / seconds : 0;
}

BackfillFacts FactsOf(const BackfillState& progress) {
    BackfillFacts facts;
    facts.resync = progress.resync;
    facts.chosen = progress.chosen;
    facts.rows = progress.rows;
    facts.bytes = progress.bytes;
    facts.chunks = progress.chunks;
    return facts;
}

BackfillFacts TableBackfill::FactsNow() {
    BackfillFacts facts;
    if (done()) {
        facts.state = state_.incomplete ? BackfillFacts::State::kCancelled : BackfillFacts::State::kNone;
        return facts;
    }
    const BackfillState& progress = *state_.backfill;
    facts = FactsOf(progress);
    facts.state = paused_ ? BackfillFacts::State::kPaused : BackfillFacts::State::kRunning;
    const auto now = steady_clock::now();
    const double lately = paused_ ? 0 : RateNow(now);
    const double on_average = static_cast<double>(counts_.rows) / std::chrono::duration<double>(now - begun_).count();
    const auto left = static_cast<double>(table_.estimated_rows - progress.rows);
    facts.rows_per_second = lately;
    if (!paused_ && !progress.chosen && left > 0 && lately > 0) {
        const auto in = [](double seconds) { return std::chrono::seconds(static_cast<int64_t>(seconds)); };
        facts.remaining = {in(left * (1 - kEstimateError) / std::max(lately, on_average)),
                           in(left * (1 + kEstimateError) / std::min(lately, on_average) + 1)};
    }
    return facts;
}

void TableBackfill::AdaptTo(const sdk::Chunk& chunk, steady_clock::duration took) {
    const auto rows = static_cast<int64_t>(chunk.rows.size());
    if (rows == 0) {
        return;
    }
    max_rows_ = RowsFor(chunk.rows.bytes(), rows);
    if (took > kLongRead) {
        max_rows_ = std::max<int64_t>(1, std::min(max_rows_, rows * kLongRead / took));
    }
}

void TableBackfill::ShowCopied() {
    Show(/*copied=*/true);
}

void TableBackfill::Show(bool copied) {
    surroundings_.rows.Add(static_cast<double>(state_.rows - counted_));
    counted_ = state_.rows;
    facts_ = FactsNow();
    surroundings_.board.Update([&](PublisherFacts& facts) {
        for (TableFacts& table : facts.tables) {
            if (table.topic == state_.topic) {
                table.rows_copied = static_cast<int64_t>(state_.rows);
                table.copied = copied || chosen_;
                table.append_only = false;
                table.backfill = facts_;
            }
        }
    });
}

}  // namespace millrace::publish
