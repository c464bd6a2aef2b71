#include "connectors/sdk/sql/column_table.h"

#include <algorithm>
#include <tuple>

#include "absl/strings/numbers.h"
#include "base/status.h"
#include "base/text.h"
#include "connectors/sdk/sql/checkpoint_table.h"

namespace millrace::sql {
namespace {

constexpr std::string_view kTable = "columns";

sdk::TableTarget Target() {
    return {std::string(CheckpointTable::kSchema), std::string(kTable)};
}

}  // namespace

std::vector<std::string> WrittenColumns::Dropped() const {
    std::vector<std::string> names;
    for (const WrittenColumn& column : columns) {
        if (column.dropped) {
            names.push_back(column.name);
        }
    }
    return names;
}

std::string ColumnTable::Name() const {
    return dialect_.Qualified(Target());
}

std::string ColumnTable::Where() const {
    return base::Concat(" WHERE pipeline_uid = ", dialect_.QuoteLiteral(stream_.pipeline_uid),
                        " AND topic = ", dialect_.QuoteLiteral(stream_.topic));
}

absl::StatusOr<bool> ColumnTable::Exists() {
    ASSIGN_OR_RETURN(const auto shape, session_.Describe(Target()));
    return shape.has_value();
}

absl::Status ColumnTable::Ensure() {
    ASSIGN_OR_RETURN(const bool exists, Exists());
    if (exists) {
        return absl::OkStatus();
    }
    RETURN_IF_ERROR(session_.Begin());
    absl::Status status = Create();
    if (status.ok()) {
        status = session_.Commit();
    }
    if (!status.ok()) {
        session_.Rollback();
        return base::Annotate(status, "creating _millrace.columns");
    }
    return absl::OkStatus();
}

absl::Status ColumnTable::Create() {
    if (const std::string lock = dialect_.DdlLock(); !lock.empty()) {
        RETURN_IF_ERROR(session_.Execute(lock).status());
    }
    return session_
        .Execute(base::Concat(
            "CREATE TABLE IF NOT EXISTS ", Name(),
            " (pipeline_uid TEXT NOT NULL, topic TEXT NOT NULL, source_table_id ", dialect_.UnsignedType(),
            " NOT NULL, source_column_id BIGINT NOT NULL, column_name TEXT NOT NULL, column_type "
            "TEXT NOT NULL, dropped BOOLEAN NOT NULL)"))
        .status();
}

absl::StatusOr<WrittenColumns> ColumnTable::Read() {
    ASSIGN_OR_RETURN(const auto rows,
                     session_.Query(base::Concat("SELECT source_table_id, source_column_id, column_name, "
                                                 "column_type, CASE WHEN dropped THEN 1 ELSE 0 END FROM ",
                                                 Name(), Where(), "")));
    WrittenColumns written;
    for (const SqlSession::Row& row : rows) {
        WrittenColumn column;
        if (row.size() != 5 || !row[0] || !row[1] || !row[2] || !row[3] || !row[4] ||
            !absl::SimpleAtoi(*row[0], &written.source_table_id) ||
            !absl::SimpleAtoi(*row[1], &column.source_id)) {
            return base::MakeError(
                absl::StatusCode::kDataLoss, "COLUMNS_UNREADABLE",
                base::Concat("a row of topic ", stream_.topic, " in _millrace.columns is damaged"),
                "Delete the topic's rows there, and resync the table.");
        }
        column.name = *row[2];
        column.type = *row[3];
        column.dropped = *row[4] == "1";
        written.columns.push_back(std::move(column));
    }
    // As a plan has them: in an order that no collation of the destination has a part in.
    std::ranges::sort(written.columns, {},
                      [](const WrittenColumn& column) { return std::tie(column.source_id, column.name); });
    return written;
}

absl::Status ColumnTable::Write(const WrittenColumns& columns) {
    RETURN_IF_ERROR(session_.Execute(base::Concat("DELETE FROM ", Name(), Where())).status());
    std::string rows;
    for (const WrittenColumn& column : columns.columns) {
        base::Append(rows, rows.empty() ? "(" : ", (", dialect_.QuoteLiteral(stream_.pipeline_uid), ", ",
                     dialect_.QuoteLiteral(stream_.topic), ", ", columns.source_table_id, ", ",
                     column.source_id, ", ", dialect_.QuoteLiteral(column.name), ", ",
                     dialect_.QuoteLiteral(column.type), column.dropped ? ", true)" : ", false)");
    }
    if (rows.empty()) {
        return absl::OkStatus();
    }
    return session_
        .Execute(base::Concat(
            "INSERT INTO ", Name(),
            " (pipeline_uid, topic, source_table_id, source_column_id, column_name, column_type, dropped) "
            "VALUES ",
            rows))
        .status();
}

absl::Status ColumnTable::RemovePipeline(const std::string& pipeline_uid) {
    ASSIGN_OR_RETURN(const bool exists, Exists());
    return exists ? session_
                        .Execute(base::Concat("DELETE FROM ", Name(),
                                              " WHERE pipeline_uid = ", dialect_.QuoteLiteral(pipeline_uid)))
                        .status()
                  : absl::OkStatus();
}

}  // namespace millrace::sql
