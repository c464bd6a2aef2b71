#include "data-plane/backfill/chunk_window.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "base/defect.h"

namespace millrace::backfill {
namespace {

using sdk::Cell;
using sdk::Op;
using sdk::RowView;

// Of the cells in `row`, or in `other` where the row lacks one.
sdk::KeyTexts KeyTextsOf(const sdk::TableSchema& schema, RowView row, RowView other) {
    sdk::KeyTexts texts;
    for (const int column : schema.KeyColumns()) {
        const auto i = static_cast<size_t>(column);
        const Cell& cell = row[i].is_value() || other.empty() ? row[i] : other[i];
        texts.emplace_back(cell.text());
    }
    return texts;
}

// Keys are the same when the source writes the same text: it logs a key as changed when its bytes change.
std::string Joined(const sdk::KeyTexts& texts) {
    std::string joined;
    for (const std::string& text : texts) {
        joined += std::to_string(text.size());
        joined += ':';
        joined += text;
    }
    return joined;
}

std::vector<bool> UnsentIn(RowView row) {
    std::vector<bool> unsent;
    if (std::ranges::any_of(row, &Cell::is_unchanged)) {
        for (const Cell& cell : row) {
            unsent.push_back(cell.is_unchanged());
        }
    }
    return unsent;
}

}  // namespace

std::optional<sdk::KeyTexts> ChunkWindow::RepairOf(const sdk::ChangeEvent& event) {
    if (event.op != Op::kUpdate || event.before.empty() || std::ranges::none_of(event.after, &Cell::is_unchanged)) {
        return std::nullopt;
    }
    sdk::KeyTexts key = KeyTextsOf(*event.schema, event.after, event.before);
    return key == KeyTextsOf(*event.schema, event.before, {}) ? std::nullopt : std::optional(std::move(key));
}

ChunkWindow::ChunkWindow(const sdk::Sight& at_start) : awaited_(at_start.ending) {}

void ChunkWindow::Observe(const sdk::ChangeEvent& event) {
    std::erase(awaited_, event.xid);
    if (event.op == Op::kRead) {
        return;
    }
    Change change{.xid = event.xid, .op = event.op, .schema_id = event.schema->id, .number = observed_++};
    if (event.op != Op::kTruncate) {
        change.key_texts = event.op == Op::kDelete ? KeyTextsOf(*event.schema, event.before, {})
                                                   : KeyTextsOf(*event.schema, event.after, event.before);
        change.key = Joined(change.key_texts);
        change.unsent = UnsentIn(event.after);
        if (event.op == Op::kUpdate && !event.before.empty()) {
            change.old_key = Joined(KeyTextsOf(*event.schema, event.before, {}));
            if (change.old_key == change.key) {
                change.old_key.clear();
            }
        }
        if (auto key = RepairOf(event)) {
            repairs_.insert(*std::move(key));
        }
    }
    bytes_ += static_cast<int64_t>(sizeof(Change) + 2 * change.key.size() + change.old_key.size() + change.unsent.size() / 8);
    changes_.push_back(std::move(change));
}

ChunkWindow::Asked ChunkWindow::Now() const {
    return MILLRACE_DEFECT("dblog-rule", 1) ? Asked(observed_) : std::nullopt;
}

// With the defect: between the watermarks, whatever the snapshot saw.
bool ChunkWindow::LiesInWindow(const Change& change, const sdk::Chunk& chunk, Asked asked) {
    return asked ? change.number >= *asked : !chunk.seen.Sees(change.xid);
}

ChunkWindow::Verdict ChunkWindow::Judge(const sdk::Chunk& chunk, Asked asked) const {
    if (asked) {
        return Verdict::kUsable;
    }
    if (std::ranges::any_of(awaited_, [&](uint32_t xid) { return !chunk.seen.Sees(xid); })) {
        return Verdict::kTooEarly;
    }
    const bool other_shape = std::ranges::any_of(changes_, [&](const Change& change) {
        return change.schema_id != chunk.schema->id && !chunk.seen.Sees(change.xid);
    });
    return other_shape ? Verdict::kOtherShape : Verdict::kUsable;
}

/// The rows of one chunk while changes are laid over them.
class ChunkWindow::Overlay final {
 public:
    explicit Overlay(sdk::Chunk& chunk)
        : chunk_(chunk), key_columns_(chunk.schema->KeyColumns()), gone_(chunk.rows.size(), false) {
        for (size_t row = 0; row < gone_.size(); ++row) {
            rows_[Joined(KeyTextsOf(*chunk.schema, chunk.rows.Row(row), {}))] = row;
        }
    }

