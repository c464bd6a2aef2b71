#include "connectors/duckdb/session.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "absl/strings/numbers.h"
#include "base/status.h"
#include "base/text.h"
#include "connectors/duckdb/dialect.h"
#include "connectors/duckdb/row_load.h"
#include "connectors/duckdb/type_map.h"

namespace millrace::duckdb {
namespace {

std::string Literal(std::string_view text) {
    return DuckDbDialect().QuoteLiteral(text);
}

absl::Status NameClash(const sdk::TableTarget& table, std::string_view what) {
    return base::MakeError(absl::StatusCode::kFailedPrecondition, "NAME_CLASH",
                           base::Concat("table ", table.DisplayName(), " cannot be kept in DuckDB: ", what),
                           "Leave the table out of this pipeline, or rename one of the two.");
}

std::string WhereTable(const sdk::TableTarget& table, std::string_view name_column) {
    return base::Concat(" WHERE database_name = ", Literal(kCatalog), " AND lower(schema_name) = lower(",
                        Literal(table.schema), ") AND lower(", name_column, ") = lower(",
                        Literal(table.table), ")");
}

int ToInt(const std::optional<std::string>& text) {
    int value = 0;
    return text && absl::SimpleAtoi(*text, &value) ? value : 0;
}

}  // namespace

DuckDbSession::DuckDbSession(std::unique_ptr<DatabaseFile::Lease> lease) : lease_(std::move(lease)) {}

DuckDbSession::~DuckDbSession() {
    Rollback();
}

absl::Status DuckDbSession::Begin() {
    RETURN_IF_ERROR(lease_->connection().Execute("BEGIN").status());
    in_transaction_ = true;
    return absl::OkStatus();
}

absl::Status DuckDbSession::Commit() {
    in_transaction_ = false;
    return lease_->connection().Execute("COMMIT").status();
}

void DuckDbSession::Rollback() {
    if (std::exchange(in_transaction_, false)) {
        // A transaction that cannot be rolled back ends with its connection.
        (void)lease_->connection().Execute("ROLLBACK");
    }
}

absl::StatusOr<int64_t> DuckDbSession::Execute(const std::string& sql) {
    auto rows = lease_->connection().Execute(sql);
    if (rows.ok() && sql.starts_with("DELETE")) {
        lease_->NoteDeleted(*rows);
    }
    return rows;
}

absl::StatusOr<std::vector<sql::SqlSession::Row>> DuckDbSession::Query(const std::string& sql) {
    return lease_->connection().Query(sql);
}

absl::StatusOr<int64_t> DuckDbSession::Load(const sql::LoadTable& table, const sdk::Batch& batch) {
    auto rows = LoadRows(lease_->connection(), table, batch);
    if (base::ReasonOf(rows.status()) != "VALUE_REJECTED" || !base::RemedyOf(rows.status()).empty()) {
        return rows;
    }
    // The transaction that failed answers nothing more.
    Rollback();
    return ExplainRejection(lease_->connection(), table, batch, rows.status());
}

absl::StatusOr<std::vector<sql::RefusedCell>> DuckDbSession::FindRefused(const sql::LoadTable& stage,
                                                                         sdk::Batch& batch) {
    return FindRefusedCells(lease_->connection(), stage, batch);
}

absl::StatusOr<std::optional<sql::TableShape>> DuckDbSession::Describe(const sdk::TableTarget& table) {
    if (IsReservedSchema(table.schema)) {
        return NameClash(table, kReservedSchema);
    }
    Connection& connection = lease_->connection();
    ASSIGN_OR_RETURN(
        const auto names,
        connection.Query(base::Concat(
            "SELECT table_name, false FROM duckdb_tables()", WhereTable(table, "table_name"),
            " UNION ALL SELECT view_name, true FROM duckdb_views()", WhereTable(table, "view_name"))));
    if (names.empty()) {
        return std::nullopt;
    }
    if (names.front()[1] == "true") {
        return NameClash(table, "a view of that name exists");
    }
    if (names.front()[0] != table.table) {
        return NameClash(table,
                         base::Concat("it ignores case, and a table ", *names.front()[0], " exists there"));
    }
    sql::TableShape shape;
    ASSIGN_OR_RETURN(const auto key,
                     connection.Query(base::Concat(
                         "SELECT constraint_name, unnest(constraint_column_names) FROM"
                         " duckdb_constraints()",
                         WhereTable(table, "table_name"), " AND constraint_type = 'PRIMARY KEY'")));
    ASSIGN_OR_RETURN(const auto columns,
                     connection.Query(base::Concat(
                         "SELECT column_name, data_type, (NOT is_nullable)::INTEGER,"
                         " (coalesce(column_default, 'NULL') <> 'NULL')::INTEGER FROM duckdb_columns()",
                         WhereTable(table, "table_name"), " ORDER BY column_index")));
    for (const auto& row : columns) {
        sql::TableShape::Column column{.name = *row[0], .type = *row[1]};
        column.not_null = ToInt(row[2]) != 0;
        column.has_default = ToInt(row[3]) != 0;
        for (size_t i = 0; i < key.size(); ++i) {
            if (key[i][1] == column.name) {
                column.key_ordinal = static_cast<int>(i) + 1;
                shape.key_name = key[i][0].value_or("");
            }
        }
        shape.columns.push_back(std::move(column));
    }
    return shape;
}

absl::StatusOr<bool> DuckDbSession::SchemaExists(const std::string& schema) {
    ASSIGN_OR_RETURN(const auto rows,
                     lease_->connection().Query(base::Concat(
                         "SELECT 1 FROM duckdb_schemas() WHERE database_name = ", Literal(kCatalog),
                         " AND lower(schema_name) = lower(", Literal(schema), ")")));
    return !rows.empty();
}

absl::StatusOr<std::vector<std::string>> DuckDbSession::ColumnTypes(const sdk::TableSchema& schema) {
    std::vector<std::string> types;
    for (const sdk::Column& column : schema.columns) {
        types.push_back(TypeFor(column, lease_->has_json()));
    }
    return types;
}

absl::StatusOr<sql::SessionLease> FileSessions::Acquire() {
    ASSIGN_OR_RETURN(auto lease, file_->Acquire());
    return sql::SessionLease(new DuckDbSession(std::move(lease)),
                             [](sql::SqlSession* session) { delete session; });
}

}  // namespace millrace::duckdb
