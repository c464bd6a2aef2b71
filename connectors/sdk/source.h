/// Contract of a source: a database whose committed changes are read from its log, in commit order.
/// Not for: routing, encoding or delivery (data-plane/publish).
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "connectors/sdk/change_event.h"
#include "connectors/sdk/chunk.h"
#include "connectors/sdk/finding.h"
#include "connectors/sdk/options.h"

namespace millrace::sdk {

/// Globs over "schema.table" ('*' and '?'); a table is selected when a `tables` glob matches and no `exclude` glob does.
struct TableSelection final {
    std::vector<std::string> tables;
    std::vector<std::string> exclude;
    /// "schema.table" → name of the unique index whose columns are its key, where the user chose one.
    std::map<std::string, std::string> keys = {};
    [[nodiscard]] bool Selects(const std::string& schema, const std::string& table) const;
};

struct SourceTable final {
    std::string schema;
    std::string table;
    int64_t estimated_rows = -1;
    int64_t bytes = 0;
    /// Names of the columns that identify a row; empty = append-only.
    std::vector<std::string> key;
    /// The source's id of the table (see TableSchema::source_table_id); 0 = unknown.
    uint64_t id = 0;
    /// The unique index that the user chose as key (TableSelection::keys); "" = the table's own.
    std::string key_index = {};
    /// See TableSchema::storage; "" = unknown.
    std::string storage = {};
    /// Differs once changes of the table may have been left out of the stream, by somebody who altered what the stream holds;
    /// 0 = the table is not in the stream, or the source cannot say.
    uint64_t stream_entry = 0;
    /// Columns that a copy leaves out.
    std::vector<std::string> excluded = {};
    /// Differs when the pipeline's column rules for the table do; 0 = none.
    uint64_t column_policy = 0;

    [[nodiscard]] std::string DisplayName() const { return schema + "." + table; }
};

/// Which database this is; a resume against another one is refused.
struct SourceIdentity final {
    std::string system_id;
    uint32_t timeline = 0;
};

/// Receives what a source reads. Every call may block for backpressure but must return within a second or so (the source
/// sends its keepalives between calls); an error ends the Poll or CopyTable that made the call.
class ChangeHandler {
  public:
    virtual ~ChangeHandler() = default;
    /// One change; `event` and its views are valid during the call.
    virtual absl::Status OnChange(const ChangeEvent& event) = 0;
    /// The transaction whose changes came since the last OnCommit is whole. Acknowledge(end) frees its log.
    virtual absl::Status OnCommit(uint64_t commit, uint64_t end, int64_t commit_time_us) = 0;
    /// Outside any transaction: everything committed below `position` has been handed over.
    virtual absl::Status OnProgress(uint64_t position) = 0;
};

/// Log that the source keeps for us, for status and alarms.
struct RetainedLog final {
    std::string durable_position;
    std::string source_position;
    int64_t bytes = 0;
};

/// One source of one pipeline. Used by one thread. `stream` (the pipeline id) names what it makes at the source (slot,
/// publications), so that two pipelines never share them.
class Source {
  public:
    virtual ~Source() = default;

    /// Runs every check and never stops at the first failure unless the next check is impossible; connection failures are
    /// findings too.
    virtual Findings Preflight(const TableSelection& selection) = 0;

    /// Tables selected now, in name order.
    virtual absl::StatusOr<std::vector<SourceTable>> ListTables(const TableSelection& selection) = 0;

    /// Names of the columns of each table as they are now, in that order; none where a table is gone.
    virtual absl::StatusOr<std::vector<std::vector<std::string>>> ListColumns(const std::vector<SourceTable>& tables) = 0;

    virtual absl::StatusOr<SourceIdentity> Identify() = 0;

    /// Names the running database, as Destination::Place of the same connector does; "" when nothing can be written there by
    /// that connector.
    virtual absl::StatusOr<std::string> Place() { return std::string(); }

    /// Makes what streaming needs before any slot (publications holding exactly `tables`); idempotent.
    /// PermissionDenied / FailedPrecondition carry the statement that an owner must run.
    virtual absl::Status Prepare(const std::vector<SourceTable>& tables) = 0;

    /// Whether the slot exists. A slot that is lost (invalidated) is FailedPrecondition, reason SLOT_LOST.
    virtual absl::StatusOr<bool> HasSlot() = 0;

