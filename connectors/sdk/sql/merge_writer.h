/// The one table writer that every SQL destination shares: fence and checkpoint, additive DDL, stage,
/// resolve, delete, insert in one transaction. Not for: connections (session.h), words of a product
/// (dialect.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "connectors/sdk/destination.h"
#include "connectors/sdk/sql/dialect.h"
#include "connectors/sdk/sql/seen_keys.h"
#include "connectors/sdk/sql/session.h"

namespace millrace::sql {

struct BatchProfile;
struct WantedTable;
class MergeSql;

/// Holds no session between calls: a thousand idle tables cost nothing.
class MergeWriter final : public sdk::TableWriter {
 public:
    /// `sessions` and `dialect` must outlive the writer. Does not connect.
    MergeWriter(SessionProvider& sessions, const Dialect& dialect, sdk::TableTarget target,
                sdk::StreamId stream);

    absl::StatusOr<sdk::Checkpoint> TakeOver() override;
    absl::StatusOr<sdk::ApplyResult> Apply(const sdk::Batch& batch) override;
    absl::StatusOr<std::vector<std::string>> DropColumns(const std::vector<std::string>& names) override;
    absl::StatusOr<sdk::ReplayResult> ReplayDeadLetters(const sdk::SchemaPtr& schema) override;

 private:
    /// The target as this writer last found or made it.
    struct Prepared final {
        uint64_t schema_id = 0;
        /// Column names and types at the destination, in the order of the batch's columns.
        std::vector<std::string> names;
        std::vector<std::string> types;
        /// See ApplyResult.
        std::vector<std::string> dropped_columns;
        std::vector<SeenColumn> key;
        /// Keys are noted until the table's resync ends.
        bool resyncing = false;
    };

    /// kThorough: nothing remembered, everything through a stage. kCellByCell: refused values are sorted out
    /// besides.
    enum class Care { kQuick, kThorough, kCellByCell };

    absl::StatusOr<sdk::Checkpoint> TakeOverWith(SqlSession& session);
    absl::StatusOr<sdk::ApplyResult> ApplyWith(SqlSession& session, const sdk::Batch& batch,
                                               const BatchProfile& profile, Care care);
    /// Another try, or several, with the care that the failure of `result` asks for.
    absl::StatusOr<sdk::ApplyResult> Heal(SqlSession& session, const sdk::Batch& batch, const BatchProfile& profile,
                                          absl::StatusOr<sdk::ApplyResult> result);
    absl::Status DropWith(SqlSession& session, const std::vector<std::string>& names);
    /// Why the checkpoint did not move: a checkpoint that has reached the batch (already applied), or the
    /// error.
    absl::StatusOr<sdk::Checkpoint> ExplainFence(SqlSession& session, const sdk::Batch& batch);
    /// Locks the checkpoint in the open transaction. Errors as of ExplainFence, or CHECKPOINT_MOVED.
    absl::Status HoldCheckpoint(SqlSession& session);
    absl::Status Replay(SqlSession& session, const sdk::SchemaPtr& schema, sdk::ReplayResult& result);
    /// One transaction: letters after the first `stayed`, which stay. Returns how many it looked at; 0 at the end.
    absl::StatusOr<int64_t> ReplayPart(SqlSession& session, const sdk::SchemaPtr& schema, int64_t stayed,
                                       sdk::ReplayResult& result);
    absl::Status Prepare(SqlSession& session, const sdk::Batch& batch, Care care);
    /// What the batch's markers want before its rows are written.
    absl::Status TendResync(SqlSession& session, const sdk::Batch& batch);
    absl::Status Evolve(SqlSession& session, const sdk::Batch& batch, const WantedTable& wanted);
    absl::Status WriteRows(SqlSession& session, const sdk::Batch& batch, const BatchProfile& profile,
                           Care care, sdk::ApplyResult& result);
    /// Merges the rows that may stand there, and appends the others.
    absl::Status WriteApart(SqlSession& session, const MergeSql& sql, const sdk::Batch& batch, sdk::ApplyResult& result);
    /// Writes the batch without the values that the destination refuses, and those as batch.refused says.
    absl::Status WriteSorted(SqlSession& session, const sdk::Batch& batch, sdk::ApplyResult& result);
    absl::Status ChangeToText(SqlSession& session, const sdk::Batch& batch,
                              const std::vector<RefusedCell>& refused);
    /// Fills the unchanged cells of one part of the stage from the target.
    static absl::Status ResolveUnchanged(SqlSession& session, const MergeSql& sql, const LoadTable& stage,
                                         const sdk::Batch& batch, const BatchProfile& profile,
                                         sdk::ApplyResult& result);
    absl::Status MergeStaged(SqlSession& session, const MergeSql& sql, const sdk::Batch& batch,
                             const BatchProfile& profile, sdk::ApplyResult& result);

    SessionProvider& sessions_;
    const Dialect& dialect_;
    const sdk::TableTarget target_;
    const sdk::StreamId stream_;
    /// Epoch and next offset that this writer last stored; nullopt before TakeOver.
    std::optional<sdk::Checkpoint> checkpoint_;
    std::optional<Prepared> prepared_;
    /// Values of the table in the dead letters, as of the last commit; exact, because nobody else adds any.
    int64_t dead_letters_ = 0;
    /// A resync of the table is under way, as of the last commit.
    bool resyncing_ = false;
    /// Columns that the source has no longer, as of the last commit.
    std::vector<std::string> dropped_columns_;
};

}  // namespace millrace::sql
