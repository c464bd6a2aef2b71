/// Puts the rows of one table that existed before into its topic while the stream of its changes goes on. Not for: what the
/// changes mean for the rows (backfill/chunk_window), copies under a slot's snapshot (table_copier).
#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/metrics.h"
#include "connectors/sdk/source.h"
#include "data-plane/backfill/chunk_fetcher.h"
#include "data-plane/backfill/chunk_window.h"
#include "data-plane/backfill/rate_limit.h"
#include "data-plane/publish/publisher.h"
#include "data-plane/publish/transaction_writer.h"

namespace millrace::publish {

inline constexpr std::string_view kBackfillRefusedReason = "BACKFILL_REFUSED";

/// What is known of a backfill that has begun, whether it is being tended or not.
BackfillFacts FactsOf(const BackfillState& progress);

/// One thread, the stream's. Errors end the session; the next one goes on behind the last chunk that is durable.
class TableBackfill final {
 public:
    /// What it needs of the session.
    struct Surroundings final {
        sdk::Source& source;
        TransactionWriter& writer;
        FactsBoard& board;
        base::Counter& rows;
        const events::Recorder& recorder;
        const config::BackfillRules& rules;
        /// Of all tables together.
        backfill::RateLimit& rate;
    };

    /// Between two transactions. A table whose `state` has no backfill is begun, with the shape `now`: behind a truncate marker,
    /// or, where it `stands` and RowsStay, between those of a resync.
    static absl::StatusOr<std::unique_ptr<TableBackfill>> Begin(const Surroundings& surroundings,
                                                                const sdk::SourceTable& table, TableState& state,
                                                                std::unique_ptr<sdk::ChunkReader> reader,
                                                                const sdk::SchemaPtr& now, bool stands);

    [[nodiscard]] TableState& state() { return state_; }
    [[nodiscard]] const TableState& state() const { return state_; }
    /// Whether a change of the table is to be written: not what every chunk to come contains.
    [[nodiscard]] bool Wants(const sdk::ChangeEvent& event) const { return !begun_at_ || !begun_at_->Sees(event.xid); }
    /// A change of the table was written. Unavailable: more of them were to be remembered than there is room for; the next
    /// session goes on.
    absl::Status Observe(const sdk::ChangeEvent& event);
    /// Between two transactions: writes the chunk that is there, once the stream is past it. Aborted, reason COPY_NEEDED, with
    /// why in the message: rows that were read already may have other values now.
    absl::Status OnBoundary();
    /// To be called often: asks for the next chunk, if one `may` be read now, and makes an idle source's stream move. Errors as of
    /// OnBoundary, and Aborted, reason BACKFILL_REFUSED: the choice of rows cannot be read; Cancel it.
    absl::Status Tend(bool may_read);
    /// All of its rows are written, or it was cancelled.
    [[nodiscard]] bool done() const { return done_at_.has_value(); }
    /// And in Kafka for good.
    [[nodiscard]] bool durable() const { return done() && surroundings_.writer.last_commit() > *done_at_; }
    /// Tells that the table is copied.
    void ShowCopied();

    /// Asks for nothing more until it goes on again; what is on its way is written.
    void Pause(bool paused);
    /// Between two transactions: reads no more. What was written stays.
    absl::Status Cancel();
    [[nodiscard]] bool cancelled() const { return cancelled_; }
    /// As shown last.
    [[nodiscard]] const BackfillFacts& facts() const { return facts_; }
    [[nodiscard]] const sdk::SourceTable& table() const { return table_; }
    /// Of chosen rows only; before and after it is done.
    [[nodiscard]] bool chosen() const { return chosen_; }

    /// What this session did of it.
    struct Counts final {
        int64_t chunks = 0;
        /// Rows that changes had overtaken as a whole.
        int64_t overtaken = 0;
        int64_t repaired = 0;
        /// Also those that repairs read again.
        int64_t rows = 0;
    };
    [[nodiscard]] const Counts& counts() const { return counts_; }

 private:
    TableBackfill(const Surroundings& surroundings, const sdk::SourceTable& table, TableState& state,
                  std::unique_ptr<sdk::ChunkReader> reader, const sdk::Sight& sight);

    [[nodiscard]] sdk::Position NextPosition();
    absl::Status BeginWith(const sdk::SchemaPtr& schema, bool stands);
    absl::StatusOr<sdk::Position> WriteMarker(sdk::Op op, const sdk::SchemaPtr& schema);
    [[nodiscard]] bool MayAsk(std::chrono::steady_clock::time_point now);
    absl::Status TakeAnswer();
    absl::Status TakeFailure(const absl::Status& status);
    [[nodiscard]] sdk::ChunkRequest NextRequest();
    absl::Status WriteReady();
    /// Whether the chunk can be written as it is.
    absl::StatusOr<bool> Judge(const sdk::Chunk& chunk);
    absl::Status WriteRows(sdk::Chunk& chunk);
    absl::Status Advance(const sdk::Chunk& chunk);
    void AdaptTo(const sdk::Chunk& chunk, std::chrono::steady_clock::duration took);
    void ReadAgainIn(std::chrono::milliseconds pause);
    void Show(bool copied);
    [[nodiscard]] BackfillFacts FactsNow();
    /// Rows a second in the last seconds.
    double RateNow(std::chrono::steady_clock::time_point now);

    const Surroundings surroundings_;
    const sdk::SourceTable table_;
    TableState& state_;
    /// Of a backfill that this session has begun.
    std::optional<sdk::Visibility> begun_at_;
    backfill::ChunkWindow window_;
    backfill::ChunkFetcher fetcher_;
    /// Changes committed below this position have gone by unobserved.
    const uint64_t tracked_from_;
    /// Read and not written yet, in their order.
    std::deque<sdk::Chunk> ready_;
    /// What is on its way was asked for behind a chunk that is read again.
    bool in_vain_ = false;
    /// Where the next chunk begins: ahead of the cursor, which is behind the last chunk written.
    sdk::KeyTexts read_up_to_;
    sdk::KeyTexts bound_;
    bool read_all_ = false;
    /// The keys that were asked for last, of a repair.
    std::vector<sdk::KeyTexts> asked_keys_;
    /// Of a repair that did not fit into one chunk.
    sdk::KeyTexts repaired_up_to_;
    int64_t max_rows_;
    Counts counts_;
    bool paused_ = false;
    bool cancelled_ = false;
    /// Why the choice of rows cannot be read.
    std::string refused_;
    const bool chosen_;
    const std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
    /// When chunks were written lately, and how many rows had been until then.
    std::deque<std::pair<std::chrono::steady_clock::time_point, int64_t>> pace_;
    BackfillFacts facts_;
    uint64_t counted_ = 0;
    /// Nothing when the table was left, to be copied anew: that is no end.
    std::optional<std::chrono::steady_clock::time_point> done_at_;
    std::chrono::steady_clock::time_point ask_from_{};
    std::chrono::steady_clock::time_point nudge_from_{};
    std::chrono::milliseconds pause_{};
};

}  // namespace millrace::publish
