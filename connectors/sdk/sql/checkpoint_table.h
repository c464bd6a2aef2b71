/// `_millrace.checkpoints`: where every table stands and who owns it, as a row beside the data.
/// Not for: other tables of ours, Kafka offsets.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "connectors/sdk/destination.h"
#include "connectors/sdk/sql/dialect.h"
#include "connectors/sdk/sql/session.h"

namespace millrace::sql {

/// The present moment as an SQL literal.
std::string NowLiteral();

/// Statements on the checkpoint table; owns nothing, to be made where it is used.
class CheckpointTable final {
 public:
    static constexpr std::string_view kSchema = "_millrace";
    static constexpr std::string_view kTable = "checkpoints";

    CheckpointTable(SqlSession& session, const Dialect& dialect) : session_(session), dialect_(dialect) {}

    [[nodiscard]] absl::StatusOr<bool> Exists();

    /// Makes schema and table in a transaction of its own; safe with several writers at once, cheap when they
    /// exist.
    absl::Status Ensure();

    /// In a transaction of its own: makes the row if it is missing and raises its epoch. An older writer that holds the row
    /// but was stopped or cut off in the middle of its batch loses its session, where the database lets us.
    absl::StatusOr<sdk::Checkpoint> TakeOver(const sdk::StreamId& stream, const sdk::TableTarget& target);

    /// In the caller's transaction: moves the row from `known` to the end of `batch`, under the epoch of
    /// `known`. Returns whether there was such a row; it is locked until the transaction ends.
    absl::StatusOr<bool> Move(const sdk::StreamId& stream, const sdk::Checkpoint& known,
                              const sdk::Batch& batch);

    /// In the caller's transaction: locks the row until the transaction ends; false when it is not at `known`, epoch
    /// and offset.
    absl::StatusOr<bool> Hold(const sdk::StreamId& stream, const sdk::Checkpoint& known);

    /// nullopt when there is no row.
    absl::StatusOr<std::optional<sdk::Checkpoint>> Read(const sdk::StreamId& stream);

    /// Whether the pipeline has a row for the target, whatever its topic.
    absl::StatusOr<bool> Covers(const std::string& pipeline_uid, const sdk::TableTarget& target);

    /// Of the pipeline's rows; none where there is no table.
    absl::StatusOr<std::vector<std::string>> Topics(const std::string& pipeline_uid);

    /// Deletes the pipeline's rows in a transaction of its own.
    absl::Status Remove(const std::string& pipeline_uid);

 private:
    [[nodiscard]] std::string Name() const;
    [[nodiscard]] std::string Where(const sdk::StreamId& stream) const;
    absl::Status Create();
    absl::StatusOr<sdk::Checkpoint> RaiseEpoch(const sdk::StreamId& stream, const sdk::TableTarget& target);

    SqlSession& session_;
    const Dialect& dialect_;
};

}  // namespace millrace::sql
