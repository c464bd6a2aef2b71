#include "connectors/postgres/reading_transaction.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/status.h"
#include "base/text.h"
#include "connectors/postgres/lsn.h"
#include "connectors/postgres/table_schema.h"

namespace millrace::postgres {
namespace {

constexpr const char* kRunningTransactions =
    "SELECT transactionid::text FROM pg_locks WHERE locktype = 'transactionid' AND mode = 'ExclusiveLock' AND granted";
constexpr const char* kIdleTransactions = R"(
SELECT backend_xid::text FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND state = 'idle in transaction'
UNION ALL SELECT transaction::text FROM pg_prepared_xacts)";

absl::StatusOr<std::set<uint32_t>> TransactionIds(base::PqConnection& session, const char* query) {
    ASSIGN_OR_RETURN(const base::PqResult result, session.Execute(query));
    std::set<uint32_t> ids;
    for (int row = 0; row < result.rows(); ++row) {
        uint32_t xid = 0;
        if (absl::SimpleAtoi(base::ToAbsl(result.Get(row, 0)), &xid)) {
            ids.insert(xid);
        }
    }
    return ids;
}

}  // namespace

absl::StatusOr<sdk::Visibility> ParseSnapshot(std::string_view text, bool standby) {
    const std::vector<std::string> parts = absl::StrSplit(base::ToAbsl(text), ':');
    uint64_t xmin = 0;
    uint64_t xmax = 0;
    bool good = parts.size() == 3 && absl::SimpleAtoi(parts[0], &xmin) && absl::SimpleAtoi(parts[1], &xmax);
    std::vector<uint64_t> running;
    if (good && !parts[2].empty()) {
        for (const absl::string_view number : absl::StrSplit(parts[2], ',')) {
            good = good && absl::SimpleAtoi(number, &running.emplace_back());
        }
    }
    if (!good) {
        return base::MakeError(absl::StatusCode::kDataLoss, "PROTOCOL",
                               "the server's snapshot is not of the form xmin:xmax:running");
    }
    return standby ? sdk::Visibility(xmin, xmin, {}) : sdk::Visibility(xmin, xmax, std::move(running));
}

absl::StatusOr<sdk::Visibility> TakeSnapshot(base::PqConnection& session) {
    ASSIGN_OR_RETURN(const base::PqResult result, session.Execute("SELECT pg_current_snapshot(), pg_is_in_recovery()"));
    return ParseSnapshot(result.Get(0, 0), result.GetBool(0, 1));
}

absl::StatusOr<std::set<uint32_t>> RunningTransactions(base::PqConnection& session) {
    return TransactionIds(session, kRunningTransactions);
}

absl::StatusOr<sdk::Sight> SightOf(base::PqConnection& session, const std::set<uint32_t>& running, sdk::Visibility seen) {
    sdk::Sight sight{.seen = std::move(seen), .ending = {}};
    ASSIGN_OR_RETURN(const std::set<uint32_t> idle, TransactionIds(session, kIdleTransactions));
    for (const uint32_t xid : running) {
        if (!sight.seen.Sees(xid) && !idle.contains(xid)) {
            sight.ending.push_back(xid);
        }
    }
    return sight;
}

absl::Status BeginReading(base::PqConnection& session, const sdk::SourceTable& table, std::chrono::milliseconds patience) {
    const absl::Status locked =
        session
            .Execute(base::Concat("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL lock_timeout = ", patience.count(), "; LOCK TABLE ",
                                  base::QuoteIdentifier(table.schema), ".", base::QuoteIdentifier(table.table), " IN ACCESS SHARE MODE"))
            .status();
    if (base::ReasonOf(locked) == "SQLSTATE_55P03") {
        return base::MakeError(absl::StatusCode::kUnavailable, "TABLE_LOCKED",
                               "another session holds a lock on the table for longer than we wait",
                               "It is tried again by itself; pg_stat_activity shows who holds it.");
    }
    return locked;
}

absl::StatusOr<CatalogTable> DescribeRead(base::PqConnection& session, const sdk::SourceTable& table, sdk::Chunk& chunk) {
    ASSIGN_OR_RETURN(std::optional<CatalogTable> found,
                     FindCatalogTable(session, table.schema, table.table, table.key_index));
    if (!found || found->oid != table.id) {
        return base::MakeError(absl::StatusCode::kNotFound, "TBL_MISSING",
                               "the table was dropped, renamed or made anew", "Its successor is copied by itself.");
    }
    std::erase_if(found->columns, [&](const CatalogColumn& column) {
        if (std::ranges::find(table.excluded, column.name) == table.excluded.end()) {
            return false;
        }
        chunk.left_out.push_back(column.name);
        return true;
    });
    const Relation relation = RelationFromCatalog(*found);
    ASSIGN_OR_RETURN(const std::vector<ColumnType> types, ResolveTypes(session, relation.columns));
    chunk.schema = BuildSchema(relation, found, types);
    chunk.rows = sdk::RowBuffer(found->columns.size());
    return *std::move(found);
}

absl::StatusOr<uint64_t> LogPosition(base::PqConnection& session) {
    ASSIGN_OR_RETURN(const base::PqResult result,
                     session.Execute("SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE "
                                     "pg_current_wal_insert_lsn() END"));
    if (const auto position = ParseLsn(result.Get(0, 0))) {
        return *position;
    }
    return base::MakeError(absl::StatusCode::kInternal, "PROTOCOL", "the server gave no log position");
}

std::string FromClause(const CatalogTable& table, std::string_view alias) {
    return base::Concat(table.kind == 'r' ? "ONLY " : "", base::QuoteIdentifier(table.schema), ".",
                        base::QuoteIdentifier(table.table), " AS ", alias);
}

std::string ColumnList(const CatalogTable& table) {
    return absl::StrJoin(table.columns, ", ", [](std::string* out, const CatalogColumn& column) {
        out->append(base::QuoteIdentifier(column.name));
    });
}

}  // namespace millrace::postgres
