// Random histories of a table, folded into batches of random sizes and applied, give the table.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "data-plane/apply/fold.h"
#include "data-plane/apply/memory_destination.h"
#include "data-plane/apply/sample_events.h"

namespace millrace::apply {
namespace {

using Row = std::vector<std::optional<std::string>>;

/// The table as the source has it: makes a change, and the event that a source would send for it.
class SourceModel final {
 public:
    explicit SourceModel(bool full_identity) : full_identity_(full_identity) {}

    /// Nullopt when the choice fits no row.
    std::optional<sdk::ChangeEvent> Step(int choice, int key, int other_key, int cells) {
        const std::string id = std::to_string(key);
        const std::string other = std::to_string(other_key);
        const bool there = rows_.contains(id);
        switch (choice) {
            case 0:
                return there ? std::nullopt : std::optional(Put(sdk::Op::kInsert, NewRow(id, cells)));
            case 1:
                return there ? std::nullopt : std::optional(Put(sdk::Op::kRead, NewRow(id, cells)));
            case 2:
                return there ? std::optional(Delete(id)) : std::nullopt;
            case 3:
                return there && !rows_.contains(other) ? std::optional(Update(id, other, cells))
                                                       : std::nullopt;
            case 4:
                rows_.clear();
                return make_.Truncate();
            default:
                return there ? std::optional(Update(id, id, cells)) : std::nullopt;
        }
    }

    [[nodiscard]] const std::map<std::string, Row>& rows() const { return rows_; }

 private:
    std::optional<std::string> Fresh() { return "v" + std::to_string(++values_); }

    Row NewRow(const std::string& id, int cells) {
        Row row{id, Fresh(), Fresh(), Fresh()};
        if ((cells & 1) != 0) {
            row[2] = std::nullopt;
        }
        return row;
    }

    sdk::ChangeEvent Put(sdk::Op op, const Row& row) {
        rows_[*row[0]] = row;
        return make_.Make(op, row, {});
    }

    sdk::ChangeEvent Delete(const std::string& id) {
        const Row old = rows_.extract(id).mapped();
        return full_identity_ ? make_.Make(sdk::Op::kDelete, {}, old) : make_.Delete(id);
    }

    /// Two bits of `cells` for each column: new value, NULL, or the same value, which is not sent where it is
    /// not NULL.
    sdk::ChangeEvent Update(const std::string& from, const std::string& to, int cells) {
        const Row old = rows_.extract(from).mapped();
        Row row = old;
        Row sent = old;
        row[0] = sent[0] = to;
        for (size_t c = 1; c < 4; ++c, cells >>= 2) {
            if ((cells & 3) == 0) {
                row[c] = sent[c] = Fresh();
            } else if ((cells & 3) == 1) {
                row[c] = sent[c] = std::nullopt;
            } else if (old[c]) {
                sent[c] = "~";
            }
        }
        rows_[to] = row;
        if (full_identity_) {
            return make_.Update(old, sent);
        }
        return from == to ? make_.Update(sent) : make_.Move(from, sent);
    }

    bool full_identity_;
    EventMaker make_;
    std::map<std::string, Row> rows_;
    int values_ = 0;
};

std::map<std::string, Row> RowsOf(const MemoryTable& table) {
    std::map<std::string, Row> rows;
    for (const auto& [key, row] : table.rows) {
        rows[*row.at("id")] = {row.at("id"), row.at("status"), row.at("note"), row.at("photo")};
    }
    return rows;
}

void Flush(BatchFolder& folder, bool& only_copy, MemoryTable& table) {
    if (folder.empty()) {
        return;
    }
    only_copy = folder.only_copy() && (only_copy || folder.truncated());
    const absl::StatusOr<sdk::ApplyResult> result = ApplyRows(folder.Seal(only_copy), table);
    RC_ASSERT(result.ok());
    RC_ASSERT(result->holes == 0);
}

void FoldedHistoryGivesTheTable(bool full_identity) {
    SourceModel source(full_identity);
    BatchFolder folder;
    MemoryTable table;
    bool only_copy = true;
    const int keys = *rc::gen::inRange(1, 8);
    const int copied = *rc::gen::inRange(0, 6);
    const auto steps = *rc::gen::container<std::vector<std::tuple<int, int, int, int, bool>>>(
        rc::gen::tuple(rc::gen::weightedElement<int>({{20, 0}, {5, 1}, {15, 2}, {25, 3}, {1, 4}, {34, 5}}),
                       rc::gen::inRange(0, keys), rc::gen::inRange(0, keys), rc::gen::inRange(0, 64),
                       rc::gen::weightedElement<bool>({{1, true}, {6, false}})));
    int64_t offset = 0;
    const auto add = [&](const std::optional<sdk::ChangeEvent>& event, bool flush) {
        if (event) {
            RC_ASSERT(folder.Add(*event, {offset++, 1, nullptr}).ok());
        }
        if (flush) {
            Flush(folder, only_copy, table);
            RC_ASSERT(RowsOf(table) == source.rows());
        }
    };
    for (int i = 0; i < copied; ++i) {
        add(source.Step(1, i, 0, i), i % 3 == 2);
    }
    for (const auto& [choice, key, other_key, cells, flush] : steps) {
        add(source.Step(choice, key, other_key, cells), flush);
    }
    add(std::nullopt, true);
    RC_ASSERT(folder.holes() == 0);
    RC_CLASSIFY(table.append_batches > 0, "appended");
}

TEST(FoldProperty, FoldedHistoryGivesTheTableUnderKeyIdentity) {
    EXPECT_TRUE(rc::check("key identity", [] { FoldedHistoryGivesTheTable(false); }));
}

TEST(FoldProperty, FoldedHistoryGivesTheTableUnderFullIdentity) {
    EXPECT_TRUE(rc::check("full identity", [] { FoldedHistoryGivesTheTable(true); }));
}

}  // namespace
}  // namespace millrace::apply
