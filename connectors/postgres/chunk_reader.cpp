#include "connectors/postgres/chunk_reader.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <utility>

#include "absl/strings/str_join.h"
#include "base/status.h"
#include "base/text.h"
#include "connectors/postgres/copy_row_parser.h"
#include "connectors/postgres/reading_transaction.h"
#include "connectors/postgres/replica.h"
#include "connectors/postgres/session.h"

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

constexpr std::chrono::milliseconds kReplayPatience{5000};
/// A session's end waits for a table that is being divided.
constexpr std::chrono::milliseconds kSplitPatience{1000};
constexpr std::chrono::milliseconds kLockPatience{5000};
/// From which the keys are taken that divide a table.
constexpr double kSamplePages = 400;
constexpr double kPageBytes = 8192;
/// Of the table in every query.
constexpr std::string_view kAlias = "chunked";

absl::Status Full() {
    return absl::OutOfRangeError("the chunk is full");
}

}  // namespace

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

absl::StatusOr<sdk::Sight> ChunkReader::Look() {
    if (replica_) {
        // What is replayed is visible, and a chunk waits until its beginning is.
        ASSIGN_OR_RETURN(sdk::Visibility seen, TakeSnapshot(*session_));
        return sdk::Sight{.seen = std::move(seen), .ending = {}};
    }
    ASSIGN_OR_RETURN(const std::set<uint32_t> running, RunningTransactions(*session_));
    ASSIGN_OR_RETURN(sdk::Visibility seen, TakeSnapshot(*session_));
    return SightOf(*session_, running, std::move(seen));
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
    ASSIGN_OR_RETURN(chunk->high, LogPosition(*session_));
    return chunk;
}

absl::StatusOr<std::vector<sdk::KeyTexts>> ChunkReader::Split(int pieces) {
    RETURN_IF_ERROR(Connect());
    absl::StatusOr<std::vector<sdk::KeyTexts>> splits = SplitInTransaction(pieces);
    if (session_->healthy()) {
        RETURN_IF_ERROR(session_->Execute("ROLLBACK").status());
    }
    RETURN_IF_ERROR(base::Annotate(splits.status(), base::Concat("dividing ", table_.DisplayName())));
    return splits;
}

// Of a few pages, wherever they are: rows of one page often have neighbouring keys, so there are many more of them than pieces.
absl::StatusOr<std::vector<sdk::KeyTexts>> ChunkReader::SplitInTransaction(int pieces) {
    RETURN_IF_ERROR(BeginReading(*session_, table_, kSplitPatience));
    ASSIGN_OR_RETURN(const std::optional<CatalogTable> table,
                     FindCatalogTable(*session_, table_.schema, table_.table, table_.key_index));
    std::vector<sdk::KeyTexts> splits;
    if (!table || table->oid != table_.id || table_.bytes <= 0 || pieces < 2) {
        return splits;
    }
    const double percent = std::min(100.0, 100.0 * kSamplePages * kPageBytes / static_cast<double>(table_.bytes));
    ASSIGN_OR_RETURN(const base::PqResult sample,
                     session_->Execute(base::Concat("SELECT ", KeyList("::text"), " FROM ", FromClause(*table, kAlias), " TABLESAMPLE SYSTEM (",
                                                    std::to_string(percent), ") ORDER BY ", KeyList())));
    const int rows = sample.rows();
    int last = -1;
    for (int piece = 1; piece < pieces; ++piece) {
        const auto row = static_cast<int>(int64_t{rows} * piece / pieces);
        if (row <= last || row >= rows) {
            continue;
        }
        last = row;
        sdk::KeyTexts& key = splits.emplace_back();
        for (int column = 0; column < sample.columns(); ++column) {
            key.emplace_back(sample.Get(row, column));
        }
    }
    return splits;
}

absl::StatusOr<sdk::Chunk> ChunkReader::ReadInTransaction(const sdk::ChunkRequest& request) {
    RETURN_IF_ERROR(BeginReading(*session_, table_, kLockPatience));
    sdk::Chunk chunk;
    ASSIGN_OR_RETURN(chunk.seen, TakeSnapshot(*session_));
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
    ASSIGN_OR_RETURN(CatalogTable table, DescribeRead(*session_, table_, chunk));
    const bool same_key =
        chunk.schema->KeyColumns().size() == key_.size() && std::ranges::all_of(key_, [&](const ChunkKeyColumn& column) {
            const auto found = std::ranges::find(chunk.schema->columns, column.name, &sdk::Column::name);
            return found != chunk.schema->columns.end() && found->key_ordinal > 0;
        });
    if (!same_key) {
        return base::MakeError(absl::StatusCode::kFailedPrecondition, "KEY_CHANGED",
                               "the key of the table has other columns now", "It is copied anew by itself.");
    }
    return table;
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
    return OneKey(base::Concat("SELECT ", KeyList("::text"), " FROM ", FromClause(table, kAlias), " ORDER BY ", KeyList(" DESC"), " LIMIT 1"));
}

absl::StatusOr<sdk::KeyTexts> ChunkReader::LastOf(const CatalogTable& table, const sdk::ChunkRequest& request) {
    sdk::ChunkRequest all = request;
    all.where.clear();
    return OneKey(base::Concat("SELECT ", KeyList("::text"), " FROM ", FromClause(table, kAlias), " WHERE ", Condition(all), " ORDER BY ",
                               KeyList(), " OFFSET ", request.max_rows - 1, " LIMIT 1"));
}

// As a statement of its own, of which the server takes one at a time: a condition that ends it and begins another is none.
absl::Status ChunkReader::CheckWhere(const CatalogTable& table, const std::string& where) {
    const absl::Status checked =
        session_->ExecuteParams(base::Concat("SELECT 1 FROM ", FromClause(table, kAlias), " WHERE (", where, "\n) LIMIT 0"), {}).status();
    return checked.ok() || !session_->healthy()
               ? checked
               : base::MakeError(absl::StatusCode::kInvalidArgument, "WHERE_INVALID",
                                 // Its own words may hold a part of the condition, which may be a value.
                                 base::Concat("the source refuses the condition (", base::ReasonOf(checked), ")"),
                                 "Try it at the source in a SELECT");
}

absl::Status ChunkReader::CopyRows(const CatalogTable& table, const sdk::ChunkRequest& request, sdk::Chunk& chunk) {
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
        base::Concat("COPY (SELECT ", ColumnList(table), " FROM ", FromClause(table, kAlias), " WHERE ", Condition(bounded), " ORDER BY ",
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
