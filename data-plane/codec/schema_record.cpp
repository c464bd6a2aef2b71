#include <limits>
#include <string>

#include "base/status.h"
#include "data-plane/codec/event_codec.h"
#include "millrace/v1/change_event.pb.h"

namespace millrace::codec {
namespace {

absl::Status BadSchema(const std::string& what) {
    return base::MakeError(
        absl::StatusCode::kDataLoss, "BAD_SCHEMA_RECORD", "a schema record cannot be read: " + what,
        "check that nothing but Millrace writes to the schema topic and that this worker is no "
        "older than the one that wrote it");
}

bool KnownType(int32_t number) {
    return number >= static_cast<int32_t>(sdk::LogicalType::kText) &&
           number <= static_cast<int32_t>(sdk::LogicalType::kEnum);
}

sdk::Column FromRecord(const v1::ColumnSchema& record) {
    sdk::Column column;
    column.name = record.name();
    column.source_type = record.source_type();
    column.type = static_cast<sdk::LogicalType>(record.logical_type());
    column.element = static_cast<sdk::LogicalType>(record.element_type());
    column.precision = record.precision();
    column.scale = record.scale();
    column.nullable = record.nullable();
    column.key_ordinal = record.key_ordinal();
    column.source_id = record.source_id();
    column.declared_type = record.declared_type();
    if (record.has_fill_value()) {
        column.fill = record.fill_value();
    }
    column.labels.assign(record.labels().begin(), record.labels().end());
    column.source_version = record.source_version();
    return column;
}

void ToRecord(const sdk::Column& column, v1::ColumnSchema& record) {
    record.set_name(column.name);
    record.set_source_type(column.source_type);
    record.set_logical_type(static_cast<int32_t>(column.type));
    record.set_element_type(static_cast<int32_t>(column.element));
    record.set_precision(column.precision);
    record.set_scale(column.scale);
    record.set_nullable(column.nullable);
    record.set_key_ordinal(column.key_ordinal);
    record.set_source_id(column.source_id);
    record.set_declared_type(column.declared_type);
    if (column.fill) {
        record.set_fill_value(*column.fill);
    }
    record.mutable_labels()->Assign(column.labels.begin(), column.labels.end());
    record.set_source_version(column.source_version);
}

}  // namespace

std::string EncodeSchema(const sdk::TableSchema& schema) {
    v1::SchemaRecord record;
    record.set_schema_id(schema.id);
    record.set_source(schema.source);
    record.set_schema(schema.schema);
    record.set_table(schema.table);
    record.set_source_table_id(schema.source_table_id);
    record.set_append_only(schema.append_only);
    record.set_storage(schema.storage);
    for (const sdk::Column& column : schema.columns) {
        ToRecord(column, *record.add_columns());
    }
    return record.SerializeAsString();
}

absl::StatusOr<sdk::SchemaPtr> DecodeSchema(std::string_view bytes) {
    v1::SchemaRecord record;
    if (bytes.size() > static_cast<std::size_t>(std::numeric_limits<int>::max()) ||
        !record.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
        return BadSchema("its bytes are damaged");
    }
    auto schema = std::make_shared<sdk::TableSchema>();
    schema->id = record.schema_id();
    schema->source = record.source();
    schema->schema = record.schema();
    schema->table = record.table();
    schema->source_table_id = record.source_table_id();
    schema->append_only = record.append_only();
    schema->storage = record.storage();
    schema->columns.reserve(static_cast<std::size_t>(record.columns_size()));
    for (const v1::ColumnSchema& column : record.columns()) {
        if (!KnownType(column.logical_type()) || !KnownType(column.element_type())) {
            return BadSchema("a column type of " + schema->DisplayName() + " is unknown to this version");
        }
        schema->columns.push_back(FromRecord(column));
    }
    return schema;
}

std::string SchemaKey(uint64_t schema_id) {
    constexpr std::string_view kHexDigits = "0123456789abcdef";
    std::string key(16, '0');
    for (std::size_t i = 0; i < key.size(); ++i) {
        key[key.size() - 1 - i] = kHexDigits[(schema_id >> (4 * i)) & 15U];
    }
    return key;
}

}  // namespace millrace::codec
