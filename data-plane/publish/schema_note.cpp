#include "data-plane/publish/schema_note.h"

#include <algorithm>
#include <memory>
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

// Of a shape that the source has left, what it says of storage and versions belongs to a later one: whatever
// came in between is still to be noticed then.
sdk::SchemaPtr WithStorageOf(const sdk::SchemaPtr& before, const sdk::SchemaPtr& now) {
    if (!now->behind) {
        return now;
    }
    auto schema = std::make_shared<sdk::TableSchema>(*now);
    schema->storage = before ? before->storage : "";
    for (sdk::Column& column : schema->columns) {
        if (before == nullptr || column.source_id == 0) {
            continue;
        }
        for (const sdk::Column& earlier : before->columns) {
            if (earlier.source_id == column.source_id) {
                column.source_version = earlier.source_version;
            }
        }
    }
    return schema;
}

bool SameStorage(const sdk::TableSchema& a, const sdk::TableSchema& b) {
    return a.storage == b.storage &&
           std::equal(a.columns.begin(), a.columns.end(), b.columns.begin(), b.columns.end(),
                      [](const sdk::Column& x, const sdk::Column& y) {
                          return x.source_version == y.source_version;
                      });
}

}  // namespace

bool NoteSchema(TableState& table, const sdk::SchemaPtr& schema, const sdk::Position& position,
                const events::Recorder& recorder) {
    sdk::SchemaPtr remembered = WithStorageOf(table.schema_of_last, schema);
    const bool same_storage = table.schema_of_last && SameStorage(*table.schema_of_last, *remembered);
    if (table.schema_id == schema->id && same_storage) {
        return false;
    }
    std::vector<std::string> columns;
    for (const sdk::Column& column : schema->columns) {
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
                         .id = base::Concat("schema-", table.topic, "-", table.schema_id, "-", schema->id,
                                            "-", position.commit)});
    }
    table.schema_id = schema->id;
    table.schema_of_last = std::move(remembered);
    table.columns = std::move(columns);
    return true;
}

}  // namespace millrace::publish
