/// Text of the statements that write one batch. Not for: running them (merge_writer), DDL (schema_plan).
#pragma once

#include <string>
#include <vector>

#include "connectors/sdk/batch.h"
#include "connectors/sdk/sql/dialect.h"
#include "connectors/sdk/sql/session.h"

namespace millrace::sql {

/// The shape of a batch, taken in one pass before anything is sent.
struct BatchProfile final {
    int64_t full = 0;
    int64_t partial = 0;
    int64_t gone = 0;
    /// Columns that occur unchanged, ascending.
    std::vector<int> unchanged;
    /// Bytes of all values.
    size_t bytes = 0;
};

/// Internal, reason BATCH_INVALID, where the batch breaks its own contract (an unchanged cell in a full row
/// or in a key, a row without its place, a key row in an append batch): written as it is it would store a
/// NULL that nobody meant.
absl::StatusOr<BatchProfile> ProfileBatch(const sdk::Batch& batch);

/// Statements for one table and schema. Columns of the stages are called by index, so that no name of a
/// user's column can meet a name of ours.
class MergeSql final {
 public:
    /// `names` and `types` as at the destination, in the order of the batch's columns.
    MergeSql(const Dialect& dialect, const sdk::TableTarget& target, const sdk::TableSchema& schema,
             const std::vector<std::string>& names, const std::vector<std::string>& types);

    /// The target itself, for appending.
    [[nodiscard]] LoadTable Target() const;
    /// Every row of a batch: n (row number), gone, c0, c1, ….
    [[nodiscard]] LoadTable Stage() const;
    /// The stage as it is made: whole, or divided where that would have more columns than a table may. Each part has n;
    /// the first has gone and the key.
    [[nodiscard]] std::vector<LoadTable> Stages() const;
    /// Those of `unchanged` whose cells stand in that part.
    [[nodiscard]] static std::vector<int> UnchangedIn(const LoadTable& stage, const std::vector<int>& unchanged);
    /// The partial rows: n, k0, k1, … (source key), u0, u1, … (one per column that occurs unchanged).
    [[nodiscard]] LoadTable PartialStage(const std::vector<int>& unchanged) const;

    [[nodiscard]] std::string Truncate() const;
    /// Fills the unchanged cells of `stage` (a part) from the target; touches each partial row that has its row
    /// there.
    [[nodiscard]] std::string Resolve(const LoadTable& stage, const std::vector<int>& unchanged) const;
    /// Number of unchanged cells that have no row to come from.
    [[nodiscard]] std::string CountHoles(const std::vector<int>& unchanged) const;
    [[nodiscard]] std::string DeleteStaged() const;
    [[nodiscard]] std::string InsertStaged() const;

    /// Numbers of the staged rows whose key stands in the target.
    [[nodiscard]] std::string StagedThere() const;
    /// Gives rows of the target one cell of the staged rows `numbers`.
    [[nodiscard]] std::string UpdateStaged(size_t column, const std::vector<size_t>& numbers) const;
    /// The staged rows `numbers` alone.
    [[nodiscard]] std::string InsertStaged(const std::vector<size_t>& numbers) const;

    /// DELETE and INSERT of a batch without unchanged cells, values as literals.
    [[nodiscard]] std::string Inline(const sdk::Batch& batch, bool delete_first) const;

 private:
    [[nodiscard]] std::string Quoted(size_t column) const { return dialect_.QuoteIdentifier(names_[column]); }
    [[nodiscard]] std::string TargetColumns() const;
    [[nodiscard]] std::string OnSourceKey() const;
    [[nodiscard]] LoadColumn StagedCell(size_t column) const;
    [[nodiscard]] std::string OnStagedKey() const;
    [[nodiscard]] std::string InlineDelete(const sdk::Batch& batch) const;
    [[nodiscard]] std::string InlineInsert(const sdk::Batch& batch) const;

    const Dialect& dialect_;
    const sdk::TableTarget& target_;
    const sdk::TableSchema& schema_;
    const std::vector<std::string>& names_;
    const std::vector<std::string>& types_;
    const std::vector<int> key_;
    const std::string into_;
};

/// SqlSession::FindRefused over all parts of the stage; columns are those of the whole one.
absl::StatusOr<std::vector<RefusedCell>> FindRefusedStaged(SqlSession& session, const MergeSql& sql, sdk::Batch& batch);

}  // namespace millrace::sql
