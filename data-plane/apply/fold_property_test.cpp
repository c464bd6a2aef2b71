// Random histories of a table, folded into batches of random sizes and applied, give the table.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "data-plane/apply/fold.h"
#include "data-plane/apply/memory_destination.h"
#include "data-plane/apply/source_model.h"

namespace millrace::apply {
namespace {

using Change = SourceModel::Change;

std::map<std::string, SampleRow> RowsOf(const MemoryTable& table) {
    std::map<std::string, SampleRow> rows;
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
    const auto steps = *rc::gen::container<std::vector<std::tuple<Change, int, int, int, bool>>>(
        rc::gen::tuple(rc::gen::weightedElement<Change>({{20, Change::kInsert},
                                                         {5, Change::kRead},
                                                         {15, Change::kDelete},
                                                         {25, Change::kMove},
                                                         {1, Change::kTruncate},
                                                         {34, Change::kUpdate}}),
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
        add(source.Make(Change::kRead, i, 0, i), i % 3 == 2);
    }
    for (const auto& [change, key, other_key, cells, flush] : steps) {
        add(source.Make(change, key, other_key, cells), flush);
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
