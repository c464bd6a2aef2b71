#include "connectors/postgres/refused_search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <utility>

namespace millrace::postgres {
namespace {

using Cells = std::set<std::pair<size_t, size_t>>;

/// A server that refuses certain cells, row by row and from left to right.
class ToyServer final {
 public:
    enum class Tells { kEverything, kRows, kNothing };
    ToyServer(Cells bad, Tells tells) : bad_(std::move(bad)), tells_(tells) {}

    absl::StatusOr<std::optional<Refusal>> Try(const Trial& trial) {
        ++trials;
        for (const auto& [row, column] : bad_) {
            if (row < trial.begin || row >= trial.end || found.contains({row, column}) ||
                (trial.only && *trial.only != column)) {
                continue;
            }
            rows_read += row - trial.begin + 1;
            Refusal refusal{.sqlstate = "22P02", .row = {}, .column = {}};
            if (tells_ != Tells::kNothing) {
                refusal.row = row - trial.begin;
            }
            if (tells_ == Tells::kEverything) {
                refusal.column = column;
            }
            return refusal;
        }
        rows_read += trial.end - trial.begin;
        return std::nullopt;
    }

    Cells Search(size_t rows, size_t columns) {
        const absl::Status status = RefusedSearch(
                                        rows, columns, [this](const Trial& trial) { return Try(trial); },
                                        [this](size_t row, size_t column, const std::string&) {
                                            return found.emplace(row, column).second;
                                        })
                                        .Run();
        EXPECT_TRUE(status.ok()) << status;
        return found;
    }

    Cells found;
    size_t trials = 0;
    size_t rows_read = 0;

 private:
    const Cells bad_;
    const Tells tells_;
};

TEST(RefusedSearch, FindsEveryCellWhateverTheServerTells) {
    const Cells bad = {{0, 0}, {0, 2}, {1, 1}, {4095, 0}, {4096, 2}, {9999, 0}, {9999, 1}, {9999, 2}};
    for (const auto tells :
         {ToyServer::Tells::kEverything, ToyServer::Tells::kRows, ToyServer::Tells::kNothing}) {
        EXPECT_EQ(ToyServer(bad, tells).Search(10'000, 3), bad);
        EXPECT_EQ(ToyServer({}, tells).Search(10'000, 3), Cells());
        EXPECT_EQ(ToyServer({}, tells).Search(0, 3), Cells());
    }
}

TEST(RefusedSearch, ReadsTheRowsAboutOnce) {
    ToyServer few({{50'000, 1}, {99'999, 1}}, ToyServer::Tells::kEverything);
    few.Search(100'000, 2);
    EXPECT_LE(few.trials, 30U);
    EXPECT_LE(few.rows_read, 101'000U);
    Cells all;
    for (size_t row = 0; row < 2'000; ++row) {
        all.emplace(row, 1);
    }
    ToyServer many(all, ToyServer::Tells::kEverything);
    EXPECT_EQ(many.Search(2'000, 2), all);
    EXPECT_LE(many.trials, 2'001U);
}

TEST(RefusedSearch, EndsWhereARowIsRefusedAsAWhole) {
    size_t trials = 0;
    const absl::Status status =
        RefusedSearch(
            8, 2,
            [&](const Trial& trial) -> absl::StatusOr<std::optional<Refusal>> {
                ++trials;
                return trial.only ? std::nullopt
                                  : std::optional(Refusal{.sqlstate = "22000", .row = {}, .column = {}});
            },
            [](size_t, size_t, const std::string&) { return true; })
            .Run();
    EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
    EXPECT_LE(trials, 10U);
}

TEST(ReadContext, FindsOurLineAmongOthers) {
    const auto index = [](std::string_view name) -> std::optional<size_t> {
        return name == "c2" ? std::optional<size_t>(4) : std::nullopt;
    };
    const Refusal plain =
        ReadContext("COPY stage, line 3, column c2: \"COPY stage, line 9\"", "stage", index);
    EXPECT_EQ(plain.row, 2U);
    EXPECT_EQ(plain.column, 4U);
    const Refusal json = ReadContext(
        "JSON data, line 1: COPY stage, line 8\nCOPY stage, line 1, column c2: \"{\"", "stage", index);
    EXPECT_EQ(json.row, 0U);
    EXPECT_EQ(json.column, 4U);
    const Refusal row = ReadContext("COPY stage, line 2", "stage", index);
    EXPECT_EQ(row.row, 1U);
    EXPECT_EQ(row.column, std::nullopt);
    EXPECT_EQ(ReadContext("COPY other, line 2", "stage", index).row, std::nullopt);
    EXPECT_EQ(ReadContext("", "stage", index).row, std::nullopt);
}

TEST(IsValueState, LeavesOutWhatHasOtherReasons) {
    for (const char* state :
         {"22P02", "22003", "23514", "42P01", "42704", "0A000", "54000", "P0001", "3F000"}) {
        EXPECT_TRUE(IsValueState(state)) << state;
    }
    for (const char* state : {"08006", "40001", "53200", "57014", "42501", "XX000", "55P03", "25P02", ""}) {
        EXPECT_FALSE(IsValueState(state)) << state;
    }
}

}  // namespace
}  // namespace millrace::postgres
