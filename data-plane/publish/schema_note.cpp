#include "data-plane/publish/schema_note.h"

#include <utility>

#include "base/text.h"

namespace millrace::publish {
namespace {

std::string ColumnText(const sdk::Column& column) {
    return base::Concat(column.name, " ",
                        column.declared_type.empty() ? column.source_type : column.declared_type,
                        column.key_ordinal > 0 ? " key" : "");
}

std::string Joined(const std::vector<std::string>& columns) {
    std::string text;
    for (const std::string& column : columns) {
        text += (text.empty() ? "" : ", ") + column;
    }
    return text;
}

}  // namespace

bool NoteSchema(TableState& table, const sdk::TableSchema& schema, const sdk::Position& position,
                const events::Recorder& recorder) {
    if (table.schema_id == schema.id) {
        return false;
    }
    std::vector<std::string> columns;
    for (const sdk::Column& column : schema.columns) {
        columns.push_back(ColumnText(column));
    }
    if (!table.columns.empty() && table.columns != columns) {
        recorder.Record({.type = events::EventType::kSchemaChanged,
                         .schema = table.schema,
                         .table = table.table,
                         .before = Joined(table.columns),
                         .after = Joined(columns),
                         .message = "the columns have changed at the source",
                         .position = PositionText(position.commit),
                         .id = base::Concat("schema-", table.topic, "-", table.schema_id, "-", schema.id, "-",
                                            position.commit)});
    }
    table.schema_id = schema.id;
    table.columns = std::move(columns);
    return true;
}

}  // namespace millrace::publish
