#include "connectors/sdk/testing/batch_builder.h"

#include <algorithm>
#include <map>

namespace millrace::sdk::testing {
namespace {

bool AnyUnchanged(const TestRow& row) {
    return std::any_of(row.begin(), row.end(), [](const TestCell& cell) { return cell.unchanged(); });
}

// Columns of two shapes of a table are one and the same where their names are.
int IdOfName(const std::string& name) {
    uint32_t hash = 2166136261U;
    for (const char c : name) {
        hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
    }
    return static_cast<int>(hash >> 2) + 1;
}

}  // namespace

Column MakeColumn(std::string name, std::string source_type, int key_ordinal) {
    static const std::map<std::string, LogicalType> kTypes = {
        {"smallint", LogicalType::kInt16},
        {"integer", LogicalType::kInt32},
        {"bigint", LogicalType::kInt64},
        {"real", LogicalType::kFloat32},
        {"double precision", LogicalType::kFloat64},
        {"boolean", LogicalType::kBoolean},
        {"bytea", LogicalType::kBytes},
        {"date", LogicalType::kDate},
        {"timestamp without time zone", LogicalType::kTimestamp},
        {"timestamp with time zone", LogicalType::kTimestampTz},
        {"uuid", LogicalType::kUuid},
        {"jsonb", LogicalType::kJson},
        {"numeric(12,2)", LogicalType::kNumeric},
    };
    Column column;
    column.name = std::move(name);
    if (const auto known = kTypes.find(source_type); known != kTypes.end()) {
        column.type = known->second;
    }
    if (source_type == "numeric(12,2)") {
        column.precision = 12;
        column.scale = 2;
    }
    column.source_type = std::move(source_type);
    column.key_ordinal = key_ordinal;
    column.nullable = key_ordinal == 0;
    return column;
}

SchemaPtr MakeSchema(std::string table, std::vector<Column> columns, std::string schema) {
    auto made = std::make_shared<TableSchema>();
    made->source = "postgres";
    made->schema = std::move(schema);
    made->table = std::move(table);
    made->source_table_id = 16384;
    made->columns = std::move(columns);
    made->append_only = std::none_of(made->columns.begin(), made->columns.end(),
                                     [](const Column& column) { return column.key_ordinal > 0; });
    for (Column& column : made->columns) {
        column.source_id = column.source_id != 0 ? column.source_id : IdOfName(column.name);
    }
    made->id = ComputeSchemaId(*made);
    return made;
}

BatchBuilder::BatchBuilder(SchemaPtr schema) {
    batch_.schema = std::move(schema);
    batch_.generation = 1;
}

Cell BatchBuilder::Keep(const TestCell& cell) {
    if (cell.unchanged()) {
        return Cell::Unchanged();
    }
    return cell.text() ? Cell::Value(texts_->emplace_back(*cell.text())) : Cell::Null();
}

void BatchBuilder::AddRow(BatchRow row, const TestRow& cells) {
    batch_.rows.push_back(row);
    for (const TestCell& cell : cells) {
        batch_.cells.push_back(Keep(cell));
    }
}

BatchBuilder& BatchBuilder::Full(const TestRow& row) {
    AddRow({.kind = BatchRow::Kind::kFull, .source_key = -1}, row);
    return *this;
}

BatchBuilder& BatchBuilder::Partial(const TestRow& row) {
    AddRow({.kind = BatchRow::Kind::kPartial, .source_key = -1}, row);
    return *this;
}

BatchBuilder& BatchBuilder::Moved(const TestRow& source_key, const TestRow& row) {
    std::vector<Cell>& key = batch_.source_keys.emplace_back();
    for (const TestCell& cell : source_key) {
        key.push_back(Keep(cell));
    }
    AddRow({.kind = AnyUnchanged(row) ? BatchRow::Kind::kPartial : BatchRow::Kind::kFull,
            .source_key = static_cast<int>(batch_.source_keys.size()) - 1},
           row);
    return *this;
}

BatchBuilder& BatchBuilder::Gone(const TestRow& key) {
    TestRow row(batch_.schema->columns.size(), nullptr);
    const std::vector<int> columns = batch_.schema->KeyColumns();
    for (size_t i = 0; i < columns.size(); ++i) {
        row[static_cast<size_t>(columns[i])] = key[i];
    }
    AddRow({.kind = BatchRow::Kind::kGone, .source_key = -1}, row);
    return *this;
}

BatchBuilder& BatchBuilder::TruncateFirst() {
    batch_.truncate_first = true;
    return *this;
}

BatchBuilder& BatchBuilder::Append() {
    batch_.append = true;
    return *this;
}

Batch BatchBuilder::Build(int64_t first, int64_t next) {
    batch_.first_offset = first;
    batch_.next_offset = next;
    // Above the range of signed numbers: positions are unsigned.
    batch_.last = {.commit = 0xF000'0000'0000'0000ULL + static_cast<uint64_t>(next), .seq = 7};
    batch_.last_commit_time_us = 1'700'000'000'000'000;
    batch_.events = static_cast<int64_t>(batch_.rows.size());
    batch_.buffers.push_back(texts_);
    return std::move(batch_);
}

}  // namespace millrace::sdk::testing
