#include <libpq-fe.h>

#include <utility>

#include "base/status.h"
#include "base/text.h"
#include "connectors/postgres/copy_text.h"
#include "connectors/postgres/sql_session.h"

// SqlSession::FindRefused: trials by COPY into a stage, behind a savepoint.

namespace millrace::postgres {
namespace {

constexpr size_t kPiece = 256 * 1024;

/// What a COPY ended with.
struct CopyEnd final {
    std::string sqlstate;
    std::string context;
};

CopyEnd EndCopy(pg_conn* connection) {
    CopyEnd end;
    ::PQputCopyEnd(connection, nullptr);
    while (PGresult* raw = ::PQgetResult(connection)) {
        const base::PqResult result(raw);
        if (const char* state = ::PQresultErrorField(raw, PG_DIAG_SQLSTATE); state != nullptr) {
            end.sqlstate = state;
            const char* context = ::PQresultErrorField(raw, PG_DIAG_CONTEXT);
            end.context = context == nullptr ? "" : context;
        }
        if (::PQstatus(connection) == CONNECTION_BAD) {
            break;
        }
    }
    return end;
}

std::optional<size_t> ColumnNamed(const sql::LoadTable& table, std::string_view name) {
    for (size_t i = 0; i < table.columns.size(); ++i) {
        if (table.columns[i].name == name) {
            return i;
        }
    }
    return std::nullopt;
}

bool HoldsCell(const sql::LoadColumn& column) {
    return column.origin == sql::LoadColumn::Origin::kCell ||
           column.origin == sql::LoadColumn::Origin::kSourceKey;
}

}  // namespace

absl::StatusOr<std::vector<sql::RefusedCell>> SqlSession::FindRefused(const sql::LoadTable& stage,
                                                                      sdk::Batch& batch) {
    RETURN_IF_ERROR(MakeStage(stage));
    RETURN_IF_ERROR(Run("SAVEPOINT millrace_trial").status());
    std::vector<size_t> rows;
    for (size_t row = 0; row < batch.rows.size(); ++row) {
        if (!stage.partial_only || batch.rows[row].kind == sdk::BatchRow::Kind::kPartial) {
            rows.push_back(row);
        }
    }
    std::vector<sql::RefusedCell> refused;
    RefusedSearch search(
        rows.size(), stage.columns.size(),
        [&](const Trial& trial) { return TryRows(stage, batch, rows, trial); },
        [&](size_t row, size_t column, const std::string& sqlstate) {
            const sql::LoadColumn& target = stage.columns[column];
            if (!HoldsCell(target) || !sql::LoadedCell(target, batch, rows[row]).is_value()) {
                return false;
            }
            refused.push_back({.row = rows[row],
                               .column = column,
                               .reason = base::Concat("PostgreSQL refuses it as ", target.type, " (SQLSTATE ",
                                                      sqlstate, ")"),
                               .not_even_text = sqlstate == "22P05" || sqlstate == "22021"});
            sql::EmptyCell(target, batch, rows[row]);
            return true;
        });
    RETURN_IF_ERROR(search.Run());
    RETURN_IF_ERROR(Run("ROLLBACK TO SAVEPOINT millrace_trial; RELEASE SAVEPOINT millrace_trial").status());
    return refused;
}

absl::StatusOr<std::optional<Refusal>> SqlSession::TryRows(const sql::LoadTable& stage,
                                                           const sdk::Batch& batch,
                                                           const std::vector<size_t>& rows,
                                                           const Trial& trial) {
    std::string columns;
    for (const sql::LoadColumn& column : stage.columns) {
        base::Append(columns, columns.empty() ? "" : ", ", base::QuoteIdentifier(column.name));
    }
    RETURN_IF_ERROR(
        Run(base::Concat("COPY pg_temp.", base::QuoteIdentifier(stage.table), " (", columns, ") FROM STDIN"))
            .status());
    buffer_.clear();
    bool sent = true;
    for (size_t i = trial.begin; i < trial.end && sent; ++i) {
        if (trial.only) {
            AppendCopyCell(buffer_, stage, batch, rows[i], *trial.only);
        } else {
            AppendCopyRow(buffer_, stage, batch, rows[i]);
        }
        if (buffer_.size() >= kPiece || i + 1 == trial.end) {
            // Long cells pass libpq's limit on one message only beyond what a record can hold.
            sent = ::PQputCopyData(connection_->raw(), buffer_.data(), static_cast<int>(buffer_.size())) == 1;
            buffer_.clear();
        }
    }
    const CopyEnd end = EndCopy(connection_->raw());
    if (end.sqlstate.empty()) {
        return sent && connection_->healthy() ? absl::StatusOr<std::optional<Refusal>>(std::nullopt)
                                              : connection_->LastError("trying rows");
    }
    if (!IsValueState(end.sqlstate)) {
        return Refine(base::SqlStateToStatus(end.sqlstate, "trying rows"));
    }
    RETURN_IF_ERROR(Run("ROLLBACK TO SAVEPOINT millrace_trial").status());
    Refusal refusal = ReadContext(end.context, stage.table,
                                  [&](std::string_view name) { return ColumnNamed(stage, name); });
    refusal.sqlstate = end.sqlstate;
    return refusal;
}

}  // namespace millrace::postgres
