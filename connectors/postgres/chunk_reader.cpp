#include "connectors/postgres/chunk_reader.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/status.h"
#include "base/text.h"
#include "connectors/postgres/copy_row_parser.h"
#include "connectors/postgres/lsn.h"
#include "connectors/postgres/replica.h"
#include "connectors/postgres/session.h"
#include "connectors/postgres/table_schema.h"

namespace millrace::postgres {
namespace {

// The key in the order of an index that has it: in any other, every chunk would sort the whole table. Last: whether the
// operators of the type are pg_catalog's; those of an enum are.
constexpr const char* kKeyQuery = R"(
SELECT a.attname, format_type(a.atttypid, a.atttypmod), b.typtype = 'e' OR b.typnamespace = 'pg_catalog'::regnamespace
FROM pg_class c
CROSS JOIN LATERAL (
    SELECT (i.indkey::int2[])[0:i.indnkeyatts - 1] AS attnums FROM pg_index i
    WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
      AND (SELECT array_agg(x.attname ORDER BY x.attname) FROM pg_attribute x
           WHERE x.attrelid = c.oid AND x.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1]))
          = (SELECT array_agg(w ORDER BY w) FROM unnest($2::name[]) w)
    ORDER BY i.indisprimary DESC LIMIT 1) k
CROSS JOIN LATERAL unnest(k.attnums) WITH ORDINALITY AS o(attnum, place)
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = o.attnum
JOIN pg_type t ON t.oid = a.atttypid
JOIN pg_type b ON b.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END
WHERE c.oid = $1::oid ORDER BY o.place)";

// A lock is taken before the snapshot, so that what the snapshot sees has the shape that COPY reads.
constexpr std::string_view kBegin =
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL lock_timeout = '5s'; LOCK TABLE ";

constexpr const char* kRunningTransactions =
    "SELECT transactionid::text FROM pg_locks WHERE locktype = 'transactionid' AND mode = 'ExclusiveLock' AND granted";
constexpr const char* kIdleTransactions = R"(
SELECT backend_xid::text FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND state = 'idle in transaction'
UNION ALL SELECT transaction::text FROM pg_prepared_xacts)";

constexpr std::chrono::milliseconds kReplayPatience{5000};
/// Of the table in every query.
constexpr std::string_view kAlias = "chunked";

