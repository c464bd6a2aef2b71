#include "data-plane/apply/key_index.h"

#include <functional>
#include <string_view>

namespace millrace::apply {

namespace {

constexpr size_t kFirstCapacity = 64;

uint64_t Mix(uint64_t h) {
    h ^= h >> 32;
    h *= 0x9E3779B97F4A7C15ULL;
    return h ^ (h >> 29);
}

}  // namespace

bool KeyIndex::SameCell(const sdk::Cell& a, const sdk::Cell& b) {
    return a.state() == b.state() && (!a.is_value() || a.text() == b.text());
}

bool KeyIndex::SameKey(sdk::RowView a, sdk::RowView b) const {
    for (const int column : key_columns_) {
        const auto i = static_cast<size_t>(column);
        if (!SameCell(a[i], b[i])) {
            return false;
        }
    }
    return true;
}

uint64_t KeyIndex::Hash(sdk::RowView row) const {
    uint64_t hash = 0;
    for (const int column : key_columns_) {
        const sdk::Cell& cell = row[static_cast<size_t>(column)];
        const uint64_t part = cell.is_value() ? std::hash<std::string_view>{}(cell.text()) : 1;
        hash = Mix(hash + 0x9E3779B97F4A7C15ULL + part);
    }
    return hash;
}

uint32_t KeyIndex::Find(uint64_t hash, sdk::RowView row, const std::vector<sdk::Cell>& cells,
                        size_t width) const {
    if (slots_.empty()) {
        return kNone;
    }
    const size_t mask = slots_.size() - 1;
    for (size_t at = hash & mask; slots_[at] != kNone; at = (at + 1) & mask) {
        const uint32_t number = slots_[at];
        if (hashes_[number] == hash && SameKey(row, sdk::RowView(cells).subspan(number * width, width))) {
            return number;
        }
    }
    return kNone;
}

void KeyIndex::Insert(uint64_t hash, uint32_t number) {
    if ((hashes_.size() + 1) * 2 > slots_.size()) {
        Grow();
    }
    hashes_.push_back(hash);
    const size_t mask = slots_.size() - 1;
    size_t at = hash & mask;
    while (slots_[at] != kNone) {
        at = (at + 1) & mask;
    }
    slots_[at] = number;
}

void KeyIndex::Grow() {
    slots_.assign(slots_.empty() ? kFirstCapacity : slots_.size() * 2, kNone);
    const size_t mask = slots_.size() - 1;
    for (uint32_t number = 0; number < hashes_.size(); ++number) {
        size_t at = hashes_[number] & mask;
        while (slots_[at] != kNone) {
            at = (at + 1) & mask;
        }
        slots_[at] = number;
    }
}

void KeyIndex::Clear() {
    slots_.clear();
    hashes_.clear();
}

}  // namespace millrace::apply
