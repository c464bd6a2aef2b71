/// Folds the changes of one table into a batch with at most one row per key. Pure: no I/O, no clock, no
/// threads. Not for: decoding records, deciding when to flush (flush_policy), applying.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "connectors/sdk/batch.h"
#include "data-plane/apply/key_index.h"

namespace millrace::apply {

/// Where an event came from and what keeps its cells alive.
struct RecordOrigin final {
    int64_t offset = 0;
    /// Key and value as fetched.
    int64_t bytes = 0;
    std::shared_ptr<const void> owner;
};

/// Folds by key in stream order: insert after delete replaces, unchanged cells are filled from an earlier
/// image of the batch where one is known, a key move a→b carries the row's state to b and abandons a, a
/// truncate forgets everything before it. One thread.
class BatchFolder final {
 public:
    /// Forgets everything; events of a generation below `generation` are refused from now on. `empty_target`: nothing stands at
    /// the destination.
    void Reset(uint32_t generation, bool empty_target = false);
    /// Rows stand at the destination that did not come through here: no more of them are fresh, until the next truncate.
    void EndLoading();

    /// True when `event` cannot share a batch with the events held, for another schema or because a resync begins: Seal first,
    /// then Add.
    [[nodiscard]] bool MustFlush(const sdk::ChangeEvent& event) const;

    /// The event's cells must stay valid as long as `origin.owner`.
    /// DataLoss when the event contradicts the stream's contract: GENERATION_BACK, ROW_SHAPE (cells do not
    /// fit the schema), KEY_UNKNOWN (no key, or a key cell that the source did not send), APPEND_ONLY (update
    /// or delete of a table without key). The folder is unchanged then; hold the table.
    absl::Status Add(const sdk::ChangeEvent& event, RecordOrigin origin);

    [[nodiscard]] bool empty() const { return events_ == 0; }
    [[nodiscard]] int64_t events() const { return events_; }
    [[nodiscard]] int64_t rows() const { return static_cast<int64_t>(rows_.size()); }
    /// Memory that the batch will occupy: records and cells.
    [[nodiscard]] int64_t footprint() const;
    /// Commit time of the oldest event held, microseconds; 0 when empty.
    [[nodiscard]] int64_t first_commit_time_us() const { return first_commit_time_us_; }
    /// Nothing but rows of a first copy, each whole and under its own key, since the start or the last
    /// truncate.
    [[nodiscard]] bool only_copy() const { return only_copy_; }
    [[nodiscard]] uint32_t generation() const { return generation_; }
    [[nodiscard]] bool truncated() const { return truncate_first_; }

    /// The batch of everything added since the last Seal, at least one event; rows in order of first
    /// appearance of their keys. `append_copy`: the batch holds first-copy rows only and may skip the merge
    /// (see only_copy).
    sdk::Batch Seal(bool append_copy);

    /// Cells that became NULL because their row's old image was deleted before in the same batch; since
    /// construction.
    [[nodiscard]] int64_t holes() const { return holes_; }

 private:
    enum class Known : uint8_t { kNothing, kFull, kPartial, kGone };
    struct RowState final {
        Known known = Known::kNothing;
        /// Index into source_keys_ when unchanged cells come from another key, else -1.
        int source_key = -1;
        sdk::Position position = {};
        bool fresh = false;
    };

    absl::Status Check(const sdk::ChangeEvent& event);
    absl::Status CheckShape(const sdk::ChangeEvent& event) const;
    /// The new row with every key cell known.
    absl::StatusOr<sdk::RowView> NewRow(const sdk::ChangeEvent& event);
    void BeginSchema(const sdk::SchemaPtr& schema);
    void Fold(const sdk::ChangeEvent& event, sdk::RowView after);
    void TakeMarker(sdk::Op op);
    void Truncate();
    void Append(sdk::RowView after);
    void Update(uint32_t row, sdk::RowView after, sdk::RowView before);
    void Move(uint32_t from, uint32_t to, sdk::RowView after, sdk::RowView before);
    /// The key that was looked up last is one of a change: a copied row that comes for it later is merged.
    void NoteChanged();
    void NoteRead(uint32_t row, bool was_known);
    void MarkGone(uint32_t row);
    /// What the row is once `after` has been laid over `state`; writes its cells to scratch_.
    Known Overlay(Known state, const sdk::Cell* old_cells, sdk::RowView after, sdk::RowView before);
    void Store(uint32_t row, Known known, int source_key);
    /// Row of the key; made with nothing known when absent.
    uint32_t Row(sdk::RowView key);
    int SourceKeyOf(uint32_t row);
    [[nodiscard]] bool IsOwnKey(uint32_t row, int source_key) const;
    [[nodiscard]] const sdk::Cell* Cells(uint32_t row) const { return cells_.data() + row * width_; }
    void Count(const sdk::ChangeEvent& event, RecordOrigin origin);
    void Clear();

    sdk::SchemaPtr schema_;
    size_t width_ = 0;
    std::optional<KeyIndex> index_;
    std::vector<RowState> rows_;
    std::vector<sdk::Cell> cells_;
    std::vector<std::vector<sdk::Cell>> source_keys_;
    std::vector<std::shared_ptr<const void>> buffers_;
    /// Reused from event to event.
    std::vector<sdk::Cell> patched_;
    std::vector<sdk::Cell> scratch_;
    /// Of the event that is being folded.
    sdk::Position now_;
    uint64_t hash_ = 0;

    /// The target was empty, and `changed_` has the hash of every key that a change has come for since. Two keys of one hash
    /// only cost a merge.
    bool loading_ = false;
    absl::flat_hash_set<uint64_t> changed_;
    /// Changes in a row without a copied row between them.
    int64_t changes_in_row_ = 0;

    bool truncate_first_ = false;
    bool resync_begins_ = false;
    bool resync_ends_ = false;
    bool resync_cancelled_ = false;
    bool only_copy_ = true;
    uint32_t generation_ = 0;
    int64_t events_ = 0;
    int64_t markers_ = 0;
    int64_t bytes_ = 0;
    int64_t holes_ = 0;
    int64_t first_offset_ = 0;
    int64_t next_offset_ = 0;
    int64_t first_commit_time_us_ = 0;
    int64_t last_commit_time_us_ = 0;
    sdk::Position last_;
};

}  // namespace millrace::apply
