#include "connectors/duckdb/row_load.h"

#include <memory>
#include <utility>
#include <vector>

#include "base/status.h"
#include "base/text.h"
#include "connectors/duckdb/dialect.h"
#include "connectors/duckdb/type_map.h"

namespace millrace::duckdb {
namespace {

using Origin = sql::LoadColumn::Origin;
using Type = BulkInput::Type;

bool HoldsCells(const sql::LoadColumn& column) {
    return column.origin == Origin::kCell || column.origin == Origin::kSourceKey;
}

// Stages number their columns; people know them by the source's names.
const std::string& SourceName(const sql::LoadColumn& column, const sdk::Batch& batch) {
    const int index = column.origin == Origin::kSourceKey ? column.key_column : column.index;
    return batch.schema->columns[static_cast<size_t>(index)].name;
}

absl::Status Rejected(const sql::LoadColumn& column, const sdk::Batch& batch) {
    const std::string& name = SourceName(column, batch);
    return base::MakeError(
        absl::StatusCode::kFailedPrecondition, "VALUE_REJECTED",
        base::Concat("column ", name, " of ", batch.schema->DisplayName(), " holds a value that DuckDB's ",
                     column.type, " cannot store"),
        base::Concat(
            "Correct the value at the source, or let the destination keep its text: ALTER TABLE … ALTER ",
            name, " TYPE VARCHAR."));
}

// What the cells of one column need on their way.
struct Lane final {
    CellForm form = CellForm::kText;
    int scale = 0;
};

std::vector<Connection::BulkColumn> InputColumns(const sql::LoadTable& table) {
    std::vector<Connection::BulkColumn> columns;
    for (const sql::LoadColumn& column : table.columns) {
        Type type = column.origin == Origin::kRowNumber ? Type::kInteger : Type::kBoolean;
        if (HoldsCells(column)) {
            type = FormFor(column.type) == CellForm::kBytes ? Type::kBytes : Type::kText;
        }
        columns.push_back({base::Concat("c", columns.size()), type});
    }
    return columns;
}

std::string_view TypeName(Type type) {
    switch (type) {
        case Type::kBytes:
            return "BLOB";
        case Type::kInteger:
            return "INTEGER";
        case Type::kBoolean:
            return "BOOLEAN";
        case Type::kText:
            break;
    }
    return "VARCHAR";
}

std::vector<Lane> Lanes(const sql::LoadTable& table) {
    std::vector<Lane> lanes;
    for (const sql::LoadColumn& column : table.columns) {
        lanes.push_back({FormFor(column.type), ScaleOf(column.type)});
    }
    return lanes;
}

// A list with `item(i)` for each column.
template <typename Item>
std::string List(const sql::LoadTable& table, Item item) {
    std::string list;
    for (size_t i = 0; i < table.columns.size(); ++i) {
        base::Append(list, i == 0 ? "" : ", ", item(i));
    }
    return list;
}

class RowFeed final {
 public:
    RowFeed(BulkInput& input, const sql::LoadTable& table, const sdk::Batch& batch)
        : input_(input), table_(table), batch_(batch), lanes_(Lanes(table)) {}

    absl::StatusOr<int64_t> Run() {
        int64_t rows = 0;
        for (size_t row = 0; row < batch_.rows.size(); ++row) {
            if (table_.partial_only && batch_.rows[row].kind != sdk::BatchRow::Kind::kPartial) {
                continue;
            }
            for (size_t column = 0; column < lanes_.size(); ++column) {
                RETURN_IF_ERROR(Set(row, column));
            }
            RETURN_IF_ERROR(input_.EndRow());
            ++rows;
        }
        RETURN_IF_ERROR(input_.Finish());
        return rows;
    }

