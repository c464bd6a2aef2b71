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
            return ValueRejected(batch_, target.name, target.type);
        }
        if (lane.form == CellForm::kBytes) {
            input_.SetBytes(column, value);
            return absl::OkStatus();
        }
        if (!IsUtf8(value)) {
            return ValueRejected(batch_, target.name, target.type);
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

absl::StatusOr<std::string> FindRejected(Connection& connection, const sql::LoadTable& table,
                                         const sdk::Batch& batch) {
    const std::vector<Connection::BulkColumn> input = InputColumns(table);
    const auto type = [&](size_t i) {
        return input[i].type == Type::kText      ? "VARCHAR"
               : input[i].type == Type::kBytes   ? "BLOB"
               : input[i].type == Type::kInteger ? "INTEGER"
                                                 : "BOOLEAN";
    };
    const std::string probe = "temp.main._millrace_rejected";
    RETURN_IF_ERROR(connection
                        .Execute(base::Concat(
                            "CREATE OR REPLACE TEMP TABLE ", probe, " (",
                            List(table, [&](size_t i) { return base::Concat("c", i, " ", type(i)); }), ")"))
                        .status());
    const auto fed =
        Feed(connection, base::Concat("INSERT INTO ", probe, " SELECT * FROM input_rows"), table, batch);
    auto found = fed.ok() ? connection.Query(base::Concat(
                                "SELECT ",
                                List(table,
                                     [&](size_t i) {
                                         return base::Concat(
                                             "coalesce(bool_or(c", i, " IS NOT NULL AND TRY_CAST(c", i,
                                             " AS ", table.columns[i].type, ") IS NULL), false)::INTEGER");
                                     }),
                                " FROM ", probe))
                          : absl::StatusOr<std::vector<Connection::Row>>(fed.status());
    RETURN_IF_ERROR(connection.Execute(base::Concat("DROP TABLE ", probe)).status());
    RETURN_IF_ERROR(found.status());
    for (size_t i = 0; i < table.columns.size(); ++i) {
        if (found->front()[i] == "1") {
            return table.columns[i].name;
        }
    }
    return std::string();
}

absl::Status ValueRejected(const sdk::Batch& batch, const std::string& column, const std::string& type) {
    return base::MakeError(
        absl::StatusCode::kFailedPrecondition, "VALUE_REJECTED",
        base::Concat("column ", column, " of ", batch.schema->DisplayName(), " holds a value that DuckDB's ",
                     type, " cannot store"),
        base::Concat(
            "Correct the value at the source, or let the destination keep its text: ALTER TABLE … ALTER ",
            column, " TYPE VARCHAR."));
}

}  // namespace millrace::duckdb
