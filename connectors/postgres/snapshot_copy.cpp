#include "connectors/postgres/snapshot_copy.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_join.h"
#include "base/status.h"
#include "base/text.h"
#include "connectors/postgres/copy_row_parser.h"
#include "connectors/postgres/slot.h"
#include "connectors/postgres/table_schema.h"

namespace millrace::postgres {
namespace {

constexpr std::chrono::seconds kDropPatience{2};

// Locks end with the table, not with the copy, so that the customer's DDL waits for one table at most.
constexpr std::string_view kTakeLocks = "SAVEPOINT one_table";
constexpr std::string_view kDropLocks = "ROLLBACK TO SAVEPOINT one_table";

std::string QualifiedName(const CatalogTable& table) {
    return base::Concat(base::QuoteIdentifier(table.schema), ".", base::QuoteIdentifier(table.table));
}

// COPY of a table reads its own rows only, but cannot read a partitioned one.
std::string CopyCommand(const CatalogTable& table) {
    const std::string columns =
        absl::StrJoin(table.columns, ", ", [](std::string* out, const CatalogColumn& column) {
            out->append(base::QuoteIdentifier(column.name));
        });
    if (table.kind == 'r' && !table.columns.empty()) {
        return base::Concat("COPY ", QualifiedName(table), " (", columns, ") TO STDOUT");
    }
    return base::Concat("COPY (SELECT ", columns, " FROM ", table.kind == 'r' ? "ONLY " : "",
                        QualifiedName(table), ") TO STDOUT");
}

absl::Status Missing(const sdk::SourceTable& table) {
    return base::MakeError(absl::StatusCode::kNotFound, "TBL_MISSING",
                           base::Concat("table ", table.DisplayName(), " does not exist"),
                           "Take it out of the pipeline's selection, or create it.");
}

absl::Status Changed(const sdk::SourceTable& table) {
    return base::MakeError(absl::StatusCode::kAborted, "TABLE_CHANGED",
                           base::Concat("table ", table.DisplayName(),
                                        " was altered, truncated or rewritten after the copy's snapshot was taken"),
                           "The copy begins again with a new snapshot.");
}

int64_t NowUs() {
    return std::chrono::duration_cast<std::chrono::microseconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
}

}  // namespace

absl::StatusOr<std::unique_ptr<SnapshotCopy>> SnapshotCopy::Open(const base::PqParameters& parameters,
                                                                 const ObjectNames& names, bool new_slot,
                                                                 std::chrono::milliseconds patience) {
    ASSIGN_OR_RETURN(std::unique_ptr<base::PqConnection> present, ConnectSession(parameters));
    if (new_slot) {
        RETURN_IF_ERROR(DropSlot(*present, names.slot, kDropPatience));
    }
    ASSIGN_OR_RETURN(std::unique_ptr<base::PqConnection> session, ConnectSession(parameters));
    // Ends with this function: the transaction below has the snapshot by then, and a temporary slot has done
    // its work.
    ASSIGN_OR_RETURN(const std::unique_ptr<base::PqConnection> replication, ConnectReplication(parameters));
    ASSIGN_OR_RETURN(
        const CreatedSlot created,
        CreateSlot(*replication, new_slot ? names.slot : names.copy_slot, !new_slot, patience));
    RETURN_IF_ERROR(session->Execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").status());
    RETURN_IF_ERROR(
        session->Execute(base::Concat("SET TRANSACTION SNAPSHOT ", base::QuoteLiteral(created.snapshot)))
            .status());
    // While tables are added or copied anew the stream of the others waits.
    RETURN_IF_ERROR(
        session->Execute(base::Concat("SET LOCAL lock_timeout = '", new_slot ? "30s" : "3s", "'")).status());
    return std::unique_ptr<SnapshotCopy>(
        new SnapshotCopy(std::move(session), std::move(present), created.consistent_point));
}

SnapshotCopy::SnapshotCopy(std::unique_ptr<base::PqConnection> session,
                           std::unique_ptr<base::PqConnection> present, uint64_t consistent_point)
    : session_(std::move(session)),
      present_(std::move(present)),
      consistent_point_(consistent_point),
      opened_us_(NowUs()) {}

absl::StatusOr<CatalogTable> SnapshotCopy::Lock(const sdk::SourceTable& table) {
    const auto find = [&](base::PqConnection& session) {
        return FindCatalogTable(session, table.schema, table.table, table.key_index);
    };
    ASSIGN_OR_RETURN(std::optional<CatalogTable> then, find(*session_));
    if (!then) {
        ASSIGN_OR_RETURN(const auto present, find(*present_));
        return present ? Changed(table) : Missing(table);
    }
    // Keeps DDL out until the copy ends; without it the comparison below could be outdated by the time of
    // COPY.
    const absl::Status locked = session_
                                    ->Execute(base::Concat("LOCK TABLE ", then->kind == 'r' ? "ONLY " : "",
                                                           QualifiedName(*then), " IN ACCESS SHARE MODE"))
                                    .status();
    if (absl::IsNotFound(locked)) {
        return Missing(table);
    }
    if (base::ReasonOf(locked) == "SQLSTATE_55P03") {
        return base::MakeError(absl::StatusCode::kUnavailable, "TABLE_LOCKED",
                               base::Concat("another session at the source holds a lock on ", table.DisplayName(),
                                            " that keeps it from being copied"),
                               "It is tried again by itself; pg_locks shows who holds the lock.");
    }
    RETURN_IF_ERROR(base::Annotate(locked, base::Concat("copying ", table.DisplayName())));
    ASSIGN_OR_RETURN(const std::optional<CatalogTable> now, find(*present_));
    // A rewritten table looks empty to an older snapshot.
    if (!now || now->oid != then->oid || now->fingerprint != then->fingerprint) {
        return Changed(table);
    }
    std::erase_if(then->columns, [&](const CatalogColumn& column) {
        return std::find(table.excluded.begin(), table.excluded.end(), column.name) != table.excluded.end();
    });
    return *std::move(then);
}

absl::StatusOr<sdk::SchemaPtr> SnapshotCopy::SchemaOf(const CatalogTable& table) {
    const Relation relation = RelationFromCatalog(table);
    ASSIGN_OR_RETURN(const std::vector<ColumnType> types, ResolveTypes(*session_, relation.columns));
    return BuildSchema(relation, table, types);
}

absl::StatusOr<SnapshotCopy::Described> SnapshotCopy::LockAndDescribe(const sdk::SourceTable& table) {
    ASSIGN_OR_RETURN(CatalogTable locked, Lock(table));
    ASSIGN_OR_RETURN(sdk::SchemaPtr schema, SchemaOf(locked));
    return Described{.table = std::move(locked), .schema = std::move(schema)};
}

absl::Status SnapshotCopy::LetGo() {
    described_.reset();
    return session_->Execute(std::string(kDropLocks)).status();
}

absl::StatusOr<sdk::SchemaPtr> SnapshotCopy::Describe(const sdk::SourceTable& table) {
    if (described_) {
        RETURN_IF_ERROR(LetGo());
    }
    RETURN_IF_ERROR(session_->Execute(std::string(kTakeLocks)).status());
    absl::StatusOr<Described> described = LockAndDescribe(table);
    if (!described.ok()) {
        RETURN_IF_ERROR(LetGo());
        return described.status();
    }
    described_ = *std::move(described);
    return described_->schema;
}

absl::StatusOr<int64_t> SnapshotCopy::Copy(const sdk::SourceTable& table, uint64_t first_seq,
                                           sdk::ChangeHandler& handler) {
    if (!described_ || described_->table.schema != table.schema || described_->table.table != table.table) {
        RETURN_IF_ERROR(Describe(table).status());
    }
    absl::StatusOr<int64_t> rows = CopyLocked(first_seq, handler);
    RETURN_IF_ERROR(rows.status());
    RETURN_IF_ERROR(LetGo());
    return rows;
}

absl::StatusOr<int64_t> SnapshotCopy::CopyLocked(uint64_t first_seq, sdk::ChangeHandler& handler) {
    const CatalogTable& locked = described_->table;
    sdk::ChangeEvent event;
    event.op = sdk::Op::kRead;
    event.schema = described_->schema;
    event.position = {.commit = consistent_point_, .seq = first_seq};
    event.commit_time_us = opened_us_;
    CopyRowParser parser;
    std::vector<sdk::Cell> cells;
    absl::Status handled;
    const absl::Status copied =
        session_->CopyOut(CopyCommand(locked), [&](std::string_view line) -> absl::Status {
            RETURN_IF_ERROR(parser.Parse(line, locked.columns.size(), cells));
            event.after = cells;
            handled = handler.OnChange(event);
            ++event.position.seq;
            return handled;
        });
    RETURN_IF_ERROR(handled);
    RETURN_IF_ERROR(base::Annotate(copied, base::Concat("copying ", event.schema->DisplayName())));
    return static_cast<int64_t>(event.position.seq - first_seq);
}

}  // namespace millrace::postgres
