#include "data-plane/apply/sample_events.h"

namespace millrace::apply {

sdk::SchemaPtr OrdersSchema(int extra, bool append_only) {
    auto schema = std::make_shared<sdk::TableSchema>();
    schema->source = "postgres";
    schema->schema = "public";
    schema->table = "orders";
    schema->source_table_id = 16384;
    schema->append_only = append_only;
    std::vector<std::string> names{"id", "status", "note", "photo"};
    for (int i = 1; i <= extra; ++i) {
        names.push_back("extra" + std::to_string(i));
    }
    for (const std::string& name : names) {
        sdk::Column column;
        column.name = name;
        column.source_type = "text";
        column.source_id = static_cast<int>(schema->columns.size()) + 1;
        column.key_ordinal = name == "id" && !append_only ? 1 : 0;
        schema->columns.push_back(column);
    }
    schema->id = sdk::ComputeSchemaId(*schema);
    return schema;
}

sdk::ChangeEvent EventMaker::Make(sdk::Op op, const SampleRow& after, const SampleRow& before) {
    sdk::ChangeEvent event;
    event.op = op;
    event.schema = schema_;
    event.position = {++commits_ * 100, 0};
    event.commit_time_us = static_cast<int64_t>(commits_) * 1'000'000;
    event.generation = generation_;
    event.after = Keep(after);
    event.before = Keep(before);
    return event;
}

SampleRow EventMaker::KeyRow(const std::string& id) const {
    SampleRow row(schema_->columns.size());
    row[0] = id;
    return row;
}

sdk::RowView EventMaker::Keep(const SampleRow& row) {
    std::vector<sdk::Cell>& cells = rows_.emplace_back();
    for (const auto& value : row) {
        if (!value) {
            cells.push_back(sdk::Cell::Null());
        } else if (*value == "~") {
            cells.push_back(sdk::Cell::Unchanged());
        } else {
            cells.push_back(sdk::Cell::Value(texts_.emplace_back(*value)));
        }
    }
    return cells;
}

}  // namespace millrace::apply
