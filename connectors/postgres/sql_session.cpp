#include "connectors/postgres/sql_session.h"

#include <libpq-fe.h>
#include <poll.h>

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "base/text.h"
#include "connectors/postgres/copy_text.h"
#include "connectors/postgres/dialect.h"
#include "connectors/postgres/type_name.h"

namespace millrace::postgres {
namespace {

constexpr size_t kStagesKept = 32;
constexpr size_t kCopyPiece = 256 * 1024;
/// Below this the round trips for the binary form cost more than it gains.
constexpr size_t kBinaryRows = 500;
/// A value that has no binary form is seldom alone.
constexpr int kLoadsAsText = 1000;
/// Below this the planner's guess from the table's size is good enough.
constexpr int64_t kAnalyzeRows = 1000;

// A transaction that waits for a client that was stopped or cut off holds its table's checkpoint, and so another
// worker's take-over. Between two statements a batch is only read from memory; a statement may run as long as it
// needs.
constexpr const char* kSettings =
    "SET datestyle = 'ISO, MDY'; SET intervalstyle = 'postgres'; SET timezone = 'UTC'; SET "
    "extra_float_digits = 3;"
    " SET standard_conforming_strings = on; SET default_transaction_isolation = 'read committed';"
    " SET lock_timeout = '5s'; SET statement_timeout = 0; SET idle_in_transaction_session_timeout = '15s';"
    " SET array_nulls = on; SET client_min_messages = 'error'; SET jit = off; SET xmloption = 'content'; SET lc_monetary = 'C'";

std::string Keyword(const char* text) {
    return text == nullptr ? std::string() : std::string(text);
}

/// The failure of a load in binary form was about a value, or about a kind of table that cannot be locked.
bool TextMayTellMore(const absl::Status& failure) {
    const std::string reason = base::ReasonOf(failure);
    return reason == "NO_BINARY_FORM" || reason == "VALUE_REJECTED" || reason == "SQLSTATE_42809";
}

std::string ColumnList(const sql::LoadTable& table) {
    std::string list;
    for (const sql::LoadColumn& column : table.columns) {
        base::Append(list, list.empty() ? "" : ", ", base::QuoteIdentifier(column.name));
    }
    return list;
}

std::string NameOf(const sql::LoadTable& table) {
    const std::string name = base::QuoteIdentifier(table.table);
    return table.temporary() ? base::Concat("pg_temp.", name)
                             : base::Concat(base::QuoteIdentifier(table.schema), ".", name);
}

}  // namespace

SqlSession::SqlSession(std::unique_ptr<base::PqConnection> connection) : connection_(std::move(connection)) {
    where_.database = Keyword(::PQdb(connection_->raw()));
    where_.role = Keyword(::PQuser(connection_->raw()));
}

absl::StatusOr<std::unique_ptr<SqlSession>> SqlSession::Connect(const base::PqParameters& parameters) {
    ASSIGN_OR_RETURN(auto connection, base::PqConnection::Connect(parameters));
    RETURN_IF_ERROR(connection->Execute(kSettings).status());
    return std::unique_ptr<SqlSession>(new SqlSession(std::move(connection)));
}

absl::Status SqlSession::Refine(const absl::Status& status) const {
    return DestinationError(status, where_);
}

absl::Status SqlSession::Begin() {
    begin_pending_ = true;
    return absl::OkStatus();
}

absl::StatusOr<base::PqResult> SqlSession::Run(const std::string& sql) {
    auto result = connection_->Execute(std::exchange(begin_pending_, false) ? "BEGIN; " + sql : sql);
    if (!result.ok()) {
        return Refine(result.status());
    }
    return result;
}

absl::Status SqlSession::Commit() {
    filled_.clear();
    if (std::exchange(begin_pending_, false)) {
        return absl::OkStatus();
    }
    // COMMIT of a failed transaction answers without an error and rolls back.
    if (::PQtransactionStatus(connection_->raw()) != PQTRANS_INTRANS) {
        return connection_->healthy() ? base::MakeError(absl::StatusCode::kInternal, "TRANSACTION_FAILED",
                                                        "the transaction has failed and cannot be committed")
                                      : connection_->LastError("committing");
    }
    RETURN_IF_ERROR(Run("COMMIT").status());
    committed_stages_ = stages_;
    return absl::OkStatus();
}

void SqlSession::Rollback() {
    filled_.clear();
    stages_ = committed_stages_;
    if (std::exchange(begin_pending_, false) || !connection_->healthy()) {
        return;
    }
    const PGTransactionStatusType state = ::PQtransactionStatus(connection_->raw());
    if (state == PQTRANS_INTRANS || state == PQTRANS_INERROR) {
        // A failure leaves the session in a state that Reusable() sees.
        connection_->Execute("ROLLBACK").status().IgnoreError();
    }
}

absl::StatusOr<int64_t> SqlSession::Execute(const std::string& sql) {
    ASSIGN_OR_RETURN(const base::PqResult result, Run(sql));
    return result.affected();
}

absl::StatusOr<std::vector<SqlSession::Row>> SqlSession::Query(const std::string& sql) {
    ASSIGN_OR_RETURN(const base::PqResult result, Run(sql));
    std::vector<Row> rows(static_cast<size_t>(result.rows()));
    for (int row = 0; row < result.rows(); ++row) {
        for (int column = 0; column < result.columns(); ++column) {
            Row& cells = rows[static_cast<size_t>(row)];
            if (result.IsNull(row, column)) {
                cells.emplace_back();
            } else {
                cells.emplace_back(result.Get(row, column));
            }
        }
    }
    return rows;
}

absl::Status SqlSession::MakeStage(const sql::LoadTable& table) {
    const bool filled = !filled_.insert(table.table).second;
    const auto known = std::find(stages_.begin(), stages_.end(), table.table);
    if (known != stages_.end()) {
        stages_.splice(stages_.begin(), stages_, known);
        return filled ? Run(base::Concat("TRUNCATE ", NameOf(table))).status() : absl::OkStatus();
    }
    std::string sql;
    if (stages_.size() >= kStagesKept) {
        base::Append(sql, "DROP TABLE pg_temp.", base::QuoteIdentifier(stages_.back()), "; ");
        stages_.pop_back();
    }
    base::Append(sql, "CREATE TEMPORARY TABLE ", base::QuoteIdentifier(table.table), " (");
    for (const sql::LoadColumn& column : table.columns) {
        base::Append(sql, &column == &table.columns.front() ? "" : ", ", base::QuoteIdentifier(column.name),
                     " ", column.type);
    }
    base::Append(sql, ") ON COMMIT DELETE ROWS");
    stages_.push_front(table.table);
    return Run(sql).status();
}

absl::StatusOr<int64_t> SqlSession::Load(const sql::LoadTable& table, const sdk::Batch& batch) {
    if (table.temporary()) {
        RETURN_IF_ERROR(MakeStage(table));
    }
    ASSIGN_OR_RETURN(const int64_t rows, Copy(table, batch));
    if (table.temporary() && rows >= kAnalyzeRows) {
        RETURN_IF_ERROR(Analyze(table));
    }
    return rows;
}

absl::StatusOr<int64_t> SqlSession::Copy(const sql::LoadTable& table, const sdk::Batch& batch) {
    if (begin_pending_) {
        RETURN_IF_ERROR(Run("").status());
    }
    if (const std::optional<CopyBinary> binary = BinaryFor(table, batch)) {
        ASSIGN_OR_RETURN(const std::optional<int64_t> rows, CopyAsBinary(table, batch, *binary));
        if (rows) {
            return *rows;
        }
        as_text_[NameOf(table)] = kLoadsAsText;
    }
    return CopyAsText(table, batch);
}

std::optional<CopyBinary> SqlSession::BinaryFor(const sql::LoadTable& table, const sdk::Batch& batch) {
    // Texts of other sources need not be what a PostgreSQL server writes.
    if (batch.rows.size() < kBinaryRows || batch.schema->source != "postgres") {
        return std::nullopt;
    }
    if (const auto text = as_text_.find(NameOf(table)); text != as_text_.end()) {
        if (--text->second <= 0) {
            as_text_.erase(text);
        }
        return std::nullopt;
    }
    return CopyBinary::For(table);
}

absl::StatusOr<bool> SqlSession::HasTypes(const sql::LoadTable& table) {
    // The lock keeps them: somebody may have altered the table since it was described, and eight bytes of one type are
    // taken for eight of another without a word.
    ASSIGN_OR_RETURN(const base::PqResult result,
                     Run(base::Concat("LOCK TABLE ONLY ", NameOf(table), " IN ROW EXCLUSIVE MODE;",
                                      " SELECT attname, pg_catalog.format_type(atttypid, atttypmod) FROM pg_catalog.pg_attribute"
                                      " WHERE attrelid = ",
                                      base::QuoteLiteral(NameOf(table)),
                                      "::pg_catalog.regclass AND attnum > 0 AND NOT attisdropped")));
    std::map<std::string, std::string, std::less<>> types;
    for (int row = 0; row < result.rows(); ++row) {
        types.emplace(result.Get(row, 0), result.Get(row, 1));
    }
    return std::ranges::all_of(table.columns, [&](const sql::LoadColumn& column) {
        const auto found = types.find(column.name);
        return found != types.end() && found->second == column.type;
    });
}

absl::StatusOr<std::optional<int64_t>> SqlSession::CopyAsBinary(const sql::LoadTable& table, const sdk::Batch& batch,
                                                                const CopyBinary& binary) {
    RETURN_IF_ERROR(Run("SAVEPOINT millrace_load").status());
    absl::StatusOr<bool> suits = true;
    if (!table.temporary()) {
        suits = HasTypes(table);
    }
    absl::StatusOr<int64_t> rows = 0;
    if (suits.ok() && *suits) {
        rows = SendRows(table, batch, true, [&](size_t row) { return binary.AppendRow(buffer_, batch, row); });
        if (rows.ok()) {
            return *rows;
        }
    }
    const absl::Status failure =
        DestinationError(rows.ok() ? suits.status() : rows.status(), where_, {}, /*reading_values=*/true);
    if (!failure.ok() && !TextMayTellMore(failure)) {
        return failure;
    }
    RETURN_IF_ERROR(Run("ROLLBACK TO SAVEPOINT millrace_load").status());
    return std::nullopt;
}

absl::StatusOr<int64_t> SqlSession::CopyAsText(const sql::LoadTable& table, const sdk::Batch& batch) {
    const auto rows = SendRows(table, batch, false, [&](size_t row) {
        AppendCopyRow(buffer_, table, batch, row);
        return true;
    });
    if (!rows.ok()) {
        return DestinationError(rows.status(), where_, RefusedColumn(table, batch), table.temporary());
    }
    return rows;
}

absl::StatusOr<int64_t> SqlSession::SendRows(const sql::LoadTable& table, const sdk::Batch& batch, bool binary,
                                             const std::function<bool(size_t row)>& append) {
    buffer_.clear();
    const auto write = [&](base::PqConnection::CopyWriter& writer) -> absl::Status {
        if (binary) {
            CopyBinary::AppendHeader(buffer_);
        }
        for (size_t row = 0; row < batch.rows.size(); ++row) {
            if (table.partial_only && batch.rows[row].kind != sdk::BatchRow::Kind::kPartial) {
                continue;
            }
            if (!append(row)) {
                return base::MakeError(absl::StatusCode::kInvalidArgument, "NO_BINARY_FORM",
                                       "a value has no binary form");
            }
            if (buffer_.size() >= kCopyPiece) {
                RETURN_IF_ERROR(writer.Put(buffer_));
                buffer_.clear();
            }
        }
        if (binary) {
            CopyBinary::AppendTrailer(buffer_);
        }
        return writer.Put(buffer_);
    };
    return connection_->CopyIn(base::Concat("COPY ", NameOf(table), " (", ColumnList(table), ") FROM STDIN",
                                            binary ? " (FORMAT binary)" : ""),
                               write);
}

std::string SqlSession::RefusedColumn(const sql::LoadTable& table, const sdk::Batch& batch) const {
    // CONTEXT says: COPY name, line 3, column c2: "value". Only a name that we know ourselves is taken out of
    // it.
    const std::string text = Keyword(::PQerrorMessage(connection_->raw()));
    for (const sql::LoadColumn& column : table.columns) {
        if (column.origin == sql::LoadColumn::Origin::kCell &&
            text.find(base::Concat(", column ", column.name, ": ")) != std::string::npos) {
            return batch.schema->columns[static_cast<size_t>(column.index)].name;
        }
    }
    return {};
}

absl::Status SqlSession::Analyze(const sql::LoadTable& table) {
    std::string columns;
    for (const sql::LoadColumn& column : table.columns) {
        if (column.joined) {
            base::Append(columns, columns.empty() ? "" : ", ", base::QuoteIdentifier(column.name));
        }
    }
    return columns.empty() ? absl::OkStatus()
                           : Run(base::Concat("ANALYZE ", NameOf(table), " (", columns, ")")).status();
}

absl::StatusOr<std::optional<sql::TableShape>> SqlSession::Describe(const sdk::TableTarget& table) {
    ASSIGN_OR_RETURN(
        const base::PqResult result,
        Run(base::Concat(
            "SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull,"
            " a.atthasdef OR a.attidentity <> '' OR a.attgenerated <> '',"
            " coalesce(pg_catalog.array_position(k.conkey, a.attnum), 0), k.conname, c.relkind IN ('v', 'm')"
            " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
            " LEFT JOIN pg_catalog.pg_constraint k ON k.conrelid = c.oid AND k.contype = 'p'"
            " LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT "
            "a.attisdropped"
            " WHERE n.nspname = ",
            base::QuoteLiteral(table.schema), " AND c.relname = ", base::QuoteLiteral(table.table),
            " AND c.relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY a.attnum")));
    if (result.rows() == 0) {
        return std::nullopt;
    }
    if (result.GetBool(0, 6)) {
        return base::MakeError(
            absl::StatusCode::kFailedPrecondition, "NAME_CLASH",
            base::Concat("table ", table.DisplayName(), " cannot be made in the destination: a view of that name exists"),
            "Drop or rename the view, or choose another database.");
    }
    sql::TableShape shape;
    for (int row = 0; row < result.rows(); ++row) {
        if (result.IsNull(row, 0)) {
            // A table without columns.
            continue;
        }
        shape.columns.push_back({.name = std::string(result.Get(row, 0)),
                                 .type = std::string(result.Get(row, 1)),
                                 .not_null = result.GetBool(row, 2),
                                 .has_default = result.GetBool(row, 3),
                                 .key_ordinal = static_cast<int>(result.GetInt(row, 4))});
        shape.key_name = std::string(result.Get(row, 5));
    }
    return shape;
}

absl::StatusOr<bool> SqlSession::SchemaExists(const std::string& schema) {
    ASSIGN_OR_RETURN(const base::PqResult result,
                     Run(base::Concat("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = ",
                                      base::QuoteLiteral(schema))));
    return result.rows() > 0;
}

absl::StatusOr<std::vector<std::string>> SqlSession::ColumnTypes(const sdk::TableSchema& schema) {
    std::vector<std::string> types;
    types.reserve(schema.columns.size());
    for (const sdk::Column& column : schema.columns) {
        if (schema.source != "postgres") {
            types.push_back(TypeOf(column).ToString());
            continue;
        }
        ASSIGN_OR_RETURN(types.emplace_back(), TypeAtServer(column));
    }
    return types;
}

absl::StatusOr<std::string> SqlSession::TypeAtServer(const sdk::Column& column) {
    if (!column.declared_type.empty()) {
        TypeName declared = TypeName::Parse(column.declared_type);
        ASSIGN_OR_RETURN(const auto found, FindType(declared.base));
        if (found) {
            declared.base = *found;
            return declared.ToString();
        }
    }
    TypeName type = TypeName::Parse(column.source_type);
    if (IsPortable(type)) {
        return column.source_type;
    }
    const std::string text = type.array ? "text[]" : "text";
    if (IsServerBound(type)) {
        return text;
    }
    ASSIGN_OR_RETURN(const auto found, FindType(type.base));
    auto name = found;
    if (!name && !column.labels.empty()) {
        ASSIGN_OR_RETURN(name, MakeEnum(type.base, column.labels));
    }
    if (!name) {
        return text;
    }
    type.base = *name;
    return type.ToString();
}

absl::StatusOr<std::optional<std::string>> SqlSession::FindType(const std::string& name) {
    // The type of that name, or else the one that an extension brought along into another schema. Row types
    // of tables are left out, because they change with their tables, and so are domains that no NULL can
    // stand in.
    ASSIGN_OR_RETURN(
        const base::PqResult result,
        Run(base::Concat(
            "WITH RECURSIVE named AS (SELECT coalesce(pg_catalog.to_regtype(", base::QuoteLiteral(name),
            ")::oid, (SELECT CASE WHEN count(*) = 1 THEN min(e.oid) END FROM pg_catalog.pg_type e"
            " JOIN pg_catalog.pg_depend x ON x.classid = 'pg_catalog.pg_type'::regclass AND x.objid = e.oid"
            " AND x.deptype = 'e' WHERE e.typname = (SELECT (i.parts)[array_upper(i.parts, 1)] FROM"
            " (SELECT pg_catalog.parse_ident(",
            base::QuoteLiteral(name),
            ", false) AS parts) AS i))) AS oid), behind AS (SELECT t.* FROM pg_catalog.pg_type t JOIN named"
            " USING (oid) UNION ALL SELECT t.* FROM pg_catalog.pg_type t JOIN behind b ON b.typtype = 'd' AND"
            " t.oid = b.typbasetype) SELECT named.oid::pg_catalog.regtype FROM named WHERE EXISTS (SELECT "
            "FROM"
            " behind) AND NOT EXISTS (SELECT FROM behind LEFT JOIN pg_catalog.pg_class c ON c.oid ="
            " behind.typrelid WHERE behind.typnotnull OR behind.typtype = 'p' OR c.relkind <> 'c')")));
    return result.rows() == 0 ? std::nullopt : std::optional(std::string(result.Get(0, 0)));
}

absl::StatusOr<std::optional<std::string>> SqlSession::MakeEnum(const std::string& name,
                                                                const std::vector<std::string>& labels) {
    // Two tables of the same type may come at the same time.
    RETURN_IF_ERROR(Run(base::Concat(PostgresDialect().DdlLock(), "; SAVEPOINT make_type")).status());
    ASSIGN_OR_RETURN(const auto found, FindType(name));
    if (found) {
        return found;
    }
    const std::string list = absl::StrJoin(labels, ", ", [](std::string* out, const std::string& label) {
        out->append(base::QuoteLiteral(label));
    });
    const auto made = Run(base::Concat(
        "DO $millrace$ BEGIN IF array_length(parse_ident(", base::QuoteLiteral(name),
        "), 1) = 2 AND NOT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname ="
        " (parse_ident(",
        base::QuoteLiteral(name), "))[1]) THEN EXECUTE pg_catalog.format('CREATE SCHEMA %I', (parse_ident(",
        base::QuoteLiteral(name), "))[1]); END IF; END $millrace$; CREATE TYPE ", name, " AS ENUM (", list,
        ")"));
    if (absl::IsPermissionDenied(made.status())) {
        RETURN_IF_ERROR(Run("ROLLBACK TO SAVEPOINT make_type").status());
        return std::nullopt;
    }
    RETURN_IF_ERROR(made.status());
    return FindType(name);
}

bool SqlSession::Reusable() {
    if (!connection_->healthy() || ::PQtransactionStatus(connection_->raw()) != PQTRANS_IDLE) {
        return false;
    }
    // Between statements a server says nothing but farewell: a session that it has closed is seen without a
    // round trip.
    pollfd socket{.fd = ::PQsocket(connection_->raw()), .events = POLLIN, .revents = 0};
    return ::poll(&socket, 1, 0) == 0;
}

}  // namespace millrace::postgres