    void Lay(const Change& change) {
        switch (change.op) {
            case Op::kTruncate:
                gone_.assign(gone_.size(), true);
                rows_.clear();
                return;
            case Op::kInsert:
            case Op::kDelete:
                Drop(change.key);
                return;
            case Op::kUpdate:
                if (!change.old_key.empty()) {
                    Move(change);
                }
                Supply(change);
                return;
            case Op::kRead:
            case Op::kResync:
            case Op::kResyncEnd:
            case Op::kResyncCancel:
                return;  // the backfill's own
        }
    }

    int64_t TakeOut() {
        sdk::RowBuffer left(chunk_.schema->columns.size());
        int64_t taken = 0;
        for (size_t row = 0; row < gone_.size(); ++row) {
            if (gone_[row]) {
                ++taken;
            } else {
                left.Add(chunk_.rows.Row(row));
            }
        }
        chunk_.rows = std::move(left);
        return taken;
    }

 private:
    void Drop(const std::string& key) {
        if (const auto found = rows_.find(key); found != rows_.end()) {
            gone_[found->second] = true;
            rows_.erase(found);
        }
    }

    // Whoever had the new key before is gone; the row has it from now on.
    void Move(const Change& change) {
        Drop(change.key);
        const auto found = rows_.find(change.old_key);
        if (found == rows_.end()) {
            return;
        }
        const size_t row = found->second;
        rows_.erase(found);
        for (size_t k = 0; k < key_columns_.size(); ++k) {
            chunk_.rows.Row(row)[static_cast<size_t>(key_columns_[k])] = Cell::Value(chunk_.rows.Keep(change.key_texts[k]));
        }
        rows_[change.key] = row;
    }

    void Supply(const Change& change) {
        const auto found = rows_.find(change.key);
        if (found == rows_.end()) {
            return;
        }
        const auto cells = chunk_.rows.Row(found->second);
        bool any_left = false;
        for (size_t i = 0; i < cells.size(); ++i) {
            if (chunk_.schema->columns[i].key_ordinal > 0) {
                continue;
            }
            if (change.unsent.empty() || !change.unsent[i]) {
                cells[i] = Cell::Unchanged();
            }
            any_left = any_left || !cells[i].is_unchanged();
        }
        if (!any_left) {
            Drop(change.key);
        }
    }

    sdk::Chunk& chunk_;
    const std::vector<int> key_columns_;
    std::vector<bool> gone_;
    std::unordered_map<std::string, size_t> rows_;
};

int64_t ChunkWindow::Resolve(sdk::Chunk& chunk, Asked asked) {
    std::optional<Overlay> overlay;
    for (const Change& change : changes_) {
        if (LiesInWindow(change, chunk, asked)) {
            if (!overlay) {
                overlay.emplace(chunk);
            }
            overlay->Lay(change);
        }
    }
    return overlay ? overlay->TakeOut() : 0;
}

void ChunkWindow::Prune(std::span<const sdk::Visibility* const> seen) {
    const auto all_see = [&](uint32_t xid) {
        return std::ranges::all_of(seen, [&](const sdk::Visibility* one) { return one->Sees(xid); });
    };
    std::erase_if(changes_, [&](const Change& change) { return all_see(change.xid); });
    bytes_ = 0;
    for (const Change& change : changes_) {
        bytes_ += static_cast<int64_t>(sizeof(Change) + 2 * change.key.size() + change.old_key.size() +
                                       change.unsent.size() / 8);
    }
    std::erase_if(awaited_, all_see);
}

void ChunkWindow::Repaired(const std::vector<sdk::KeyTexts>& keys) {
    for (const sdk::KeyTexts& key : keys) {
        repairs_.erase(key);
    }
}

}  // namespace millrace::backfill
