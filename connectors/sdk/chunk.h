/// Reading a table piece by piece while its changes stream on: in the order of its key, or, without one, as one snapshot saw it. Not for: resolving what was read
/// against the stream (data-plane/backfill).
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "connectors/sdk/change_event.h"
#include "connectors/sdk/visibility.h"

namespace millrace::sdk {

/// The cells of a key, in key order, as the source's text.
using KeyTexts = std::vector<std::string>;

/// Rows that own their texts; all have the same number of columns.
class RowBuffer final {
 public:
    explicit RowBuffer(size_t columns = 0) : columns_(columns) {}
    RowBuffer(RowBuffer&&) = default;
    RowBuffer& operator=(RowBuffer&&) = default;

    /// Copies the texts of `row`, which has that number of columns.
    void Add(RowView row);
    /// A copy of `text` that lives as long as the rows.
    std::string_view Keep(std::string_view text);

    [[nodiscard]] size_t size() const { return columns_ == 0 ? 0 : cells_.size() / columns_; }
    [[nodiscard]] std::span<Cell> Row(size_t row) { return {cells_.data() + row * columns_, columns_}; }
    /// Of texts and cells.
    [[nodiscard]] int64_t bytes() const { return bytes_ + static_cast<int64_t>(cells_.size() * sizeof(Cell)); }

 private:
    size_t columns_;
    std::vector<Cell> cells_;
    /// No block grows beyond what it reserved, so that texts never move.
    std::deque<std::string> blocks_;
    int64_t bytes_ = 0;
};

/// Rows as one snapshot saw them.
struct Chunk final {
    /// As the snapshot saw it.
    SchemaPtr schema;
    /// Columns of the table, as the snapshot saw it, that were not to be read.
    std::vector<std::string> left_out = {};
    RowBuffer rows;
    Visibility seen;
    /// A position of the log that no change seen by the snapshot lies beyond.
    uint64_t high = 0;
    /// The key of the last row; empty when there is none.
    KeyTexts last_key;
    /// The greatest key of the table, where the request had no bound; empty when the table has no row.
    KeyTexts bound;
    /// Nothing is left between the last row and the bound.
    bool complete = false;
};

struct ChunkRequest final {
    /// Rows with greater keys; empty: from the first.
    KeyTexts after;
    /// Rows up to this key; empty: up to the greatest there is.
    KeyTexts bound;
    /// Only rows that meet this condition in the source's SQL, beside all else; empty: all.
    std::string where = {};
    /// Only the rows under these keys, when there are any; `after` and `bound` count for nothing then.
    std::vector<KeyTexts> keys;
    /// The chunk ends at whichever comes first, with one row at least.
    int64_t max_rows = 1;
    int64_t max_bytes = 1;
    /// The snapshot is one that contains everything committed below this position of the log.
    uint64_t not_before = 0;
};

/// A look at the source without reading anything.
struct Sight final {
    Visibility seen;
    /// Transactions that were not seen although their commit may be in the log: it is there before others see its effects.
    /// As ChangeEvent::xid.
    std::vector<uint32_t> ending;
};

/// Chunks of one table, on a connection of its own. One thread, but for Cancel. Of a table without a key all chunks are of one
/// snapshot, that of the one Look; each row comes once, whatever the requests' keys, and the table keeps its shape and is not
/// truncated until the reader is gone.
class ChunkReader {
 public:
    virtual ~ChunkReader() = default;
    /// What a snapshot sees that is taken now. Errors as of Read.
    virtual absl::StatusOr<Sight> Look() = 0;
    /// Keys in rising order, all different, that divide the table into `pieces` of about the same size; fewer, or none, where that
    /// cannot be told soon. Errors as of Read.
    virtual absl::StatusOr<std::vector<KeyTexts>> Split(int /*pieces*/) { return std::vector<KeyTexts>(); }
    /// One chunk in one short transaction, on a new connection when the last one is gone. Unavailable: try again (the
    /// connection is lost, or the table locked); NotFound,
    /// reason TBL_MISSING; PermissionDenied. FailedPrecondition, reason KEY_CHANGED: the key has other columns now.
    /// InvalidArgument, reason WHERE_INVALID. Aborted, reason READING_ENDED: of a table without a key, whose snapshot is gone.
    virtual absl::StatusOr<Chunk> Read(const ChunkRequest& request) = 0;
    /// Any thread: a read that is under way returns soon.
    virtual void Cancel() = 0;
};

}  // namespace millrace::sdk
