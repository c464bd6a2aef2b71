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
#include "data-plane/backfill/chunk_window.h"
#include "data-plane/backfill/key_range.h"
#include "data-plane/backfill/range_reader.h"
#include "data-plane/backfill/rate_limit.h"
#include "data-plane/backfill/strain.h"
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

    struct Beginning final {
        /// What the reader saw last; of a table without a key nothing is `ending` in it.
        const sdk::Sight& sight;
        /// Of a table of which nothing has been read: its shape.
        sdk::SchemaPtr shape;
        /// Its rows stay where they stand until they have come again, if they may: see RowsStay.
        bool stands = false;
        /// The parts that are read beside each other.
        std::vector<backfill::KeyRange> ranges;
    };
    /// Between two transactions. A table whose `state` has no backfill is begun: behind a truncate marker, or between those of a
    /// resync.
    static absl::StatusOr<std::unique_ptr<TableBackfill>> Begin(const Surroundings& surroundings,
                                                                const sdk::SourceTable& table, TableState& state,
                                                                std::unique_ptr<sdk::ChunkReader> reader, Beginning beginning);

    /// Into how many ranges a table is to be divided, so that each takes a few chunks.
    [[nodiscard]] static int RangesFor(const sdk::SourceTable& table, const config::BackfillRules& rules);
    /// How many readers it has, and whether another one would find something to do.
    [[nodiscard]] size_t readers() const { return readers_.size(); }
    [[nodiscard]] bool WantsReader() const;
    void AddReader(std::unique_ptr<sdk::ChunkReader> reader);
    /// All but one end as soon as they can, for the sake of other tables.
    void GiveReadersBack(bool wanted) { gives_back_ = wanted; }

    [[nodiscard]] TableState& state() { return state_; }
    [[nodiscard]] const TableState& state() const { return state_; }
    /// Whether a change of the table is to be written: not what every chunk to come contains.
    [[nodiscard]] bool Wants(const sdk::ChangeEvent& event) const { return !begun_at_ || !begun_at_->Sees(event.xid); }
    /// The rows that are read are not the table's any more after that change: it is to be copied anew.
    [[nodiscard]] bool IsUndoneBy(const sdk::ChangeEvent& event) const;
    /// A change of the table was written. Unavailable: more of them were to be remembered than there is room for; the next
    /// session goes on.
    absl::Status Observe(const sdk::ChangeEvent& event);
    /// Between two transactions: writes the chunk that is there, once the stream is past it. Aborted, reason COPY_NEEDED, with
    /// why in the message: rows that were read already may have other values now.
    absl::Status OnBoundary();
    /// To be called often: asks for the next chunk, if one `may` be read now, and makes an idle source's stream move. Of all tables
    /// together so many `readers` are in use. Errors as of OnBoundary, and Aborted, reason BACKFILL_REFUSED: the choice of rows
    /// cannot be read; Cancel it.
    absl::Status Tend(bool may_read, size_t readers);
    /// All of its rows are written, or it was cancelled.
    [[nodiscard]] bool done() const { return done_at_.has_value(); }
    /// And in Kafka for good.
    [[nodiscard]] bool durable() const { return done() && surroundings_.writer.last_commit() > *done_at_; }
    /// Tells that the table is copied.
    void ShowCopied();

    /// It has no key: all rows are of one snapshot, and nobody can go on with it in another session.
    [[nodiscard]] bool append_only() const { return table_.key.empty(); }
    /// And is being read: what has been is lost with this session.
    [[nodiscard]] bool StartsOver() const { return append_only() && !done() && !paused_; }

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
                  const sdk::Sight& sight);

    [[nodiscard]] sdk::Position NextPosition();
    absl::Status BeginWith(Beginning beginning);
    absl::StatusOr<sdk::Position> WriteMarker(sdk::Op op, const sdk::SchemaPtr& schema);
    [[nodiscard]] std::optional<size_t> NextRange() const;
    /// Gives readers without a range the next one, and lets those go that are not needed.
    void PlaceReaders();
    [[nodiscard]] bool MayAsk(std::chrono::steady_clock::time_point now) const;
    /// Asks for what `reader` can read now.
    void Ask(backfill::RangeReader& reader);
    [[nodiscard]] sdk::ChunkRequest LimitsNow() const;
    void NameRepairs(sdk::ChunkRequest& request);
    absl::Status TakeAnswer(backfill::RangeReader& reader);
    absl::Status TakeFailure(const absl::Status& status);
    /// Makes an idle source's stream move, with which chunks that are there stand still.
    absl::Status Nudge(std::chrono::steady_clock::time_point now);
    absl::Status WriteReady();
    /// Whether the chunk can be written as it is.
    absl::StatusOr<bool> Judge(backfill::RangeReader& reader);
    absl::Status Write(backfill::RangeReader& reader);
    void Forget(const sdk::Visibility& seen);
    absl::Status WriteRows(sdk::Chunk& chunk);
    absl::Status Advance(backfill::RangeReader& reader, const sdk::Chunk& chunk);
    void AdvanceRange(backfill::RangeReader& reader, const sdk::Chunk& chunk);
    void AdvanceRepairs(const sdk::Chunk& chunk);
    void AdaptTo(const sdk::Chunk& chunk, std::chrono::steady_clock::duration took);
    void ReadAgainIn(backfill::RangeReader& reader, std::chrono::milliseconds pause);
    void Show(bool copied);
    [[nodiscard]] BackfillFacts FactsNow();
    /// Rows a second in the last seconds.
    double RateNow(std::chrono::steady_clock::time_point now);

    const Surroundings surroundings_;
    const sdk::SourceTable table_;
    TableState& state_;
    /// Of a backfill that this session has begun.
    std::optional<sdk::Visibility> begun_at_;
    uint64_t shape_id_ = 0;
    backfill::ChunkWindow window_;
    /// The first one also reads repairs.
    std::vector<std::unique_ptr<backfill::RangeReader>> readers_;
    bool gives_back_ = false;
    /// Whose chunk is written next.
    size_t turn_ = 0;
    size_t readers_of_all_ = 1;
    backfill::Strain strain_;
    /// Of the chunk that came last.
    sdk::Visibility newest_;
    /// Changes committed below this position have gone by unobserved, or were forgotten because a chunk had seen them.
    uint64_t tracked_from_;
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
    /// Of a table without a key: when, and why, it is to be begun anew.
    std::optional<std::pair<std::chrono::steady_clock::time_point, std::string>> given_up_;
    const bool chosen_;
    const std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
    /// When chunks were written lately, and how many rows had been until then.
    std::deque<std::pair<std::chrono::steady_clock::time_point, int64_t>> pace_;
    BackfillFacts facts_;
    uint64_t counted_ = 0;
    /// Nothing when the table was left, to be copied anew: that is no end.
    std::optional<std::chrono::steady_clock::time_point> done_at_;
    std::chrono::steady_clock::time_point ask_from_{};
    /// While chunks are there that the stream has not passed.
    std::optional<std::chrono::steady_clock::time_point> nudge_from_;
    std::chrono::milliseconds pause_{};
};

}  // namespace millrace::publish
