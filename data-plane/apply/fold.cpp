#include "data-plane/apply/fold.h"

#include <algorithm>
#include <utility>

#include "base/defect.h"
#include "base/status.h"
#include "base/text.h"

namespace millrace::apply {

namespace {

/// After so many the copy is believed to have ended; a table that is loaded slower than it changes is merged.
constexpr int64_t kChangesAfterLoading = 10'000;
/// About 20 MB of hashes.
constexpr size_t kMostChangedKeys = 1'000'000;

using base::MakeError;
using sdk::Cell;
using sdk::Op;
using sdk::RowView;

absl::Status Broken(const sdk::TableSchema& schema, std::string_view reason, std::string_view what) {
    return MakeError(absl::StatusCode::kDataLoss, reason,
                     base::Concat("the stream of ", schema.DisplayName(), " is broken: ", what),
                     "resync the table");
}

bool HasUnchanged(RowView row) {
    return std::any_of(row.begin(), row.end(), [](const Cell& cell) { return cell.is_unchanged(); });
}

}  // namespace

void BatchFolder::Reset(uint32_t generation, bool empty_target) {
    Clear();
    generation_ = generation;
    EndLoading();
    loading_ = empty_target;
}

void BatchFolder::EndLoading() {
    loading_ = false;
    changed_ = {};
    changes_in_row_ = 0;
}

bool BatchFolder::MustFlush(const sdk::ChangeEvent& event) const {
    return events_ > 0 && (schema_->id != event.schema->id || event.op == Op::kResync || resync_cancelled_);
}

int64_t BatchFolder::footprint() const {
    return bytes_ + static_cast<int64_t>(cells_.size() * sizeof(Cell) + rows_.size() * sizeof(RowState));
}

absl::Status BatchFolder::Add(const sdk::ChangeEvent& event, RecordOrigin origin) {
    RETURN_IF_ERROR(Check(event));
    if (events_ == 0) {
        BeginSchema(event.schema);
    }
    ASSIGN_OR_RETURN(const RowView after, NewRow(event));
    if (sdk::IsMarker(event.op)) {
        TakeMarker(event.op);
    }
    now_ = event.position;
    Fold(event, after);
    Count(event, std::move(origin));
    return absl::OkStatus();
}

absl::Status BatchFolder::Check(const sdk::ChangeEvent& event) {
    if (MustFlush(event)) {
        return MakeError(absl::StatusCode::kInternal, "BATCH_MIXED",
                         "events of two schemas, or from before a resync and after, cannot share a batch");
    }
    if (event.generation < generation_) {
        return Broken(*event.schema, "GENERATION_BACK",
                      base::Concat("generation ", event.generation, " follows generation ", generation_));
    }
    return CheckShape(event);
}

absl::Status BatchFolder::CheckShape(const sdk::ChangeEvent& event) const {
    const sdk::TableSchema& schema = *event.schema;
    const size_t width = schema.columns.size();
    const bool needs_after = event.op == Op::kInsert || event.op == Op::kUpdate || event.op == Op::kRead;
    const bool needs_before = event.op == Op::kDelete;
    if (event.after.size() != (needs_after ? width : 0) ||
        (event.before.size() != width && (needs_before || !event.before.empty()))) {
        return Broken(schema, "ROW_SHAPE", "a row does not have the columns of its schema");
    }
    if (event.op == Op::kInsert && HasUnchanged(event.after)) {
        return Broken(schema, "ROW_SHAPE", "an insert lacks columns");
    }
    if (schema.append_only && (event.op == Op::kUpdate || event.op == Op::kDelete)) {
        return Broken(schema, "APPEND_ONLY", "an update or delete of a table without a key");
    }
    return absl::OkStatus();
}

absl::StatusOr<RowView> BatchFolder::NewRow(const sdk::ChangeEvent& event) {
    if (event.schema->append_only || sdk::IsMarker(event.op)) {
        return event.after;
    }
    const std::vector<int>& columns = index_->key_columns();
    if (columns.empty()) {
        return Broken(*event.schema, "KEY_UNKNOWN", "it has no key columns");
    }
    bool patch = false;
    for (const int column : columns) {
        const auto i = static_cast<size_t>(column);
        if (event.op == Op::kDelete ? event.before[i].is_unchanged() : event.after[i].is_unchanged()) {
            // An old image with the key is sent whenever the source left a key cell of the new one out.
            if (event.op == Op::kDelete || event.before.empty() || event.before[i].is_unchanged()) {
                return Broken(*event.schema, "KEY_UNKNOWN", "a key column was not sent");
            }
            patch = true;
        }
    }
    if (!patch) {
        return event.after;
    }
    patched_.assign(event.after.begin(), event.after.end());
    for (const int column : columns) {
        const auto i = static_cast<size_t>(column);
        if (patched_[i].is_unchanged()) {
            patched_[i] = event.before[i];
        }
    }
    return RowView(patched_);
}

void BatchFolder::BeginSchema(const sdk::SchemaPtr& schema) {
    if (schema_ == schema && index_) {
        return;
    }
    schema_ = schema;
    width_ = schema->columns.size();
    index_.emplace(schema->KeyColumns());
}

void BatchFolder::Fold(const sdk::ChangeEvent& event, RowView after) {
    if (sdk::IsMarker(event.op)) {
        return;
    }
    if (event.op != Op::kRead) {
        only_copy_ = false;
    }
    if (schema_->append_only) {
        Append(after);
        return;
    }
    if (event.op == Op::kDelete) {
        MarkGone(Row(event.before));
        NoteChanged();
        return;
    }
    const bool move =
        event.op == Op::kUpdate && !event.before.empty() && !index_->SameKey(event.before, after);
    // Both rows are made before their cells are looked at: making one moves the memory of the others.
    const uint32_t from = move ? Row(event.before) : KeyIndex::kNone;
    if (move) {
        NoteChanged();
    }
    const uint32_t to = Row(after);
    if (event.op != Op::kRead) {
        NoteChanged();
    }
    const bool was_known = rows_[to].known != Known::kNothing;
    if (was_known || HasUnchanged(after)) {
        only_copy_ = false;
    }
    if (move) {
        Move(from, to, after, event.before);
    } else {
        Update(to, after, event.before);
    }
    if (event.op == Op::kRead) {
        NoteRead(to, was_known);
    }
}

void BatchFolder::NoteChanged() {
    if (!loading_) {
        return;
    }
    changed_.insert(hash_);
    if (++changes_in_row_ >= kChangesAfterLoading || changed_.size() >= kMostChangedKeys) {
        EndLoading();
    }
}

void BatchFolder::NoteRead(uint32_t row, bool was_known) {
    changes_in_row_ = 0;
    rows_[row].fresh = loading_ && !was_known && rows_[row].known == Known::kFull && !changed_.contains(hash_);
}

void BatchFolder::TakeMarker(Op op) {
    if (op == Op::kResync) {
        resync_begins_ = true;
        only_copy_ = false;  // of the rows that come, many stand at the destination
        EndLoading();
    } else if (op == Op::kResyncEnd) {
        resync_ends_ = true;
    } else if (op == Op::kResyncCancel) {
        resync_cancelled_ = true;
    } else if (!MILLRACE_DEFECT("ignore-truncate", 1)) {
        Truncate();
    }
    ++markers_;
}

void BatchFolder::Truncate() {
    // Whatever stands after it has come since.
    resync_begins_ = false;
    resync_ends_ = false;
    rows_.clear();
    cells_.clear();
    source_keys_.clear();
    // What was folded before is gone, and nothing points into its memory any more.
    buffers_.clear();
    if (index_) {
        index_->Clear();
    }
    truncate_first_ = true;
    only_copy_ = true;
    EndLoading();
    loading_ = true;
}

void BatchFolder::Append(RowView after) {
    rows_.push_back({Known::kFull, -1, now_});
    cells_.insert(cells_.end(), after.begin(), after.end());
}

uint32_t BatchFolder::Row(RowView key) {
    const uint64_t hash = index_->Hash(key);
    hash_ = hash;
    uint32_t row = index_->Find(hash, key, cells_, width_);
    if (row != KeyIndex::kNone) {
        return row;
    }
    row = static_cast<uint32_t>(rows_.size());
    rows_.emplace_back();
    cells_.resize(cells_.size() + width_);
    for (const int column : index_->key_columns()) {
        const auto i = static_cast<size_t>(column);
        cells_[row * width_ + i] = key[i];
    }
    index_->Insert(hash, row);
    return row;
}

BatchFolder::Known BatchFolder::Overlay(Known state, const Cell* old_cells, RowView after, RowView before) {
    const bool has_old = state == Known::kFull || state == Known::kPartial;
    bool partial = false;
    scratch_.resize(width_);
    for (size_t i = 0; i < width_; ++i) {
        Cell cell = after[i];
        if (cell.is_unchanged() && !before.empty() && before[i].is_value()) {
            // A whole old row (REPLICA IDENTITY FULL): its value is the unchanged one. A NULL there may mean
            // "not sent".
            cell = before[i];
        }
        if (cell.is_unchanged() && has_old) {
            cell = old_cells[i];
        }
        if (cell.is_unchanged() && MILLRACE_DEFECT("unchanged-as-null", 1)) {
            cell = Cell::Null();
        }
        if (cell.is_unchanged() && state == Known::kGone) {
            // The image that would hold it was deleted earlier in this batch.
            cell = Cell::Null();
            ++holes_;
        }
        partial = partial || cell.is_unchanged();
        scratch_[i] = cell;
    }
    return partial ? Known::kPartial : Known::kFull;
}

void BatchFolder::Store(uint32_t row, Known known, int source_key) {
    std::copy(scratch_.begin(), scratch_.end(), cells_.begin() + static_cast<ptrdiff_t>(row * width_));
    const bool own = known != Known::kPartial || source_key < 0 || IsOwnKey(row, source_key);
    rows_[row] = {known, own ? -1 : source_key, now_};
}

void BatchFolder::Update(uint32_t row, RowView after, RowView before) {
    const int source_key = rows_[row].source_key;
    const Known known = Overlay(rows_[row].known, Cells(row), after, before);
    Store(row, known, source_key);
}

void BatchFolder::Move(uint32_t from, uint32_t to, RowView after, RowView before) {
    const Known known = Overlay(rows_[from].known, Cells(from), after, before);
    const int source_key = known == Known::kPartial ? SourceKeyOf(from) : -1;
    MarkGone(from);
    Store(to, known, source_key);
}

void BatchFolder::MarkGone(uint32_t row) {
    for (size_t i = 0; i < width_; ++i) {
        if (schema_->columns[i].key_ordinal == 0) {
            cells_[row * width_ + i] = Cell::Null();
        }
    }
    rows_[row] = {Known::kGone, -1, now_};
}

int BatchFolder::SourceKeyOf(uint32_t row) {
    if (rows_[row].source_key >= 0) {
        return rows_[row].source_key;
    }
    std::vector<Cell> key;
    key.reserve(index_->key_columns().size());
    for (const int column : index_->key_columns()) {
        key.push_back(Cells(row)[column]);
    }
    source_keys_.push_back(std::move(key));
    return static_cast<int>(source_keys_.size()) - 1;
}

bool BatchFolder::IsOwnKey(uint32_t row, int source_key) const {
    const std::vector<Cell>& source = source_keys_[static_cast<size_t>(source_key)];
    const std::vector<int>& columns = index_->key_columns();
    for (size_t k = 0; k < columns.size(); ++k) {
        if (!KeyIndex::SameCell(source[k], Cells(row)[columns[k]])) {
            return false;
        }
    }
    return true;
}

void BatchFolder::Count(const sdk::ChangeEvent& event, RecordOrigin origin) {
    if (events_ == 0) {
        first_offset_ = origin.offset;
        first_commit_time_us_ = event.commit_time_us;
    }
    ++events_;
    bytes_ += origin.bytes;
    next_offset_ = origin.offset + 1;
    last_ = event.position;
    last_commit_time_us_ = event.commit_time_us;
    generation_ = event.generation;
    if (origin.owner && (buffers_.empty() || buffers_.back() != origin.owner)) {
        buffers_.push_back(std::move(origin.owner));
    }
}

sdk::Batch BatchFolder::Seal(bool append_copy) {
    sdk::Batch batch;
    batch.schema = schema_;
    batch.truncate_first = truncate_first_;
    batch.resync_begins = resync_begins_;
    batch.resync_ends = resync_ends_;
    batch.resync_cancelled = resync_cancelled_;
    batch.append = schema_->append_only || (append_copy && !rows_.empty());
    batch.rows.reserve(rows_.size());
    for (const RowState& row : rows_) {
        using Kind = sdk::BatchRow::Kind;
        const Kind kind = row.known == Known::kFull      ? Kind::kFull
                          : row.known == Known::kPartial ? Kind::kPartial
                                                         : Kind::kGone;
        batch.rows.push_back({kind, row.source_key, row.fresh, row.position});
    }
    batch.cells = std::move(cells_);
    batch.source_keys = std::move(source_keys_);
    batch.first_offset = first_offset_;
    batch.next_offset = next_offset_;
    batch.last = last_;
    batch.last_commit_time_us = last_commit_time_us_;
    batch.generation = generation_;
    batch.bytes = bytes_;
    batch.events = events_;
    batch.markers = markers_;
    batch.buffers = std::move(buffers_);
    Clear();
    return batch;
}

void BatchFolder::Clear() {
    // Schema and index object stay: the next batch has most likely the same shape.
    if (index_) {
        index_->Clear();
    }
    rows_.clear();
    cells_.clear();
    source_keys_.clear();
    buffers_.clear();
    truncate_first_ = false;
    resync_begins_ = false;
    resync_ends_ = false;
    resync_cancelled_ = false;
    only_copy_ = true;
    events_ = 0;
    markers_ = 0;
    bytes_ = 0;
    first_commit_time_us_ = 0;
}

}  // namespace millrace::apply
