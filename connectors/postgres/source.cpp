#include "connectors/postgres/source.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <thread>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/failpoint.h"
#include "base/log.h"
#include "base/status.h"
#include "base/text.h"
#include "connectors/postgres/change_assembler.h"
#include "connectors/postgres/chunk_reader.h"
#include "connectors/postgres/copy_reason.h"
#include "connectors/postgres/lsn.h"
#include "connectors/postgres/options.h"
#include "connectors/postgres/preflight.h"
#include "connectors/postgres/publication.h"
#include "connectors/postgres/replica.h"
#include "connectors/postgres/replication_stream.h"
#include "connectors/postgres/session.h"
#include "connectors/postgres/slot.h"
#include "connectors/postgres/snapshot_copy.h"
#include "connectors/postgres/table_list.h"
#include "connectors/postgres/table_schema.h"
#include "connectors/postgres/whole_reader.h"

namespace millrace::postgres {
namespace {

using Clock = std::chrono::steady_clock;

// After our own receiver was closed the server needs a moment to notice.
constexpr std::chrono::seconds kRemovePatience{3};

// On a standby the position is what was replayed; nothing later can be seen there.
constexpr std::string_view kPositionSql =
    "CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END";

constexpr std::chrono::seconds kVisiblePatience{2};
constexpr std::chrono::milliseconds kVisibleInterval{5};

// Its own id is locked until after it has become visible.
absl::StatusOr<bool> Runs(base::PqConnection& session, uint32_t transaction) {
    ASSIGN_OR_RETURN(const base::PqResult result,
                     session.ExecuteParams("SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'transactionid' AND "
                                           "transactionid = $1::xid AND mode = 'ExclusiveLock' AND granted)",
                                           {base::Concat(transaction)}));
    return result.GetBool(0, 0);
}

absl::Status NotOpen(std::string_view what) {
    return base::MakeError(absl::StatusCode::kFailedPrecondition, "NOT_OPEN",
                           base::Concat(what, " was called before it was opened"));
}

class PostgresSource final : public sdk::Source {
 public:
    PostgresSource(base::PqParameters parameters, std::optional<base::PqParameters> replica, const std::string& stream)
        : parameters_(std::move(parameters)), replica_(std::move(replica)), names_(NamesFor(stream)) {}

    sdk::Findings Preflight(const sdk::TableSelection& selection) override {
        sdk::Findings findings = RunPreflight(parameters_, names_, selection);
        if (replica_) {
            findings.push_back(ReplicaFinding(parameters_, *replica_));
        }
        return findings;
    }
    absl::StatusOr<std::vector<sdk::SourceTable>> ListTables(const sdk::TableSelection& selection) override;
    absl::StatusOr<std::vector<std::vector<std::string>>> ListColumns(
        const std::vector<sdk::SourceTable>& tables) override;
    absl::StatusOr<sdk::SourceIdentity> Identify() override;
    absl::StatusOr<std::string> Place() override {
        ASSIGN_OR_RETURN(const base::PqResult result, WithSession([](base::PqConnection& session) {
                             return session.Execute(std::string(kPlaceSql));
                         }));
        return std::string(result.Get(0, 0));
    }
    absl::Status Prepare(const std::vector<sdk::SourceTable>& tables) override;
    absl::StatusOr<bool> HasSlot() override;

    absl::Status LockCopy() override;
    absl::StatusOr<uint64_t> BeginCopy(bool new_slot, std::chrono::milliseconds patience) override;
    absl::StatusOr<sdk::SchemaPtr> Describe(const sdk::SourceTable& table) override;
    absl::StatusOr<int64_t> CopyTable(const sdk::SourceTable& table, uint64_t first_seq,
                                      sdk::ChangeHandler& handler) override;
    absl::StatusOr<sdk::SchemaPtr> DescribeNow(const sdk::SourceTable& table) override;
    [[nodiscard]] std::string WhyCopyAnew(const sdk::TableSchema& before,
                                          const sdk::TableSchema& after) const override {
        return CopyReason(before, after);
    }
    absl::StatusOr<bool> ReadsChunks(const sdk::SourceTable& table) override {
        if (table.key.empty()) {
            return HasColumns(table);
        }
        ASSIGN_OR_RETURN(const std::vector<ChunkKeyColumn> key,
                         WithSession([&](base::PqConnection& session) { return ChunkKey(session, table); }));
        return !key.empty();
    }
    absl::StatusOr<std::unique_ptr<sdk::ChunkReader>> OpenChunks(const sdk::SourceTable& table) override {
        if (table.key.empty()) {
            return WholeReader::Open(parameters_, table);
        }
        return ChunkReader::Open(parameters_, replica_, table);
    }
    absl::Status EndCopy() override;

