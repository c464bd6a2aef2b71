#include "connectors/sdk/sql/session.h"

#include "base/status.h"

namespace millrace::sql {

sdk::Cell LoadedCell(const LoadColumn& column, const sdk::Batch& batch, size_t row) {
    const sdk::BatchRow& kind = batch.rows[row];
    const sdk::RowView cells = batch.Row(row);
    sdk::Cell cell;
    if (column.origin == LoadColumn::Origin::kSourceKey) {
        cell =
            kind.source_key >= 0
                ? batch.source_keys[static_cast<size_t>(kind.source_key)][static_cast<size_t>(column.index)]
                : cells[static_cast<size_t>(column.key_column)];
    } else {
        const auto index = static_cast<size_t>(column.index);
        const bool meaningful =
            kind.kind != sdk::BatchRow::Kind::kGone || batch.schema->columns[index].key_ordinal > 0;
        cell = meaningful ? cells[index] : sdk::Cell::Null();
    }
    return cell.is_unchanged() ? sdk::Cell::Null() : cell;
}

void EmptyCell(const LoadColumn& column, sdk::Batch& batch, size_t row) {
    const int source_key = batch.rows[row].source_key;
    if (column.origin == LoadColumn::Origin::kSourceKey && source_key >= 0) {
        batch.source_keys[static_cast<size_t>(source_key)][static_cast<size_t>(column.index)] =
            sdk::Cell::Null();
        return;
    }
    const int index = column.origin == LoadColumn::Origin::kSourceKey ? column.key_column : column.index;
    batch.cells[row * batch.schema->columns.size() + static_cast<size_t>(index)] = sdk::Cell::Null();
}

bool LoadedFlag(const LoadColumn& column, const sdk::Batch& batch, size_t row) {
    if (column.origin == LoadColumn::Origin::kGone) {
        return batch.rows[row].kind == sdk::BatchRow::Kind::kGone;
    }
    return batch.Row(row)[static_cast<size_t>(column.index)].is_unchanged();
}

absl::Status InTransaction(SqlSession& session, std::string_view doing,
                           const std::function<absl::Status()>& body) {
    RETURN_IF_ERROR(session.Begin());
    absl::Status status = body();
    if (status.ok()) {
        status = session.Commit();
    }
    if (!status.ok()) {
        session.Rollback();
        return base::Annotate(status, doing);
    }
    return absl::OkStatus();
}

}  // namespace millrace::sql
