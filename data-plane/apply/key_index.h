/// Finds a row of a batch by its key cells without copying them. Not for: anything that outlives the batch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "connectors/sdk/change_event.h"

namespace millrace::apply {

/// Open addressing over row numbers; the keys stay in the cells of the rows.
class KeyIndex final {
 public:
    static constexpr uint32_t kNone = UINT32_MAX;

    /// `key_columns`: indexes of the key cells in a row.
    explicit KeyIndex(std::vector<int> key_columns) : key_columns_(std::move(key_columns)) {}

    [[nodiscard]] const std::vector<int>& key_columns() const { return key_columns_; }
    [[nodiscard]] uint64_t Hash(sdk::RowView row) const;
    /// Row among `cells` (rows of `width` cells) with the key of `row`, or kNone.
    [[nodiscard]] uint32_t Find(uint64_t hash, sdk::RowView row, const std::vector<sdk::Cell>& cells,
                                size_t width) const;
    /// `number` must be the count of rows inserted so far.
    void Insert(uint64_t hash, uint32_t number);
    void Clear();

    [[nodiscard]] static bool SameCell(const sdk::Cell& a, const sdk::Cell& b);
    [[nodiscard]] bool SameKey(sdk::RowView a, sdk::RowView b) const;

 private:
    void Grow();

    std::vector<int> key_columns_;
    std::vector<uint32_t> slots_;
    std::vector<uint64_t> hashes_;
};

}  // namespace millrace::apply
