/// What a table's changes mean for the chunks that are read of it meanwhile: which rows the stream has overtaken, and in
/// which columns. Pure. Not for: reading chunks (chunk_fetcher), deciding when they are written (publish).
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "connectors/sdk/change_event.h"
#include "connectors/sdk/chunk.h"

namespace millrace::backfill {

/// One table with a key; one thread. Every change of the table that is written to its topic passes through Observe, in
/// order. Between two transactions, at a position that no change seen by a chunk lies beyond, what is left of the chunk
/// after Resolve is the table's rows as they are there: per row, the transactions that a snapshot sees are a prefix of
/// those that wrote it, and the changes of the others are all known here.
class ChunkWindow final {
 public:
    /// `at_start`: taken when, or after, the first change to be observed was next. Changes of transactions that were `ending`
    /// then may have gone by before that.
    explicit ChunkWindow(const sdk::Sight& at_start);

    void Observe(const sdk::ChangeEvent& event);
    /// The key that a change moved a row to without all of its cells, see repairs(). Also of changes that go by while no window
    /// is open on a table whose rows are to be read further.
    static std::optional<sdk::KeyTexts> RepairOf(const sdk::ChangeEvent& event);
    /// When a chunk was asked for. Says nothing to the rule above; the rule that is known to be wrong, a defect for tests, begins
    /// its window there.
    using Asked = std::optional<uint64_t>;
    [[nodiscard]] Asked Now() const;

    enum class Verdict {
        kUsable,
        /// The snapshot does not see a transaction whose changes may have gone by unobserved: read again, later.
        kTooEarly,
        /// A change that the snapshot does not see had another shape: read again.
        kOtherShape,
    };
    [[nodiscard]] Verdict Judge(const sdk::Chunk& chunk, Asked asked = {}) const;

    /// Takes out of a usable chunk what the changes beyond its snapshot have overtaken: `rows` afterwards has the rows to
    /// be written, in which cells that a change has supplied are unchanged. Returns how many rows were taken out.
    int64_t Resolve(sdk::Chunk& chunk, Asked asked = {});

    /// Forgets what all of `seen` see: the snapshot of a chunk that was resolved, and, of every chunk that was asked for and is not
    /// resolved yet, its snapshot or an earlier one.
    void Prune(std::span<const sdk::Visibility* const> seen);

    /// Keys to which rows moved without all of their cells: where the row had not been read yet, the destination lacks them
    /// until it is read under its new key.
    [[nodiscard]] const std::set<sdk::KeyTexts>& repairs() const { return repairs_; }
    void AddRepairs(const std::vector<sdk::KeyTexts>& keys) { repairs_.insert(keys.begin(), keys.end()); }
    void Repaired(const std::vector<sdk::KeyTexts>& keys);

    /// Of the changes held.
    [[nodiscard]] int64_t bytes() const { return bytes_; }
    /// Transactions that a chunk's snapshot must see, or that must have been observed.
    [[nodiscard]] size_t awaited() const { return awaited_.size(); }

 private:
    struct Change final {
        uint32_t xid = 0;
        sdk::Op op = sdk::Op::kInsert;
        uint64_t schema_id = 0;
        std::string key;
        /// Of a row that moved.
        std::string old_key;
        sdk::KeyTexts key_texts;
        /// By column: the source did not send it; empty when it sent all.
        std::vector<bool> unsent;
        /// Counts the changes observed.
        uint64_t number = 0;
    };
    class Overlay;
    [[nodiscard]] static bool LiesInWindow(const Change& change, const sdk::Chunk& chunk, Asked asked);

    std::deque<Change> changes_;
    std::set<sdk::KeyTexts> repairs_;
    std::vector<uint32_t> awaited_;
    int64_t bytes_ = 0;
    uint64_t observed_ = 0;
};

}  // namespace millrace::backfill
