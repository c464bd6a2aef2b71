/// Copies tables as they stood at one position of the source's log, through Kafka like any change.
/// Not for: streaming (stream_writer).
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "connectors/sdk/source.h"
#include "data-plane/publish/publisher.h"
#include "data-plane/publish/transaction_writer.h"

namespace millrace::publish {

/// Commit position of rows copied at `at`: below every streamed change, whose commit record may start exactly
/// at `at`.
uint64_t CopyCommit(uint64_t at);

/// Used inside an open copy (Source::BeginCopy).
class TableCopier final : private sdk::ChangeHandler {
 public:
    /// `keep_alive` is called every 500 ms while rows flow and between tables; its error stops the copy.
    TableCopier(sdk::Source& source, TransactionWriter& writer, FactsBoard& board, base::Counter& rows,
                const events::Recorder& recorder, std::function<absl::Status()> keep_alive);

    /// Puts a marker at (CopyCommit(at), 0) and every row at (CopyCommit(at), 1…n) into the table's topic and records the table
    /// as copied. The marker is a truncate; or, where the table `stands` and RowsStay, that of a resync, whose end stands behind
    /// the rows. Kafka transactions are committed on the way; the last one is left open for the caller to commit.
    absl::Status Copy(const sdk::SourceTable& table, uint64_t at, TableState& state, bool stands);

 private:
    absl::Status OnChange(const sdk::ChangeEvent& event) override;
    absl::Status OnCommit(uint64_t, uint64_t, int64_t) override { return absl::OkStatus(); }
    absl::Status OnProgress(uint64_t) override { return absl::OkStatus(); }
    void ShowRows(bool copied, bool append_only);
    [[nodiscard]] bool KeepAliveIsDue() const;
    absl::Status TendStream();
    absl::Status CommitIfDue();

    sdk::Source& source_;
    TransactionWriter& writer_;
    FactsBoard& board_;
    base::Counter& rows_;
    const events::Recorder& recorder_;
    std::function<absl::Status()> keep_alive_;
    TableState* state_ = nullptr;
    uint64_t at_ = 0;
    std::chrono::steady_clock::time_point last_keep_alive_{};
    uint64_t counted_ = 0;
    /// Of the present table among the board's.
    size_t place_ = 0;
};

}  // namespace millrace::publish