    absl::Status Start(uint64_t end) override;
    absl::StatusOr<int> Poll(sdk::ChangeHandler& handler, std::chrono::milliseconds timeout,
                             int max_events) override;
    void Acknowledge(uint64_t end) override;
    absl::Status SendFeedback(bool now) override;

    absl::StatusOr<uint64_t> CurrentPosition() override;
    absl::Status Heartbeat() override;
    absl::StatusOr<sdk::RetainedLog> Retained() override;
    absl::Status Remove() override;

 private:
    /// The ordinary session, made again when it was lost.
    absl::StatusOr<base::PqConnection*> Session();
    /// Runs `query` on the ordinary session; once more on a new one when the old one turns out to be gone, as
    /// an idle one may be for reasons of its own.
    template <typename Query>
    std::invoke_result_t<Query, base::PqConnection&> WithSession(const Query& query);
    /// Some that may be read: a row of none is no row in a chunk.
    absl::StatusOr<bool> HasColumns(const sdk::SourceTable& table);
    absl::StatusOr<std::optional<SlotState>> CurrentSlot();
    absl::StatusOr<SlotState> UsableSlot();
    absl::StatusOr<sdk::SchemaPtr> ResolveRelation(const Relation& relation);
    absl::Status HandleFrame(const Frame& frame, sdk::ChangeHandler& handler);

