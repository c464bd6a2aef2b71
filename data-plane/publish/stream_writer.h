/// Takes the source's streamed changes, drops what is durable already, and commits Kafka transactions at the
/// right moments. Not for: copying rows that existed before (table_copier).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "connectors/sdk/source.h"
#include "data-plane/events/event_log.h"
#include "data-plane/publish/transaction_writer.h"

namespace millrace::publish {

class TableBackfill;

/// Of an error: what was published of the table is to be copied anew.
inline constexpr std::string_view kCopyNeededReason = "COPY_NEEDED";

/// Why a copy of one table is wanted before anything more of it is published.
struct WantedCopy final {
    TableState* table = nullptr;
    /// Half a sentence.
    std::string reason;
    sdk::Position position;
};

/// One thread; lives as long as one session.
class StreamWriter final : public sdk::ChangeHandler {
 public:
    /// See sdk::Source::WhyCopyAnew.
    using CopyReason =
        std::function<std::string(const sdk::TableSchema& before, const sdk::TableSchema& after)>;

    /// `tables`: by topic; only those that are `published` are, not those that are held. Outlives the
    /// writer, which keeps their schemas.
    StreamWriter(TransactionWriter& writer, std::map<std::string, TableState>& tables, CopyReason why_copy,
                 const events::Recorder& recorder);

    /// Aborted, reason COPY_NEEDED: the change was not taken, because rows of its table differ from what was
    /// published; see wanted_copy.
    absl::Status OnChange(const sdk::ChangeEvent& event) override;
    absl::Status OnCommit(uint64_t commit, uint64_t end, int64_t commit_time_us) override;
    absl::Status OnProgress(uint64_t position) override;

    /// From now on changes of its table pass `backfill` on their way, and it learns of every boundary between two
    /// transactions, until Dismiss.
    void Attend(TableBackfill& backfill);
    void Dismiss(const TableBackfill& backfill);

    /// To be called after every Poll; `drained`: nothing more is waiting at the source. Commits when that is
    /// due.
    absl::Status CommitIfDue(bool drained);
    /// How long the next Poll may wait so that CommitIfDue comes in time.
    [[nodiscard]] std::chrono::milliseconds PollTimeout() const;
    /// Commits whatever is open.
    absl::Status Finish();

    [[nodiscard]] const std::optional<WantedCopy>& wanted_copy() const { return wanted_copy_; }

    [[nodiscard]] int64_t events() const { return events_; }
    /// A change came of a table that is none of ours: the list of tables may be out of date. Asked once.
    [[nodiscard]] bool TakeStrange() { return std::exchange(strange_, false); }

 private:
    struct Route final {
        sdk::SchemaPtr schema;
        TableState* table = nullptr;
        /// While the table's rows are being read.
        TableBackfill* backfill = nullptr;
        /// A record of this schema was written: the table's state knows it.
        bool noted = false;
    };
    Route& RouteOf(const sdk::SchemaPtr& schema);
    void ForgetRoutes();
    absl::Status CheckShape(const Route& route, const sdk::ChangeEvent& event);
    absl::Status WantCopy(TableState& table, std::string reason, const sdk::Position& position);
    absl::Status AtBoundary();

    TransactionWriter& writer_;
    std::unordered_map<std::string, TableState*> tables_;
    std::unordered_map<const sdk::TableSchema*, Route> routes_;
    Route* last_route_ = nullptr;
    std::vector<TableBackfill*> backfills_;
    CopyReason why_copy_;
    std::optional<WantedCopy> wanted_copy_;
    /// A transaction ended with nothing of it left to commit: worth a commit of its own, so that waiters see
    /// it.
    bool progress_due_ = false;
    /// The source moved on outside transactions.
    bool progress_idle_ = false;
    int64_t events_ = 0;
    const events::Recorder& recorder_;
    bool strange_ = false;
};

}  // namespace millrace::publish