    /// Keeps other workers from opening a copy, until Start succeeds or the object dies. Aborted, reason COPY_ELSEWHERE: another
    /// worker copies; stand by and retry. Whoever waited for it, or came late, must look again at what is still to be copied
    /// before BeginCopy touches the slot.
    virtual absl::Status LockCopy() { return absl::OkStatus(); }
    /// Opens a copy: with `new_slot` drops an unused slot of ours and creates it anew, else uses a temporary one. Returns
    /// the position P whose snapshot the copy reads: every commit below P is in it, every other comes by the stream.
    /// Takes the lock of LockCopy if it is not held. Aborted, reason SLOT_WAITING: transactions
    /// that run kept it from being opened for as long as `patience`; retry later.
    virtual absl::StatusOr<uint64_t> BeginCopy(bool new_slot, std::chrono::milliseconds patience) = 0;
    /// The shape of the table inside the open copy's snapshot, without `table.excluded`: the same that CopyTable's events carry. Needed for tables
    /// that have no row.
    virtual absl::StatusOr<SchemaPtr> Describe(const SourceTable& table) = 0;
    /// Hands every row of the table, without `table.excluded`, to `handler.OnChange` as kRead with position {P, first_seq + n}. Returns the number
    /// of rows. Stops with Cancelled when `handler` does.
    virtual absl::StatusOr<int64_t> CopyTable(const SourceTable& table, uint64_t first_seq, ChangeHandler& handler) = 0;
    /// The shape of the table as it is now, outside any copy; nullptr when there is no such table, or the source cannot say.
    virtual absl::StatusOr<SchemaPtr> DescribeNow(const SourceTable& /*table*/) { return nullptr; }
    /// Why the table must be copied anew where its shape was `before` and is `after`: rows may have got values that no
    /// event carries. "" when the events suffice.
    [[nodiscard]] virtual std::string WhyCopyAnew(const TableSchema& /*before*/, const TableSchema& /*after*/) const {
        return {};
    }
    /// Whether the table's rows can be read in pieces; if not, only by CopyTable.
    virtual absl::StatusOr<bool> ReadsChunks(const SourceTable& /*table*/) { return false; }
    /// A reader of such pieces, each with what its snapshot saw of the transactions whose changes Poll hands over; nullptr
    /// when the table cannot be read so any more. Any thread.
    virtual absl::StatusOr<std::unique_ptr<ChunkReader>> OpenChunks(const SourceTable& /*table*/) { return nullptr; }
    /// Ends the snapshot. A lock that kept other workers from copying is held until Start succeeds or the object dies.
    virtual absl::Status EndCopy() = 0;

    /// Starts streaming after `end` (0: where the slot stands). Aborted, reason SLOT_ACTIVE: another receiver holds it;
    /// stand by and retry. FailedPrecondition, reasons SLOT_LOST, SLOT_MISSING, SLOT_AHEAD (the slot has moved past
    /// `end`: changes are missing), IDENTITY_CHANGED: operator needed.
    virtual absl::Status Start(uint64_t end) = 0;

    /// Hands over what has arrived; waits up to `timeout` for the first bytes, and returns once nothing more is there at
    /// once or `max_events` were handed over. Sends keepalives on its own timer. Returns the number of messages handled.
    /// Unavailable: the connection is gone; make a new Source and Start again.
    virtual absl::StatusOr<int> Poll(ChangeHandler& handler, std::chrono::milliseconds timeout, int max_events) = 0;

    /// Everything up to `end` is durable downstream; monotonic; the only thing that frees source log. Sent with the next
    /// feedback.
    virtual void Acknowledge(uint64_t end) = 0;
    /// Sends feedback if it is due (or `now`); to be called at least once a second while the caller is busy elsewhere. Does
    /// nothing before Start.
    virtual absl::Status SendFeedback(bool now) = 0;

    /// Position of the last change that may be visible at the source now. Usable from a Source that is not started.
    virtual absl::StatusOr<uint64_t> CurrentPosition() = 0;
    /// Writes a transactional marker, so that an idle database's stream moves past CurrentPosition(). May be a no-op at
    /// sources where the role may not.
    virtual absl::Status Heartbeat() = 0;
    virtual absl::StatusOr<RetainedLog> Retained() = 0;

    /// Removes slot and publications that it made; idempotent. Aborted while another receiver holds the slot.
    virtual absl::Status Remove() = 0;
};

}  // namespace millrace::sdk
