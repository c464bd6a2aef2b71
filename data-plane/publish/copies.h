/// How the rows that existed before come into the topics: all at once under one snapshot, or chunk by chunk while the stream
/// goes on. Not for: which tables those are (table_set), how one is read (table_copier, table_backfill).
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/metrics.h"
#include "connectors/sdk/source.h"
#include "data-plane/events/event_log.h"
#include "data-plane/publish/publisher.h"
#include "data-plane/publish/stream_writer.h"
#include "data-plane/publish/table_backfill.h"
#include "data-plane/publish/table_set.h"
#include "data-plane/publish/transaction_writer.h"

namespace millrace::publish {

/// Of one session; one thread.
class Copies final {
 public:
    struct Surroundings final {
        sdk::Source& source;
        TransactionWriter& writer;
        TableSet& tables;
        FactsBoard& board;
        const events::Recorder& recorder;
        base::Counter& rows;
        /// How often, one session after the other, the copy of tables could not begin for transactions that ran.
        int& put_off;
        /// Called while rows flow under a snapshot; its error stops the copy.
        std::function<absl::Status()> keep_alive;
    };

    explicit Copies(Surroundings surroundings);
    ~Copies();

    /// All of `tables` under the copy that is open at the source and stands at `at`.
    absl::Status CopyAll(const std::vector<const sdk::SourceTable*>& tables, uint64_t at);

    /// Before the stream: of the tables that are to be copied, those that can be read while it goes on are queued, the
    /// others copied.
    absl::Status CopyMissing();
    /// While it goes on, after every poll: takes the queued ones forward. Aborted, reason COPY_NEEDED: see LeaveCurrent.
    absl::Status Tend(StreamWriter& stream);
    /// A table's rows are being read.
    [[nodiscard]] bool tending() const { return backfill_ != nullptr; }
    /// The table being read is copied anew, for this reason.
    absl::Status LeaveCurrent(const absl::Status& why);

    /// Nothing more of the table is published until it has been copied anew, by the next session.
    absl::Status Leave(const WantedCopy& wanted);

 private:
    absl::Status CopyUnderSnapshot(const std::vector<const sdk::SourceTable*>& missing);
    /// Takes the tables out of `missing` that can be read while the stream goes on.
    absl::Status Queue(std::vector<const sdk::SourceTable*>& missing);
    absl::Status BeginNext(StreamWriter& stream);
    void RecordWhyAnew(const sdk::SourceTable& table, const TableState& state) const;
    void RecordAnew(const TableState& table, const std::string& reason, const sdk::Position& position) const;
    void RecordOf(const TableState& table, events::EventType type, std::string message, uint64_t at) const;

    const Surroundings surroundings_;
    /// Tables whose rows are still to be read, and the one of which they are.
    std::deque<const sdk::SourceTable*> queue_;
    std::unique_ptr<TableBackfill> backfill_;
};

}  // namespace millrace::publish
