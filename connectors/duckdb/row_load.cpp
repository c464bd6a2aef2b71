#include "connectors/duckdb/row_load.h"

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
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

/// Told of a cell that cannot be given to DuckDB at all; an error ends the load, OK makes the cell NULL.
using OnRejected = std::function<absl::Status(size_t row, size_t column, bool not_even_text)>;

class RowFeed final {
 public:
    RowFeed(BulkInput& input, const sql::LoadTable& table, const sdk::Batch& batch, OnRejected rejected)
        : input_(input), table_(table), batch_(batch), rejected_(std::move(rejected)), lanes_(Lanes(table)) {}

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
        const bool rewritten = RewriteCell(lane.form, lane.scale, cell.text(), scratch_, value);
        const bool bytes = lane.form == CellForm::kBytes;
        if (!rewritten || (!bytes && !IsUtf8(value))) {
            RETURN_IF_ERROR(rejected_(row, column, !IsUtf8(cell.text())));
            input_.SetNull(column);
            return absl::OkStatus();
        }
        if (bytes) {
            input_.SetBytes(column, value);
        } else {
            input_.SetText(column, value);
        }
        return absl::OkStatus();
    }

    BulkInput& input_;
    const sql::LoadTable& table_;
    const sdk::Batch& batch_;
    const OnRejected rejected_;
    const std::vector<Lane> lanes_;
    std::string scratch_;
};

absl::StatusOr<int64_t> Feed(Connection& connection, const std::string& query, const sql::LoadTable& table,
                             const sdk::Batch& batch, OnRejected rejected) {
    ASSIGN_OR_RETURN(const auto input, connection.Bulk(query, InputColumns(table)));
    return RowFeed(*input, table, batch, std::move(rejected)).Run();
}

absl::StatusOr<int64_t> Feed(Connection& connection, const std::string& query, const sql::LoadTable& table,
                             const sdk::Batch& batch) {
    return Feed(connection, query, table, batch, [&](size_t /*row*/, size_t column, bool /*not_even_text*/) {
        return Rejected(table.columns[column], batch);
    });
}

/// The cells as they are sent, in a temporary table of text.
class SentCells final {
 public:
    static constexpr std::string_view kTable = "temp.main._millrace_rejected";
    SentCells(Connection& connection, const sql::LoadTable& table) : connection_(connection), table_(table) {}

    absl::Status Fill(const sdk::Batch& batch, const OnRejected& rejected) {
        const std::vector<Connection::BulkColumn> input = InputColumns(table_);
        const std::string columns =
            List(table_, [&](size_t i) { return base::Concat(input[i].name, " ", TypeName(input[i].type)); });
        RETURN_IF_ERROR(
            connection_.Execute(base::Concat("CREATE OR REPLACE TEMP TABLE ", kTable, " (", columns, ")"))
                .status());
        return Feed(connection_, base::Concat("INSERT INTO ", kTable, " SELECT * FROM input_rows"), table_,
                    batch, rejected)
            .status();
    }

    /// Indexes of the columns whose type refuses a cell.
    absl::StatusOr<std::vector<size_t>> RefusingColumns() {
        ASSIGN_OR_RETURN(
            const auto found,
            connection_.Query(base::Concat(
                "SELECT ",
                List(table_,
                     [&](size_t i) { return base::Concat("coalesce(bool_or(", Refuses(i), "), false)"); }),
                " FROM ", kTable)));
        std::vector<size_t> columns;
        for (size_t i = 0; i < table_.columns.size(); ++i) {
            if (found.front()[i] == "true") {
                columns.push_back(i);
            }
        }
        return columns;
    }

    /// Row numbers of the cells of `column` that its type refuses; the first column is a row number.
    absl::StatusOr<std::vector<size_t>> RefusedRows(size_t column) {
        ASSIGN_OR_RETURN(const auto found,
                         connection_.Query(base::Concat("SELECT c0 FROM ", kTable, " WHERE ", Refuses(column),
                                                        " ORDER BY c0")));
        std::vector<size_t> rows;
        for (const auto& row : found) {
            size_t number = 0;
            if (row[0] && absl::SimpleAtoi(*row[0], &number)) {
                rows.push_back(number);
            }
        }
        return rows;
    }

    absl::Status Drop() { return connection_.Execute(base::Concat("DROP TABLE ", kTable)).status(); }

 private:
    [[nodiscard]] std::string Refuses(size_t i) const {
        return base::Concat("c", i, " IS NOT NULL AND TRY_CAST(c", i, " AS ", table_.columns[i].type,
                            ") IS NULL");
    }

    Connection& connection_;
    const sql::LoadTable& table_;
};

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
    SentCells sent(connection, table);
    RETURN_IF_ERROR(sent.Fill(batch, [&](size_t /*row*/, size_t column, bool /*not_even_text*/) {
        return Rejected(table.columns[column], batch);
    }));
    const auto columns = sent.RefusingColumns();
    RETURN_IF_ERROR(sent.Drop());
    RETURN_IF_ERROR(columns.status());
    return columns->empty() ? base::Annotate(rejection, batch.schema->DisplayName())
                            : Rejected(table.columns[columns->front()], batch);
}

absl::StatusOr<std::vector<sql::RefusedCell>> FindRefusedCells(Connection& connection,
                                                               const sql::LoadTable& stage,
                                                               sdk::Batch& batch) {
    std::vector<sql::RefusedCell> refused;
    const auto add = [&](size_t row, size_t column, bool not_even_text) {
        refused.push_back({.row = row,
                           .column = column,
                           .reason = not_even_text ? std::string("it is no UTF-8")
                                                   : base::Concat("DuckDB's ", stage.columns[column].type,
                                                                  " cannot store it"),
                           .not_even_text = not_even_text});
    };
    SentCells sent(connection, stage);
    RETURN_IF_ERROR(sent.Fill(batch, [&](size_t row, size_t column, bool not_even_text) {
        add(row, column, not_even_text);
        return absl::OkStatus();
    }));
    ASSIGN_OR_RETURN(const auto columns, sent.RefusingColumns());
    for (const size_t column : columns) {
        ASSIGN_OR_RETURN(const auto rows, sent.RefusedRows(column));
        for (const size_t row : rows) {
            add(row, column, false);
        }
    }
    RETURN_IF_ERROR(sent.Drop());
    for (const sql::RefusedCell& cell : refused) {
        sql::EmptyCell(stage.columns[cell.column], batch, cell.row);
    }
    return refused;
}

}  // namespace millrace::duckdb
