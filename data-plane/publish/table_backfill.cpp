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
/// A range takes so many chunks at the least, and a table has so many ranges at the most.
constexpr int64_t kChunksOfRange = 4;
constexpr int64_t kMostRanges = 32;
/// Of changes that a chunk may not have seen.
constexpr int64_t kWindowBytes = int64_t{64} << 20;
/// A chunk's transaction keeps the source from cleaning up.
constexpr milliseconds kLongRead{1'000};
constexpr size_t kRepairsAtOnce = 100;
constexpr milliseconds kFirstPause{50};
constexpr milliseconds kLongestPause{15'000};
/// Of a table without a key that could not be read, until it is begun anew.
constexpr std::chrono::seconds kShortRest{1};
constexpr std::chrono::seconds kLongRest{30};
constexpr milliseconds kNudgeInterval{1'000};
constexpr milliseconds kNudgeDelay{20};
constexpr std::chrono::seconds kPaceTime{10};
/// What the source believes of the number of rows may be wrong by so much.
constexpr double kEstimateError = 0.2;

int64_t RowsFor(int64_t bytes, int64_t rows) {
    return rows <= 0 || bytes <= 0 ? kFirstRows : std::clamp(kChunkBytes * rows / bytes, int64_t{1}, kMostRows);
}

}  // namespace

int TableBackfill::RangesFor(const sdk::SourceTable& table, const config::BackfillRules& rules) {
    if (table.key.empty()) {
        return 1;
    }
    const int64_t rows = RowsFor(table.bytes, table.estimated_rows);
    const int64_t of_chunk = rules.chunk_rows > 0 ? std::min(rules.chunk_rows, rows) : rows;
    // What was never analysed has no number of rows.
    const int64_t by_size = rules.chunk_rows > 0 ? 0 : table.bytes / kChunkBytes;
    const int64_t chunks = std::max(table.estimated_rows / of_chunk, by_size);
    return static_cast<int>(std::clamp(chunks / kChunksOfRange, int64_t{1}, kMostRanges));
}

absl::StatusOr<std::unique_ptr<TableBackfill>> TableBackfill::Begin(const Surroundings& surroundings,
                                                                    const sdk::SourceTable& table, TableState& state,
                                                                    std::unique_ptr<sdk::ChunkReader> reader,
                                                                    Beginning beginning) {
    std::unique_ptr<TableBackfill> backfill(new TableBackfill(surroundings, table, state, beginning.sight));
    if (!state.backfill) {
        backfill->begun_at_ = beginning.sight.seen;
        RETURN_IF_ERROR(backfill->BeginWith(std::move(beginning)));
    }
    backfill->AddReader(std::move(reader));
    return backfill;
}

TableBackfill::TableBackfill(const Surroundings& surroundings, const sdk::SourceTable& table, TableState& state,
                             const sdk::Sight& sight)
    : surroundings_(surroundings),
      table_(table),
      state_(state),
      window_(sight),
      newest_(sight.seen),
      tracked_from_(surroundings.writer.pending().end),
      max_rows_(RowsFor(table.bytes, table.estimated_rows)),
      chosen_(state.backfill && state.backfill->chosen),
      counted_(state.rows) {
    if (state.backfill) {
        window_.AddRepairs(state.backfill->repairs);
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

absl::Status TableBackfill::BeginWith(Beginning beginning) {
    const sdk::SchemaPtr& schema = beginning.shape;
    shape_id_ = schema->id;
    const bool resync = beginning.stands && RowsStay(surroundings_.source, state_, *schema);
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
    state_.backfill->ranges = std::move(beginning.ranges);
    return surroundings_.writer.WriteTableState(state_);
}

absl::Status TableBackfill::Observe(const sdk::ChangeEvent& event) {
    if (done()) {
        return absl::OkStatus();
    }
    if (append_only()) {
        return absl::OkStatus();  // what its rows' snapshot does not see was appended beside them
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

std::optional<size_t> TableBackfill::NextRange() const {
    if (done()) {
        return std::nullopt;
    }
    const std::vector<backfill::KeyRange>& ranges = state_.backfill->ranges;
    for (size_t place = 0; place < ranges.size(); ++place) {
        const bool read = std::ranges::any_of(readers_, [&](const auto& reader) { return reader->place() == place; });
        if (!ranges[place].scanned && !read) {
            return place;
        }
    }
    return std::nullopt;
}

bool TableBackfill::WantsReader() const {
    return !paused_ && !gives_back_ && refused_.empty() && NextRange().has_value();
}

void TableBackfill::AddReader(std::unique_ptr<sdk::ChunkReader> reader) {
    readers_.push_back(std::make_unique<backfill::RangeReader>(std::move(reader)));
    PlaceReaders();
}

void TableBackfill::PlaceReaders() {
    for (size_t i = readers_.size(); i-- > 0;) {
        backfill::RangeReader& reader = *readers_[i];
        if (i > 0 && gives_back_ && reader.Rests()) {
            reader.End();
        }
        if (const auto next = reader.place() || (i > 0 && gives_back_) ? std::nullopt : NextRange()) {
            reader.Begin(*next, state_.backfill->ranges[*next]);
        }
        if (i > 0 && !reader.place() && reader.Rests()) {
            readers_.erase(readers_.begin() + static_cast<ptrdiff_t>(i));
        }
    }
}

// The reader keeps everybody from this, but it may have lost its connection without a word.
bool TableBackfill::IsUndoneBy(const sdk::ChangeEvent& event) const {
    return append_only() && !done() && (event.op == sdk::Op::kTruncate || event.schema->id != shape_id_);
}

bool TableBackfill::MayAsk(steady_clock::time_point now) const {
    return !done() && !paused_ && refused_.empty() && !given_up_ && now >= ask_from_ && surroundings_.rate.Allows(now);
}

sdk::ChunkRequest TableBackfill::LimitsNow() const {
    sdk::ChunkRequest request{.max_rows = max_rows_, .max_bytes = kChunkBytes, .not_before = tracked_from_};
    request.where = state_.backfill->where;
    for (const int64_t limit : {surroundings_.rules.chunk_rows, surroundings_.rate.rows_at_once()}) {
        request.max_rows = limit > 0 ? std::min(limit, request.max_rows) : request.max_rows;
    }
    if (const int64_t limit = surroundings_.rate.bytes_at_once(); limit > 0) {
        request.max_bytes = std::min(limit, request.max_bytes);
    }
    return request;
}

void TableBackfill::NameRepairs(sdk::ChunkRequest& request) {
    if (asked_keys_.empty()) {
        for (const sdk::KeyTexts& key : window_.repairs()) {
            if (asked_keys_.size() < kRepairsAtOnce) {
                asked_keys_.push_back(key);
            }
        }
    }
    request.keys = asked_keys_;
    request.after = repaired_up_to_;
}

void TableBackfill::Ask(backfill::RangeReader& reader) {
    const bool repairs = &reader == readers_.front().get() && !reader.place() && reader.Rests() && state_.backfill->scanned();
    if (!repairs && !reader.Hungry()) {
        return;
    }
    sdk::ChunkRequest request = LimitsNow();
    if (repairs) {
        NameRepairs(request);
    }
    reader.Ask(std::move(request), newest_, window_.Now());
}

absl::Status TableBackfill::Tend(bool may_read, size_t readers) {
    readers_of_all_ = readers;
    for (const auto& reader : readers_) {
        RETURN_IF_ERROR(TakeAnswer(*reader));
    }
    if (!refused_.empty() && !done()) {
        return base::MakeError(absl::StatusCode::kAborted, kBackfillRefusedReason, refused_);
    }
    const auto now = steady_clock::now();
    if (given_up_ && now >= given_up_->first && !done()) {
        return base::MakeError(absl::StatusCode::kAborted, kCopyNeededReason, given_up_->second);
    }
    PlaceReaders();
    for (const auto& reader : readers_) {
        if (may_read && MayAsk(now)) {
            Ask(*reader);
        }
    }
    if (!surroundings_.writer.pending().mid_transaction) {
        RETURN_IF_ERROR(WriteReady());
    }
    return Nudge(now);
}

absl::Status TableBackfill::Nudge(steady_clock::time_point now) {
    const bool stands = std::ranges::any_of(readers_, [this](const auto& reader) {
        return !reader->ready().empty() && surroundings_.writer.pending().end < reader->ready().front().chunk.high;
    });
    if (!stands) {
        nudge_from_.reset();
        return absl::OkStatus();
    }
    nudge_from_ = nudge_from_.value_or(now + kNudgeDelay);
    if (now < *nudge_from_) {
        return absl::OkStatus();
    }
    nudge_from_ = now + kNudgeInterval;
    return surroundings_.source.Heartbeat();
}

absl::Status TableBackfill::TakeAnswer(backfill::RangeReader& reader) {
    const auto answer = reader.Take();
    if (!answer || done()) {
        return absl::OkStatus();
    }
    if (!answer->status.ok()) {
        return TakeFailure(answer->status);
    }
    const sdk::Chunk& chunk = reader.ready().back().chunk;
    newest_ = chunk.seen;
    surroundings_.rate.Spend(static_cast<int64_t>(chunk.rows.size()), chunk.rows.bytes(), steady_clock::now());
    AdaptTo(chunk, answer->took);
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
    if (append_only()) {
        // With what was read nobody can go on, and what keeps its rows from being read may last: the others' session is not to end over and over.
        const bool passes = absl::IsUnavailable(status) || absl::IsAborted(status);
        given_up_.emplace(steady_clock::now() + (passes ? kShortRest : kLongRest), base::Concat("its rows could not be read to the end: ", status.message()));
        return absl::OkStatus();
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

void TableBackfill::ReadAgainIn(backfill::RangeReader& reader, milliseconds pause) {
    reader.Again(reader.place() ? state_.backfill->ranges[*reader.place()] : backfill::KeyRange());
    pause_ = pause;
    ask_from_ = steady_clock::now() + pause;
}

absl::Status TableBackfill::OnBoundary() {
    for (const auto& reader : readers_) {
        RETURN_IF_ERROR(TakeAnswer(*reader));
    }
    return WriteReady();
}

// One at a time: changes wait meanwhile.
absl::Status TableBackfill::WriteReady() {
    for (size_t i = 0; i < readers_.size() && !done(); ++i) {
        backfill::RangeReader& reader = *readers_[turn_++ % readers_.size()];
        if (reader.ready().empty() || surroundings_.writer.pending().end < reader.ready().front().chunk.high) {
            continue;
        }
        ASSIGN_OR_RETURN(const bool usable, Judge(reader));
        if (usable) {
            pause_ = {};
            return Write(reader);
        }
    }
    return absl::OkStatus();
}

absl::Status TableBackfill::Write(backfill::RangeReader& reader) {
    auto [chunk, asked] = std::move(reader.ready().front());
    reader.ready().pop_front();
    counts_.overtaken += window_.Resolve(chunk, asked);
    ++counts_.chunks;
    MILLRACE_FAILPOINT("publish.before_chunk");
    RETURN_IF_ERROR(WriteRows(chunk));
    Forget(chunk.seen);
    // On a replica that was put in the place of another, no chunk may see less than one before.
    tracked_from_ = std::max(tracked_from_, chunk.high);
    RETURN_IF_ERROR(Advance(reader, chunk));
    MILLRACE_FAILPOINT("publish.after_chunk");
    return absl::OkStatus();
}

// Chunks of other ranges that are not resolved yet may have been read earlier.
void TableBackfill::Forget(const sdk::Visibility& seen) {
    std::vector<const sdk::Visibility*> by{&seen};
    for (const auto& reader : readers_) {
        reader->AddFloors(by);
    }
    window_.Prune(by);
}

absl::StatusOr<bool> TableBackfill::Judge(backfill::RangeReader& reader) {
    const auto& [chunk, asked] = reader.ready().front();
    switch (window_.Judge(chunk, asked)) {
        case backfill::ChunkWindow::Verdict::kTooEarly:
            if (pause_ >= milliseconds{1'000}) {
                base::LogWarning("a table's rows are not read yet: transactions that ran when the backfill began still do",
                                 {{"table", table_.DisplayName()}, {"transactions", window_.awaited()}});
            }
            ReadAgainIn(reader, std::clamp(2 * pause_, kFirstPause, milliseconds{2'000}));
            return false;
        case backfill::ChunkWindow::Verdict::kOtherShape:
            ReadAgainIn(reader, kFirstPause);
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
    // Rows of a first copy may be appended at the destination; chosen ones stand there already.
    event.op = chosen_ ? sdk::Op::kUpdate : sdk::Op::kRead;
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
    if (!progress.scanned() && !chosen_) {
        state_.rows += chunk.rows.size();
    }
    progress.rows += static_cast<int64_t>(chunk.rows.size());
    progress.bytes += chunk.rows.bytes();
    ++progress.chunks;
    counts_.rows += static_cast<int64_t>(chunk.rows.size());
    return absl::OkStatus();
}

void TableBackfill::AdvanceRange(backfill::RangeReader& reader, const sdk::Chunk& chunk) {
    backfill::KeyRange& range = state_.backfill->ranges[*reader.place()];
    if (range.bound.empty()) {
        range.bound = chunk.bound;
    }
    if (!chunk.last_key.empty()) {
        range.cursor = chunk.last_key;
    }
    range.scanned = chunk.complete;
    if (range.scanned) {
        reader.End();
    }
}

void TableBackfill::AdvanceRepairs(const sdk::Chunk& chunk) {
    if (!chunk.complete) {
        repaired_up_to_ = chunk.last_key;
        return;
    }
    counts_.repaired += std::ssize(asked_keys_);
    window_.Repaired(asked_keys_);
    asked_keys_.clear();
    repaired_up_to_.clear();
}

absl::Status TableBackfill::Advance(backfill::RangeReader& reader, const sdk::Chunk& chunk) {
    BackfillState& progress = *state_.backfill;
    reader.place() ? AdvanceRange(reader, chunk) : AdvanceRepairs(chunk);
    progress.repairs.assign(window_.repairs().begin(), window_.repairs().end());
    if (progress.scanned() && progress.repairs.empty()) {
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
    for (const auto& reader : readers_) {
        reader->Again({});
    }
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
    if (const milliseconds pause = strain_.PauseAfter(chunk.rows.bytes(), took, readers_of_all_); pause > milliseconds{0}) {
        ask_from_ = std::max(ask_from_, steady_clock::now() + pause);
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
                table.append_only = append_only();
                table.backfill = facts_;
            }
        }
    });
}

}  // namespace millrace::publish
