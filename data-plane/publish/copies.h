/// How the rows that existed before come into the topics: all at once under one snapshot, or chunk by chunk while the stream
/// goes on. Not for: which tables those are (table_set), how one is read (table_copier, table_backfill).
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/metrics.h"
#include "connectors/sdk/source.h"
#include "data-plane/backfill/rate_limit.h"
#include "data-plane/config/pipeline_config.h"
#include "data-plane/events/event_log.h"
#include "data-plane/publish/publisher.h"
#include "data-plane/publish/stream_writer.h"
#include "data-plane/publish/table_backfill.h"
#include "data-plane/publish/table_copier.h"
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
        const config::BackfillRules& rules;
        /// How often, one session after the other, the copy of tables could not begin for transactions that ran.
        int& put_off;
        /// Called while rows flow under a snapshot; its error stops the copy.
        std::function<absl::Status()> keep_alive;
    };

    explicit Copies(Surroundings surroundings);
    ~Copies();

    /// Under the first copy, which is open at the source and stands at `at`: of `tables` those that can only be read so, and
    /// as many small ones as do not keep it open for long.
    absl::Status CopyFirst(const std::vector<const sdk::SourceTable*>& tables, uint64_t at);

    /// Before the stream: of the tables that are to be copied, those that can be read while it goes on are queued, the
    /// others copied.
    absl::Status CopyMissing();
    /// While it goes on, after every poll: takes the queued ones forward; chunks are asked for if they `may` be read now. Aborted, reason COPY_NEEDED: one was left, see
    /// Leave.
    absl::Status Tend(StreamWriter& stream, bool may_read);
    /// Tells of those that have ended and are durable. Tend does so, too; also to be called at the session's end.
    void Settle(StreamWriter& stream);
    /// Rows are being read.
    [[nodiscard]] bool tending() const { return !going_on_.empty() || opening_.valid(); }

    /// Another session would have to begin with a table anew that this one is reading: whatever can wait is to wait for its end.
    [[nodiscard]] bool IsNotToBeInterrupted() const;
    /// Such a table is to be copied anew all the same.
    [[nodiscard]] bool IsInterruptedByWish() const;

    /// Sets the gauges of the tables of which rows are read; to be called now and then.
    void ReportOn(base::Metrics& metrics, const std::string& pipeline) const;
    /// Tells of the tables that wait.
    void ShowQueue();

    /// Nothing more of the table is published until it has been copied anew, by the next session.
    absl::Status Leave(const WantedCopy& wanted);

 private:
    struct Division final {
        /// Read faster than a session for them is made.
        std::deque<const sdk::SourceTable*> small;
        /// Cannot be read in chunks.
        std::vector<const sdk::SourceTable*> whole;
        std::vector<const sdk::SourceTable*> in_chunks;
    };
    absl::StatusOr<Division> Divide(const std::vector<const sdk::SourceTable*>& tables);
    /// All of `whole`, and of `small` as many as there is time for; they are taken out.
    absl::Status CopyOpen(Division& tables, uint64_t at);
    absl::Status CopyOne(TableCopier& copier, const sdk::SourceTable& table, uint64_t at, bool told);
    absl::Status CopyUnderSnapshot(Division& missing);
    /// They are read while the stream goes on.
    absl::Status Queue(const sdk::SourceTable& table);
    /// Puts connections that nobody has to use: for the first of the queue, else for one that is being read and can use another.
    void OpenNext();
    /// Once the connection is there.
    absl::Status UseOpened(StreamWriter& stream);
    [[nodiscard]] TableBackfill* BackfillOf(const sdk::SourceTable& table);
    [[nodiscard]] const sdk::SourceTable* WhoWantsReader();
    [[nodiscard]] size_t ReadersInUse() const;
    /// The place in the queue of the table that is begun next; its size when none is to be.
    [[nodiscard]] size_t NextInQueue() const;
    /// Carries out what the verbs want of backfills now. Between two transactions.
    absl::Status TakeOrders();
    absl::Status TakeOrder(const config::TableOverride& wanted);
    absl::Status TakeCancel(const sdk::SourceTable& table);
    /// Chosen rows of a table that is copied are to be read again.
    absl::Status Choose(const sdk::SourceTable& table, const config::TableOverride& wanted);
    absl::Status GiveUp(TableBackfill& backfill, const std::string& why);
    struct Opened final {
        std::unique_ptr<sdk::ChunkReader> reader;
        std::vector<backfill::KeyRange> ranges;
    };
    /// Any thread.
    static absl::StatusOr<Opened> Open(sdk::Source& source, const sdk::SourceTable& table, int pieces);
    absl::Status Begin(StreamWriter& stream, const sdk::SourceTable& table, Opened opened);
    absl::Status TendOne(TableBackfill& backfill, bool may_read);
    void End(StreamWriter& stream, TableBackfill& backfill);
    void RecordWhyAnew(const sdk::SourceTable& table, const TableState& state) const;
    void RecordAnew(const TableState& table, const std::string& reason, const sdk::Position& position) const;
    void RecordOf(const TableState& table, events::EventType type, std::string message, uint64_t at) const;

    const Surroundings surroundings_;
    backfill::RateLimit rate_;
    /// Tables whose rows are still to be read, and those of which they are.
    std::deque<const sdk::SourceTable*> queue_;
    /// Made on a thread of its own, because the stream does not wait for a server that is away.
    std::future<absl::StatusOr<Opened>> opening_;
    const sdk::SourceTable* opening_for_ = nullptr;
    /// Not its first.
    bool opening_another_ = false;
    std::chrono::steady_clock::time_point open_from_{};
    std::chrono::milliseconds wait_for_them_{};
    std::chrono::steady_clock::time_point look_from_{};
    /// Tables that are cancelled as soon as they have begun.
    std::set<const sdk::SourceTable*> cancelled_in_queue_;
    /// Version of the wanted overrides that was looked at last.
    std::optional<uint64_t> orders_taken_;
    std::vector<std::unique_ptr<TableBackfill>> going_on_;
};

}  // namespace millrace::publish
