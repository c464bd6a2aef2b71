#include "data-plane/codec/debezium_types.h"

#include <cstddef>

#include "data-plane/codec/json_text.h"

namespace millrace::codec {
namespace {

using sdk::LogicalType;

struct Description final {
    std::string_view type;
    /// Meaning beside the type; empty without one.
    std::string_view name = {};
};

Description Describe(DebeziumType type) {
    switch (type) {
        case DebeziumType::kString:
            return {"string"};
        case DebeziumType::kUuid:
            return {"string", "io.debezium.data.Uuid"};
        case DebeziumType::kJson:
            return {"string", "io.debezium.data.Json"};
        case DebeziumType::kXml:
            return {"string", "io.debezium.data.Xml"};
        case DebeziumType::kEnum:
            return {"string", "io.debezium.data.Enum"};
        case DebeziumType::kBoolean:
            return {"boolean"};
        case DebeziumType::kInt16:
            return {"int16"};
        case DebeziumType::kInt32:
            return {"int32"};
        case DebeziumType::kInt64:
            return {"int64"};
        case DebeziumType::kFloat32:
            return {"float"};
        case DebeziumType::kFloat64:
            return {"double"};
        case DebeziumType::kDecimal:
            return {"bytes", "org.apache.kafka.connect.data.Decimal"};
        case DebeziumType::kVariableDecimal:
            return {"struct", "io.debezium.data.VariableScaleDecimal"};
        case DebeziumType::kBytes:
            return {"bytes"};
        case DebeziumType::kDate:
            return {"int32", "io.debezium.time.Date"};
        case DebeziumType::kTime:
            return {"int32", "io.debezium.time.Time"};
        case DebeziumType::kMicroTime:
            return {"int64", "io.debezium.time.MicroTime"};
        case DebeziumType::kZonedTime:
            return {"string", "io.debezium.time.ZonedTime"};
        case DebeziumType::kTimestamp:
            return {"int64", "io.debezium.time.Timestamp"};
        case DebeziumType::kMicroTimestamp:
            return {"int64", "io.debezium.time.MicroTimestamp"};
        case DebeziumType::kZonedTimestamp:
            return {"string", "io.debezium.time.ZonedTimestamp"};
        case DebeziumType::kMicroDuration:
            return {"int64", "io.debezium.time.MicroDuration"};
        case DebeziumType::kArray:
            return {"array"};
    }
    return {"string"};
}

/// "timestamp(3) without time zone" has milliseconds, "timestamp without time zone" microseconds.
bool HasMillis(const sdk::Column& column) {
    const std::size_t open = column.source_type.find('(');
    return open != std::string::npos && open + 1 < column.source_type.size() &&
           column.source_type[open + 1] >= '0' && column.source_type[open + 1] <= '3';
}

DebeziumType TypeOf(LogicalType type, const sdk::Column& column) {
    switch (type) {
        case LogicalType::kBoolean:
            return DebeziumType::kBoolean;
        case LogicalType::kInt16:
            return DebeziumType::kInt16;
        case LogicalType::kInt32:
            return DebeziumType::kInt32;
        case LogicalType::kInt64:
            return DebeziumType::kInt64;
        case LogicalType::kFloat32:
            return DebeziumType::kFloat32;
        case LogicalType::kFloat64:
            return DebeziumType::kFloat64;
        case LogicalType::kNumeric:
            return column.precision < 0 ? DebeziumType::kVariableDecimal : DebeziumType::kDecimal;
        case LogicalType::kBytes:
            return DebeziumType::kBytes;
        case LogicalType::kDate:
            return DebeziumType::kDate;
        case LogicalType::kTime:
            return HasMillis(column) ? DebeziumType::kTime : DebeziumType::kMicroTime;
        case LogicalType::kTimeTz:
            return DebeziumType::kZonedTime;
        case LogicalType::kTimestamp:
            return HasMillis(column) ? DebeziumType::kTimestamp : DebeziumType::kMicroTimestamp;
        case LogicalType::kTimestampTz:
            return DebeziumType::kZonedTimestamp;
        case LogicalType::kInterval:
            return DebeziumType::kMicroDuration;
        case LogicalType::kUuid:
            return DebeziumType::kUuid;
        case LogicalType::kJson:
            return DebeziumType::kJson;
        case LogicalType::kEnum:
            return DebeziumType::kEnum;
        case LogicalType::kArray:
            return DebeziumType::kArray;
        case LogicalType::kText:
            break;
    }
    return column.source_type == "xml" ? DebeziumType::kXml : DebeziumType::kString;
}

void AppendMember(std::string_view name, std::string_view text, std::string& out) {
    out += ",\"";
    out += name;
    out += "\":";
    AppendJsonText(text, out);
}

void AppendEnumLabels(const sdk::Column& column, std::string& out) {
    std::string allowed;
    for (const std::string& label : column.labels) {
        allowed += allowed.empty() ? "" : ",";
        allowed += label;
    }
    out += ",\"parameters\":{\"allowed\":";
    AppendJsonText(allowed, out);
    out += '}';
}

/// The type's members, without the braces and what is of the field alone.
void AppendType(DebeziumType type, const sdk::Column& column, std::string& out) {
    const Description description = Describe(type);
    out += "\"type\":\"";
    out += description.type;
    out += '"';
    if (!description.name.empty()) {
        AppendMember("name", description.name, out);
        out += ",\"version\":1";
    }
    if (type == DebeziumType::kDecimal) {
        out += ",\"parameters\":{\"scale\":\"" + std::to_string(column.scale) +
               "\",\"connect.decimal.precision\":\"" + std::to_string(column.precision) + "\"}";
    } else if (type == DebeziumType::kVariableDecimal) {
        out += R"(,"fields":[{"type":"int32","optional":false,"field":"scale"},)"
               R"({"type":"bytes","optional":false,"field":"value"}])";
    } else if (type == DebeziumType::kEnum) {
        AppendEnumLabels(column, out);
    } else if (type == DebeziumType::kArray) {
        out += ",\"items\":{";
        AppendType(ElementTypeOf(column), column, out);
        out += ",\"optional\":true}";
    }
}

void AppendRowSchema(const sdk::TableSchema& schema, std::string_view name, std::string_view field,
                     std::string& out) {
    out += R"({"type":"struct","fields":[)";
    bool first = true;
    for (const sdk::Column& column : schema.columns) {
        out += first ? "" : ",";
        first = false;
        // Old rows have NULL outside the key.
        AppendColumnSchema(column, column.key_ordinal == 0, out);
    }
    out += R"(],"optional":true)";
    AppendMember("name", std::string(name) + ".Value", out);
    AppendMember("field", field, out);
    out += '}';
}

constexpr std::string_view kSourceSchema =
    R"({"type":"struct","fields":[{"type":"string","optional":false,"field":"version"},)"
    R"({"type":"string","optional":false,"field":"connector"},{"type":"string","optional":false,"field":"name"},)"
    R"({"type":"int64","optional":false,"field":"ts_ms"},)"
    R"({"type":"string","optional":true,"name":"io.debezium.data.Enum","version":1,"parameters":{"allowed":)"
    R"("true,first,first_in_data_collection,last_in_data_collection,last,false,incremental"},"default":"false",)"
    R"("field":"snapshot"},{"type":"string","optional":false,"field":"db"},)"
    R"({"type":"string","optional":true,"field":"sequence"},{"type":"int64","optional":true,"field":"ts_us"},)"
    R"({"type":"int64","optional":true,"field":"ts_ns"},{"type":"string","optional":false,"field":"schema"},)"
    R"({"type":"string","optional":false,"field":"table"},{"type":"int64","optional":true,"field":"txId"},)"
    R"({"type":"int64","optional":true,"field":"lsn"},{"type":"int64","optional":true,"field":"xmin"},)"
    R"({"type":"string","optional":true,"field":"millrace"}],"optional":false,)"
    R"("name":"io.debezium.connector.postgresql.Source","field":"source"})";

constexpr std::string_view kEnvelopeEnd =
    R"({"type":"struct","fields":[{"type":"string","optional":false,"field":"id"},)"
    R"({"type":"int64","optional":false,"field":"total_order"},)"
    R"({"type":"int64","optional":false,"field":"data_collection_order"}],"optional":true,"name":"event.block",)"
    R"("version":1,"field":"transaction"},{"type":"string","optional":false,"field":"op"},)"
    R"({"type":"int64","optional":true,"field":"ts_ms"},{"type":"int64","optional":true,"field":"ts_us"},)"
    R"({"type":"int64","optional":true,"field":"ts_ns"}],"optional":false)";

}  // namespace

DebeziumType TypeOf(const sdk::Column& column) {
    return TypeOf(column.type, column);
}

DebeziumType ElementTypeOf(const sdk::Column& column) {
    const DebeziumType type = TypeOf(column.element, column);
    return type == DebeziumType::kArray ? DebeziumType::kString : type;
}

bool IsText(DebeziumType type) {
    switch (type) {
        case DebeziumType::kString:
        case DebeziumType::kUuid:
        case DebeziumType::kJson:
        case DebeziumType::kXml:
        case DebeziumType::kEnum:
            return true;
        default:
            return false;
    }
}

void AppendColumnSchema(const sdk::Column& column, bool optional, std::string& out) {
    out += '{';
    AppendType(TypeOf(column), column, out);
    out += optional ? ",\"optional\":true" : ",\"optional\":false";
    AppendMember("field", column.name, out);
    out += '}';
}

void AppendKeySchema(const sdk::TableSchema& schema, std::string_view name, std::string& out) {
    out += R"({"schema":{"type":"struct","fields":[)";
    bool first = true;
    for (const int column : schema.KeyColumns()) {
        out += first ? "" : ",";
        first = false;
        AppendColumnSchema(schema.columns[static_cast<std::size_t>(column)], false, out);
    }
    out += R"(],"optional":false)";
    AppendMember("name", std::string(name) + ".Key", out);
    out += '}';
}

void AppendEnvelopeSchema(const sdk::TableSchema& schema, std::string_view name, std::string& out) {
    out += R"({"schema":{"type":"struct","fields":[)";
    AppendRowSchema(schema, name, "before", out);
    out += ',';
    AppendRowSchema(schema, name, "after", out);
    out += ',';
    out += kSourceSchema;
    out += ',';
    out += kEnvelopeEnd;
    AppendMember("name", std::string(name) + ".Envelope", out);
    out += ",\"version\":2}";
}

}  // namespace millrace::codec