absl::Status Full() {
    return absl::OutOfRangeError("the chunk is full");
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

absl::StatusOr<std::vector<ChunkKeyColumn>> ChunkKey(base::PqConnection& session, const sdk::SourceTable& table) {
    std::vector<ChunkKeyColumn> key;
    if (table.key.empty()) {
        return key;
    }
    ASSIGN_OR_RETURN(const base::PqResult result,
                     session.ExecuteParams(kKeyQuery, {base::Concat(table.id), ArrayLiteral(table.key)}));
    for (int row = 0; row < result.rows(); ++row) {
        if (!result.GetBool(row, 2)) {
            return std::vector<ChunkKeyColumn>();
        }
        key.push_back({.name = std::string(result.Get(row, 0)), .type = std::string(result.Get(row, 1))});
    }
    return key;
}

absl::StatusOr<std::unique_ptr<ChunkReader>> ChunkReader::Open(const base::PqParameters& parameters,
                                                               const std::optional<base::PqParameters>& replica,
                                                               const sdk::SourceTable& table) {
    std::unique_ptr<ChunkReader> reader(new ChunkReader(parameters, replica, table));
    RETURN_IF_ERROR(reader->Connect());
    ASSIGN_OR_RETURN(reader->key_, ChunkKey(*reader->session_, table));
    return reader->key_.empty() ? nullptr : std::move(reader);
}

absl::Status ChunkReader::Connect() {
    if (session_ && session_->healthy()) {
        return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(std::unique_ptr<base::PqConnection> session, ConnectSession(parameters_));
    if (replica_) {
        ASSIGN_OR_RETURN(std::unique_ptr<base::PqConnection> second, ConnectSession(*replica_));
        RETURN_IF_ERROR(CheckReplica(*session, *second));
        session = std::move(second);
    }
    const std::lock_guard lock(mutex_);
    session_ = std::move(session);
    return absl::OkStatus();
}

void ChunkReader::Cancel() {
    const std::lock_guard lock(mutex_);
    session_->Cancel();
}

// In this order: a transaction gives up the lock on its own id after others see its effects, so whatever the snapshot does not
// see although it has committed held it before. A session that is idle afterwards had not begun to commit; what another role's
// session does may be hidden from ours.
absl::StatusOr<sdk::Sight> ChunkReader::Look() {
    sdk::Sight sight;
    if (replica_) {
        // What is replayed is visible, and a chunk waits until its beginning is.
        ASSIGN_OR_RETURN(sight.seen, Snapshot());
        return sight;
    }
    ASSIGN_OR_RETURN(const std::set<uint32_t> running, TransactionIds(kRunningTransactions));
    ASSIGN_OR_RETURN(sight.seen, Snapshot());
    ASSIGN_OR_RETURN(const std::set<uint32_t> idle, TransactionIds(kIdleTransactions));
    for (const uint32_t xid : running) {
        if (!sight.seen.Sees(xid) && !idle.contains(xid)) {
            sight.ending.push_back(xid);
        }
    }
    return sight;
}

absl::StatusOr<std::set<uint32_t>> ChunkReader::TransactionIds(const char* query) {
    ASSIGN_OR_RETURN(const base::PqResult result, session_->Execute(query));
    std::set<uint32_t> ids;
    for (int row = 0; row < result.rows(); ++row) {
        uint32_t xid = 0;
        if (absl::SimpleAtoi(base::ToAbsl(result.Get(row, 0)), &xid)) {
            ids.insert(xid);
        }
    }
    return ids;
}

absl::StatusOr<sdk::Visibility> ChunkReader::Snapshot() {
    ASSIGN_OR_RETURN(const base::PqResult result,
                     session_->Execute("SELECT pg_current_snapshot(), pg_is_in_recovery()"));
    return ParseSnapshot(result.Get(0, 0), result.GetBool(0, 1));
}

absl::StatusOr<sdk::Chunk> ChunkReader::Read(const sdk::ChunkRequest& request) {
    RETURN_IF_ERROR(Connect());
    if (replica_) {
        RETURN_IF_ERROR(AwaitReplay(*session_, request.not_before, kReplayPatience));
    }
    absl::StatusOr<sdk::Chunk> chunk = ReadInTransaction(request);
    if (session_->healthy()) {
        // Nothing was written; one that was cut short has failed anyway.
        RETURN_IF_ERROR(session_->Execute("ROLLBACK").status());
    }
    RETURN_IF_ERROR(base::Annotate(chunk.status(), base::Concat("reading ", table_.DisplayName())));
    // Beyond every change that the snapshot saw, because it is later.
    ASSIGN_OR_RETURN(chunk->high, Position());
    return chunk;
}

absl::StatusOr<sdk::Chunk> ChunkReader::ReadInTransaction(const sdk::ChunkRequest& request) {
    const absl::Status locked =
        session_
            ->Execute(base::Concat(kBegin, base::QuoteIdentifier(table_.schema), ".",
                                   base::QuoteIdentifier(table_.table), " IN ACCESS SHARE MODE"))
            .status();
    if (base::ReasonOf(locked) == "SQLSTATE_55P03") {
        return base::MakeError(absl::StatusCode::kUnavailable, "TABLE_LOCKED",
                               "another session holds a lock on the table for longer than we wait",
                               "It is tried again by itself; pg_stat_activity shows who holds it.");
    }
    RETURN_IF_ERROR(locked);
    sdk::Chunk chunk;
    ASSIGN_OR_RETURN(chunk.seen, Snapshot());
    ASSIGN_OR_RETURN(const CatalogTable table, Describe(chunk));
    if (request.keys.empty() && request.bound.empty()) {
        ASSIGN_OR_RETURN(chunk.bound, GreatestKey(table));
        if (chunk.bound.empty()) {
            chunk.complete = true;
            return chunk;
        }
    }
    RETURN_IF_ERROR(CopyRows(table, request, chunk));
    return chunk;
}

absl::StatusOr<CatalogTable> ChunkReader::Describe(sdk::Chunk& chunk) {
    ASSIGN_OR_RETURN(std::optional<CatalogTable> table,
                     FindCatalogTable(*session_, table_.schema, table_.table, table_.key_index));
    if (!table || table->oid != table_.id) {
        return base::MakeError(absl::StatusCode::kNotFound, "TBL_MISSING",
                               "the table was dropped, renamed or made anew", "Its successor is copied by itself.");
    }
    std::erase_if(table->columns, [&](const CatalogColumn& column) {
        return std::ranges::find(table_.excluded, column.name) != table_.excluded.end();
    });
    const Relation relation = RelationFromCatalog(*table);
    ASSIGN_OR_RETURN(const std::vector<ColumnType> types, ResolveTypes(*session_, relation.columns));
    chunk.schema = BuildSchema(relation, table, types);
    chunk.rows = sdk::RowBuffer(table->columns.size());
    const bool same_key =
        chunk.schema->KeyColumns().size() == key_.size() && std::ranges::all_of(key_, [&](const ChunkKeyColumn& column) {
            const auto found = std::ranges::find(chunk.schema->columns, column.name, &sdk::Column::name);
            return found != chunk.schema->columns.end() && found->key_ordinal > 0;
        });
    if (!same_key) {
        return base::MakeError(absl::StatusCode::kFailedPrecondition, "KEY_CHANGED",
                               "the key of the table has other columns now", "It is copied anew by itself.");
    }
    return *std::move(table);
}

absl::StatusOr<sdk::KeyTexts> ChunkReader::OneKey(const std::string& query) {
    ASSIGN_OR_RETURN(const base::PqResult result, session_->Execute(query));
    sdk::KeyTexts key;
    for (int column = 0; result.rows() > 0 && column < result.columns(); ++column) {
        key.emplace_back(result.Get(0, column));
    }
    return key;
}

absl::StatusOr<sdk::KeyTexts> ChunkReader::GreatestKey(const CatalogTable& table) {
    return OneKey(base::Concat("SELECT ", KeyList("::text"), " FROM ", From(table), " ORDER BY ", KeyList(" DESC"), " LIMIT 1"));
}

absl::StatusOr<sdk::KeyTexts> ChunkReader::LastOf(const CatalogTable& table, const sdk::ChunkRequest& request) {
    sdk::ChunkRequest all = request;
    all.where.clear();
    return OneKey(base::Concat("SELECT ", KeyList("::text"), " FROM ", From(table), " WHERE ", Condition(all), " ORDER BY ",
                               KeyList(), " OFFSET ", request.max_rows - 1, " LIMIT 1"));
}

// As a statement of its own, of which the server takes one at a time: a condition that ends it and begins another is none.
absl::Status ChunkReader::CheckWhere(const CatalogTable& table, const std::string& where) {
    const absl::Status checked =
        session_->ExecuteParams(base::Concat("SELECT 1 FROM ", From(table), " WHERE (", where, "\n) LIMIT 0"), {}).status();
    return checked.ok() || !session_->healthy()
               ? checked
               : base::MakeError(absl::StatusCode::kInvalidArgument, "WHERE_INVALID",
                                 // Its own words may hold a part of the condition, which may be a value.
                                 base::Concat("the source refuses the condition (", base::ReasonOf(checked), ")"),
                                 "Try it at the source in a SELECT");
}

absl::Status ChunkReader::CopyRows(const CatalogTable& table, const sdk::ChunkRequest& request, sdk::Chunk& chunk) {
    const std::string columns = absl::StrJoin(
        table.columns, ", ",
        [](std::string* out, const CatalogColumn& column) { out->append(base::QuoteIdentifier(column.name)); });
    sdk::ChunkRequest bounded = request;
    if (bounded.bound.empty()) {
        bounded.bound = chunk.bound;
    }
    sdk::KeyTexts end;
    if (!request.where.empty()) {
        RETURN_IF_ERROR(CheckWhere(table, request.where));
        // Rows that do not meet it count as read: a chunk's transaction is short, however few do.
        ASSIGN_OR_RETURN(end, LastOf(table, bounded));
        bounded.bound = end.empty() ? bounded.bound : end;
    }
    CopyRowParser parser;
    std::vector<sdk::Cell> cells;
    const absl::Status copied = session_->CopyOut(
        base::Concat("COPY (SELECT ", columns, " FROM ", From(table), " WHERE ", Condition(bounded), " ORDER BY ",
                     KeyList(), " LIMIT ", request.max_rows, ") TO STDOUT"),
        [&](std::string_view line) -> absl::Status {
            if (chunk.rows.size() > 0 && chunk.rows.bytes() >= request.max_bytes) {
                return Full();
            }
            RETURN_IF_ERROR(parser.Parse(line, table.columns.size(), cells));
            chunk.rows.Add(cells);
            return absl::OkStatus();
        });
    if (!absl::IsOutOfRange(copied)) {
        RETURN_IF_ERROR(copied);
        chunk.complete = request.where.empty() ? static_cast<int64_t>(chunk.rows.size()) < request.max_rows : end.empty();
        chunk.last_key = end;
    }
    if (chunk.last_key.empty() && chunk.rows.size() > 0) {
        const auto last = chunk.rows.Row(chunk.rows.size() - 1);
        for (const ChunkKeyColumn& column : key_) {
            const auto found = std::ranges::find(table.columns, column.name, &CatalogColumn::name);
            chunk.last_key.emplace_back(last[static_cast<size_t>(found - table.columns.begin())].text());
        }
    }
    return absl::OkStatus();
}

absl::StatusOr<uint64_t> ChunkReader::Position() {
    ASSIGN_OR_RETURN(const base::PqResult result,
                     session_->Execute("SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE "
                                       "pg_current_wal_insert_lsn() END"));
    if (const auto position = ParseLsn(result.Get(0, 0))) {
        return *position;
    }
    return base::MakeError(absl::StatusCode::kInternal, "PROTOCOL", "the server gave no log position");
}

std::string ChunkReader::From(const CatalogTable& table) const {
    // Rows of tables that inherit from it are theirs; those of partitions are the root's.
    return base::Concat(table.kind == 'r' ? "ONLY " : "", base::QuoteIdentifier(table.schema), ".",
                        base::QuoteIdentifier(table.table), " AS ", kAlias);
}

std::string ChunkReader::KeyList(std::string_view suffix) const {
    return absl::StrJoin(key_, ", ", [&](std::string* out, const ChunkKeyColumn& column) {
        // ORDER BY takes a bare name for the output's column, which may be a text of the same name.
        base::Append(*out, kAlias, ".", base::QuoteIdentifier(column.name), suffix);
    });
}

std::string ChunkReader::KeyLiteral(const sdk::KeyTexts& key) const {
    std::string text = "ROW(";
    for (size_t i = 0; i < key_.size(); ++i) {
        base::Append(text, i == 0 ? "" : ", ", base::QuoteLiteral(key[i]), "::", key_[i].type);
    }
    return text + ")";
}

std::string ChunkReader::Condition(const sdk::ChunkRequest& request) const {
    const std::string key = base::Concat("ROW(", KeyList(), ")");
    std::string condition = request.where.empty() ? "true" : base::Concat("(", request.where, "\n)");
    if (!request.after.empty()) {
        base::Append(condition, " AND ", key, " > ", KeyLiteral(request.after));
    }
    if (!request.keys.empty()) {
        return base::Concat(condition, " AND ", key, " IN (",
                            absl::StrJoin(request.keys, ", ",
                                          [this](std::string* out, const sdk::KeyTexts& one) {
                                              out->append(KeyLiteral(one));
                                          }),
                            ")");
    }
    return base::Concat(condition, " AND ", key, " <= ", KeyLiteral(request.bound));
}

}  // namespace millrace::postgres
