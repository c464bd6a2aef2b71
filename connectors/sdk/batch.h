/// What a destination applies in one transaction: at most one row per key, folded from the changes of one table.
/// Not for: folding (data-plane/apply), typed values.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "connectors/sdk/change_event.h"

namespace millrace::sdk {

/// A row of a batch; its cells are `Batch::Row(i)`.
struct BatchRow final {
    enum class Kind : uint8_t {
        /// Every cell is known: replaces whatever stands under the key.
        kFull,
        /// Some cells are unchanged: they are taken from the destination's row under the *source key*. Where that row is
        /// missing they become NULL and are counted as holes.
        kPartial,
        /// The key is gone; only key cells are meaningful.
        kGone,
    };
    Kind kind = Kind::kFull;
    /// Index into `source_keys` when unchanged cells come from another key (key move), else -1.
    int source_key = -1;
    /// A full row of a first copy under whose key nothing stands at the destination: it may be appended without a merge; a writer may
    /// as well merge it.
    bool fresh = false;
    /// Of the last change that was folded into the row.
    Position position = {};
};

/// What becomes of a value that the destination's column cannot hold.
enum class RefusedValues : uint8_t {
    /// The batch is refused: FailedPrecondition, reason VALUE_REJECTED.
    kHold,
    /// Its cell is NULL and the value is kept in `_millrace.dead_letters`; a row whose key is refused is kept there
    /// whole.
    kDeadLetter,
    /// The column is changed to text. What even text cannot hold is treated as in kDeadLetter.
    kText,
};

/// Immutable after sealing; owns the memory that its cells point into.
struct Batch final {
    SchemaPtr schema;
    /// Empty the table before the rows.
    bool truncate_first = false;
    /// The rows of the table begin to come again with this batch; where the destination has no such table, nothing is known of
    /// it yet.
    bool resync_begins = false;
    /// They have all come with this batch: after its rows, those that did not come since resync_begins are removed. Nothing where
    /// the table was emptied since.
    bool resync_ends = false;
    /// After its rows nothing is known of the resync any more, and nothing is removed.
    bool resync_cancelled = false;
    /// Rows are appended as they are (append_only table, or a batch of first-copy rows into a table known to be empty).
    bool append = false;
    RefusedValues refused = RefusedValues::kHold;
    std::vector<BatchRow> rows;
    /// Flattened: row i holds cells [i*n, (i+1)*n), n = schema->columns.size().
    std::vector<Cell> cells;
    /// Key cells in key order, one inner vector for each moved row that needs its old place.
    std::vector<std::vector<Cell>> source_keys;

    /// The table's topic is another than the checkpoint speaks of, or has lost what stood behind it: the checkpoint may
    /// go back. Only together with truncate_first or resync_begins.
    bool rewinds = false;

    /// Checkpoint after this batch.
    int64_t first_offset = 0;
    int64_t next_offset = 0;
    Position last;
    int64_t last_commit_time_us = 0;
    uint32_t generation = 0;

    /// Size of the records that were folded, and their number.
    int64_t bytes = 0;
    int64_t events = 0;
    /// How many of them are markers, which change no row of their own.
    int64_t markers = 0;
    /// Keeps alive what the cells point into.
    std::vector<std::shared_ptr<const void>> buffers;

    [[nodiscard]] RowView Row(size_t i) const {
        const size_t n = schema->columns.size();
        return RowView(cells).subspan(i * n, n);
    }
    [[nodiscard]] bool HasUnchanged(size_t column) const;
    /// Of the rows that may be appended (`fresh`), or of the others; only what writing rows needs. Its cells live as long as
    /// those of this batch.
    [[nodiscard]] Batch Part(bool fresh_rows) const;
};

}  // namespace millrace::sdk