    base::PqParameters parameters_;
    const std::optional<base::PqParameters> replica_;
    ObjectNames names_;
    /// Table → the unique index that the user chose as its key.
    std::unordered_map<uint64_t, std::string> key_indexes_;
    std::unique_ptr<base::PqConnection> session_;
    /// Its session holds the advisory lock that keeps other workers from copying.
    std::unique_ptr<base::PqConnection> copy_lock_;
    std::unique_ptr<SnapshotCopy> copy_;
    std::unique_ptr<ReplicationStream> stream_;
    std::optional<ChangeAssembler> assembler_;
    PgoutputMessage message_;
    /// The one that the stream is in, or was in last.
    uint32_t transaction_ = 0;
};

absl::StatusOr<base::PqConnection*> PostgresSource::Session() {
    if (session_ && !session_->healthy()) {
        session_.reset();
    }
    if (!session_) {
        ASSIGN_OR_RETURN(session_, ConnectSession(parameters_));
    }
    return session_.get();
}

template <typename Query>
std::invoke_result_t<Query, base::PqConnection&> PostgresSource::WithSession(const Query& query) {
    const bool reused = session_ != nullptr;
    ASSIGN_OR_RETURN(base::PqConnection * session, Session());
    auto answer = query(*session);
    if (answer.ok() || session->healthy() || !reused) {
        return answer;
    }
    ASSIGN_OR_RETURN(session, Session());
    return query(*session);
}

absl::StatusOr<std::vector<sdk::SourceTable>> PostgresSource::ListTables(
    const sdk::TableSelection& selection) {
    return WithSession([&](base::PqConnection& session) -> absl::StatusOr<std::vector<sdk::SourceTable>> {
        ASSIGN_OR_RETURN(const std::vector<ListedTable> listed, ListAllTables(session, selection.keys));
        std::vector<sdk::SourceTable> tables = SelectTables(listed, selection);
        RETURN_IF_ERROR(ReadStreamEntries(session, names_, tables));
        return tables;
    });
}

absl::StatusOr<std::vector<std::vector<std::string>>> PostgresSource::ListColumns(
    const std::vector<sdk::SourceTable>& tables) {
    return WithSession([&](base::PqConnection& session) { return ListColumnNames(session, tables); });
}

absl::StatusOr<sdk::SourceIdentity> PostgresSource::Identify() {
    ASSIGN_OR_RETURN(const std::unique_ptr<base::PqConnection> replication, ConnectReplication(parameters_));
    ASSIGN_OR_RETURN(const base::PqResult result, replication->Execute("IDENTIFY_SYSTEM"));
    return sdk::SourceIdentity{.system_id = std::string(result.Get(0, 0)),
                               .timeline = static_cast<uint32_t>(result.GetInt(0, 1))};
}

absl::Status PostgresSource::Prepare(const std::vector<sdk::SourceTable>& tables) {
    key_indexes_.clear();
    for (const sdk::SourceTable& table : tables) {
        if (!table.key_index.empty()) {
            key_indexes_[table.id] = table.key_index;
        }
    }
    ASSIGN_OR_RETURN(base::PqConnection * session, Session());
    return PreparePublications(*session, names_, tables);
}

absl::StatusOr<bool> PostgresSource::HasSlot() {
    ASSIGN_OR_RETURN(const std::optional<SlotState> slot, CurrentSlot());
    if (slot && slot->lost) {
        return SlotLostError(names_.slot);
    }
    return slot.has_value();
}

absl::StatusOr<bool> PostgresSource::HasColumns(const sdk::SourceTable& table) {
    ASSIGN_OR_RETURN(const base::PqResult result, WithSession([&](base::PqConnection& session) {
                         return session.ExecuteParams("SELECT EXISTS (SELECT 1 FROM pg_attribute WHERE attrelid = $1::oid AND attnum > 0 "
                                                      "AND NOT attisdropped AND attname <> ALL ($2::name[]))",
                                                      {base::Concat(table.id), ArrayLiteral(table.excluded)});
                     }));
    return result.GetBool(0, 0);
}

absl::StatusOr<std::optional<SlotState>> PostgresSource::CurrentSlot() {
    return WithSession([&](base::PqConnection& session) { return ReadSlot(session, names_.slot); });
}

absl::Status PostgresSource::LockCopy() {
    if (copy_lock_ && copy_lock_->healthy()) {
        return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(std::unique_ptr<base::PqConnection> lock, ConnectSession(parameters_));
    ASSIGN_OR_RETURN(
        const base::PqResult result,
        lock->ExecuteParams("SELECT pg_try_advisory_lock(hashtextextended('millrace copy ' || $1, 0))",
                            {names_.slot}));
    if (!result.GetBool(0, 0)) {
        return base::MakeError(absl::StatusCode::kAborted, "COPY_ELSEWHERE",
                               base::Concat("another worker copies the tables of ", names_.slot),
                               "This one takes over if the other stops.");
    }
    copy_lock_ = std::move(lock);
    MILLRACE_FAILPOINT("postgres.after_copy_lock");
    return absl::OkStatus();
}

absl::StatusOr<uint64_t> PostgresSource::BeginCopy(bool new_slot, std::chrono::milliseconds patience) {
    copy_.reset();
    if (new_slot) {
        stream_.reset();
    }
    RETURN_IF_ERROR(LockCopy());
    ASSIGN_OR_RETURN(copy_, SnapshotCopy::Open(parameters_, names_, new_slot, patience));
    return copy_->consistent_point();
}

absl::StatusOr<sdk::SchemaPtr> PostgresSource::Describe(const sdk::SourceTable& table) {
    return copy_ ? copy_->Describe(table) : NotOpen("Describe");
}

absl::StatusOr<int64_t> PostgresSource::CopyTable(const sdk::SourceTable& table, uint64_t first_seq,
                                                  sdk::ChangeHandler& handler) {
    if (!copy_) {
        return NotOpen("CopyTable");
    }
    return copy_->Copy(table, first_seq, handler);
}

absl::StatusOr<sdk::SchemaPtr> PostgresSource::DescribeNow(const sdk::SourceTable& table) {
    return WithSession([&](base::PqConnection& session) -> absl::StatusOr<sdk::SchemaPtr> {
        ASSIGN_OR_RETURN(const std::optional<CatalogTable> found,
                         FindCatalogTable(session, table.schema, table.table, table.key_index));
        if (!found) {
            return nullptr;
        }
        const Relation relation = RelationFromCatalog(*found);
        ASSIGN_OR_RETURN(const std::vector<ColumnType> types, ResolveTypes(session, relation.columns));
        return BuildSchema(relation, found, types);
    });
}

absl::Status PostgresSource::EndCopy() {
    copy_.reset();
    return absl::OkStatus();
}

absl::StatusOr<SlotState> PostgresSource::UsableSlot() {
    ASSIGN_OR_RETURN(const std::optional<SlotState> slot, CurrentSlot());
    if (!slot) {
        return base::MakeError(absl::StatusCode::kFailedPrecondition, "SLOT_MISSING",
                               base::Concat("replication slot ", names_.slot, " does not exist any more"),
                               "Copy the tables anew with `millrace pipeline resync`: changes since it was dropped are unknown.");
    }
    if (slot->lost) {
        return SlotLostError(names_.slot);
    }
    if (slot->active) {
        return SlotActiveError(names_.slot);
    }
    return *slot;
}

absl::Status PostgresSource::Start(uint64_t end) {
    stream_.reset();
    ASSIGN_OR_RETURN(const SlotState slot, UsableSlot());
    if (end != 0 && slot.confirmed > end) {
        return base::MakeError(absl::StatusCode::kFailedPrecondition, "SLOT_AHEAD",
                               base::Concat("replication slot ", names_.slot, " stands at ",
                                            FormatLsn(slot.confirmed), ", beyond ", FormatLsn(end),
                                            ", where this pipeline stopped: changes between them are gone"),
                               "Copy the tables anew with `millrace pipeline resync`, and let nothing else read from this slot.");
    }
    MILLRACE_FAILPOINT("postgres.before_start_replication");
    ASSIGN_OR_RETURN(stream_, ReplicationStream::Open(parameters_, names_, std::max(end, slot.confirmed)));
    MILLRACE_FAILPOINT("postgres.after_start_replication");
    assembler_.emplace([this](const Relation& relation) { return ResolveRelation(relation); });
    copy_lock_.reset();
    return absl::OkStatus();
}

absl::StatusOr<sdk::SchemaPtr> PostgresSource::ResolveRelation(const Relation& relation) {
    return WithSession([&](base::PqConnection& session) -> absl::StatusOr<sdk::SchemaPtr> {
        const auto chosen = key_indexes_.find(relation.oid);
        const std::string key_index = chosen == key_indexes_.end() ? std::string() : chosen->second;
        ASSIGN_OR_RETURN(std::optional<CatalogTable> table, ReadCatalogTable(session, relation.oid, key_index));
        // A transaction is in the log before others see it: the catalogue may not know yet of the shape that it made. Where
        // it waits for a standby that is away, that may last.
        const Clock::time_point deadline = Clock::now() + kVisiblePatience;
        bool visible = table && SameShape(relation, *table);
        while (!visible && Clock::now() < deadline) {
            ASSIGN_OR_RETURN(const bool runs, Runs(session, transaction_));
            ASSIGN_OR_RETURN(table, ReadCatalogTable(session, relation.oid, key_index));
            visible = !runs || (table && SameShape(relation, *table));
            if (!visible) {
                std::this_thread::sleep_for(kVisibleInterval);
            }
        }
        ASSIGN_OR_RETURN(const std::vector<ColumnType> types, ResolveTypes(session, relation.columns));
        return BuildSchema(relation, table, types);
    });
}

absl::Status PostgresSource::HandleFrame(const Frame& frame, sdk::ChangeHandler& handler) {
    if (frame.kind == Frame::Kind::kData) {
        RETURN_IF_ERROR(DecodePgoutput(frame.payload, message_));
        if (message_.kind == PgoutputMessage::Kind::kBegin) {
            transaction_ = message_.xid;
        }
        MILLRACE_FAILPOINT("postgres.after_decode");
        return assembler_->Handle(message_, handler);
    }
    // Inside a transaction the server's position says nothing about what is whole.
    return assembler_->in_transaction() ? absl::OkStatus() : handler.OnProgress(frame.position);
}

absl::StatusOr<int> PostgresSource::Poll(sdk::ChangeHandler& handler, std::chrono::milliseconds timeout,
                                         int max_events) {
    if (!stream_) {
        return NotOpen("Poll");
    }
    const Clock::time_point deadline = Clock::now() + timeout;
    const uint64_t last_event = assembler_->events() + static_cast<uint64_t>(std::max(max_events, 1));
    int handled = 0;
    while (assembler_->events() < last_event) {
        RETURN_IF_ERROR(stream_->SendFeedbackIfDue());
        ASSIGN_OR_RETURN(const Frame frame, stream_->Next());
        if (frame.kind != Frame::Kind::kNone) {
            RETURN_IF_ERROR(HandleFrame(frame, handler));
            ++handled;
            continue;
        }
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
        const auto wait = handled > 0 ? std::chrono::milliseconds(0) : left;
        ASSIGN_OR_RETURN(const bool more, stream_->Wait(wait));
        if (!more && (handled > 0 || Clock::now() >= deadline)) {
            break;
        }
    }
    return handled;
}

void PostgresSource::Acknowledge(uint64_t end) {
    if (stream_) {
        MILLRACE_FAILPOINT_QUIET("postgres.before_acknowledge");
        stream_->Acknowledge(end);
    }
}

absl::Status PostgresSource::SendFeedback(bool now) {
    // Nothing is kept alive before Start; the publisher's keep-alive runs during the first copy too.
    if (!stream_) {
        return absl::OkStatus();
    }
    return now ? stream_->SendFeedback() : stream_->SendFeedbackIfDue();
}

absl::StatusOr<uint64_t> PostgresSource::CurrentPosition() {
    const std::string query = base::Concat("SELECT ", kPositionSql);
    ASSIGN_OR_RETURN(const base::PqResult result,
                     WithSession([&](base::PqConnection& session) { return session.Execute(query); }));
    if (const auto position = ParseLsn(result.Get(0, 0))) {
        return *position;
    }
    return base::MakeError(absl::StatusCode::kInternal, "PROTOCOL", "the server gave no log position");
}

absl::Status PostgresSource::Heartbeat() {
    // A standby cannot write; there the server's keepalives must do.
    // It tells nobody anything, so it does not wait for a synchronous standby.
    const std::string query =
        base::Concat("SET LOCAL synchronous_commit = local; "
                     "SELECT CASE WHEN NOT pg_is_in_recovery() THEN pg_logical_emit_message(true, ",
                     base::QuoteLiteral(kHeartbeatPrefix), ", '') END");
    const absl::Status written =
        WithSession([&](base::PqConnection& session) { return session.Execute(query); }).status();
    // So they must where the role is kept from the function.
    return written.code() == absl::StatusCode::kPermissionDenied ? absl::OkStatus() : written;
}

absl::StatusOr<sdk::RetainedLog> PostgresSource::Retained() {
    const std::string query = base::Concat(
        "SELECT p.lsn, s.confirmed_flush_lsn, coalesce(pg_wal_lsn_diff(p.lsn, s.restart_lsn), 0)::bigint "
        "FROM (SELECT ",
        kPositionSql,
        " AS lsn) p LEFT JOIN pg_replication_slots s ON s.slot_name = ", base::QuoteLiteral(names_.slot));
    ASSIGN_OR_RETURN(const base::PqResult result,
                     WithSession([&](base::PqConnection& session) { return session.Execute(query); }));
    return sdk::RetainedLog{.durable_position = std::string(result.Get(0, 1)),
                            .source_position = std::string(result.Get(0, 0)),
                            .bytes = std::max<int64_t>(0, result.GetInt(0, 2))};
}

absl::Status PostgresSource::Remove() {
    stream_.reset();
    copy_.reset();
    ASSIGN_OR_RETURN(base::PqConnection * session, Session());
    const absl::Status dropped = DropSlot(*session, names_.slot, kRemovePatience);
    // A slot of that name that is not ours is not ours to drop.
    if (!dropped.ok() && base::ReasonOf(dropped) != "SLOT_TAKEN") {
        return dropped;
    }
    MILLRACE_FAILPOINT("postgres.after_slot_dropped");
    RETURN_IF_ERROR(DropPublications(*session, names_));
    MILLRACE_FAILPOINT("postgres.after_publications_dropped");
    copy_lock_.reset();
    return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<sdk::Source>> MakeSource(const sdk::Options& options,
                                                        const std::string& stream) {
    return std::make_unique<PostgresSource>(ConnectionParameters(options), ReplicaParameters(options), stream);
}

}  // namespace millrace::postgres
