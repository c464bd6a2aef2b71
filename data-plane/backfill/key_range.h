/// Parts of a table in the order of its key. Pure. Not for: reading them (range_reader).
#pragma once

#include <utility>
#include <vector>

#include "connectors/sdk/chunk.h"

namespace millrace::backfill {

/// A part of a table in the order of its key, and how far it has been read.
struct KeyRange final {
    /// Rows up to this key count as read; empty: none, from the table's first.
    sdk::KeyTexts cursor;
    /// The last row's key, or a greater one; empty: not known yet, the greatest there is when reading begins.
    sdk::KeyTexts bound;
    /// All rows up to the bound.
    bool scanned = false;

    bool operator==(const KeyRange&) const = default;
};

/// The ranges that `splits`, keys in rising order, divide a table into.
inline std::vector<KeyRange> RangesBetween(std::vector<sdk::KeyTexts> splits) {
    std::vector<KeyRange> ranges(1);
    for (sdk::KeyTexts& split : splits) {
        ranges.back().bound = split;
        ranges.push_back({.cursor = std::move(split), .bound = {}, .scanned = false});
    }
    return ranges;
}

}  // namespace millrace::backfill