 private:
    absl::Status Set(size_t row, size_t column) {
        const sql::LoadColumn& target = table_.columns[column];
        if (target.origin == Origin::kRowNumber) {
            input_.SetInteger(column, static_cast<int32_t>(row));
            return absl::OkStatus();
        }
        if (!HoldsCells(target)) {
            input_.SetBoolean(column, sql::LoadedFlag(target, batch_, row));
            return absl::OkStatus();
        }
        const sdk::Cell cell = sql::LoadedCell(target, batch_, row);
        if (cell.is_null()) {
            input_.SetNull(column);
            return absl::OkStatus();
        }
        std::string_view value;
        const Lane& lane = lanes_[column];
        if (!RewriteCell(lane.form, lane.scale, cell.text(), scratch_, value)) {
            return Rejected(target, batch_);
        }
        if (lane.form == CellForm::kBytes) {
            input_.SetBytes(column, value);
            return absl::OkStatus();
        }
        if (!IsUtf8(value)) {
            return Rejected(target, batch_);
        }
        input_.SetText(column, value);
        return absl::OkStatus();
    }

    BulkInput& input_;
    const sql::LoadTable& table_;
    const sdk::Batch& batch_;
    const std::vector<Lane> lanes_;
    std::string scratch_;
};

absl::StatusOr<int64_t> Feed(Connection& connection, const std::string& query, const sql::LoadTable& table,
                             const sdk::Batch& batch) {
    ASSIGN_OR_RETURN(const auto input, connection.Bulk(query, InputColumns(table)));
    return RowFeed(*input, table, batch).Run();
}

}  // namespace

absl::StatusOr<int64_t> LoadRows(Connection& connection, const sql::LoadTable& table,
                                 const sdk::Batch& batch) {
    const DuckDbDialect dialect;
    const auto name = [&](size_t i) { return dialect.QuoteIdentifier(table.columns[i].name); };
    const std::string target = table.temporary()
                                   ? base::Concat("temp.main.", dialect.QuoteIdentifier(table.table))
                                   : dialect.Qualified({table.schema, table.table});
    if (table.temporary()) {
        const std::string columns =
            List(table, [&](size_t i) { return base::Concat(name(i), " ", table.columns[i].type); });
        RETURN_IF_ERROR(
            connection.Execute(base::Concat("CREATE OR REPLACE TEMP TABLE ", target, " (", columns, ")"))
                .status());
    }
    const std::string values =
        List(table, [&](size_t i) { return base::Concat("CAST(c", i, " AS ", table.columns[i].type, ")"); });
    return Feed(connection,
                base::Concat("INSERT INTO ", target, " (", List(table, name), ") SELECT ", values,
                             " FROM input_rows"),
                table, batch);
}

absl::Status ExplainRejection(Connection& connection, const sql::LoadTable& table, const sdk::Batch& batch,
                              const absl::Status& rejection) {
    const std::vector<Connection::BulkColumn> input = InputColumns(table);
    const std::string probe = "temp.main._millrace_rejected";
    const auto definition = [&](size_t i) {
        return base::Concat(input[i].name, " ", TypeName(input[i].type));
    };
    const auto refuses = [&](size_t i) {
        return base::Concat("coalesce(bool_or(c", i, " IS NOT NULL AND TRY_CAST(c", i, " AS ",
                            table.columns[i].type, ") IS NULL), false)");
    };
    RETURN_IF_ERROR(
        connection
            .Execute(base::Concat("CREATE OR REPLACE TEMP TABLE ", probe, " (", List(table, definition), ")"))
            .status());
    RETURN_IF_ERROR(
        Feed(connection, base::Concat("INSERT INTO ", probe, " SELECT * FROM input_rows"), table, batch)
            .status());
    const auto found = connection.Query(base::Concat("SELECT ", List(table, refuses), " FROM ", probe));
    RETURN_IF_ERROR(connection.Execute(base::Concat("DROP TABLE ", probe)).status());
    RETURN_IF_ERROR(found.status());
    for (size_t i = 0; i < table.columns.size(); ++i) {
        if (found->front()[i] == "true") {
            return Rejected(table.columns[i], batch);
        }
    }
    return base::Annotate(rejection, batch.schema->DisplayName());
}

}  // namespace millrace::duckdb
