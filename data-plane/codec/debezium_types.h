/// How Debezium's defaults for PostgreSQL have a column: which type, and how the inline schema describes it.
/// Not for: values (debezium_value).
#pragma once

#include <string>
#include <string_view>

#include "connectors/sdk/schema.h"

namespace millrace::codec {

enum class DebeziumType {
    kString,
    kUuid,
    kJson,
    kXml,
    kEnum,
    kBoolean,
    kInt16,
    kInt32,
    kInt64,
    kFloat32,
    kFloat64,
    /// Bytes of the unscaled number; the scale stands in the schema.
    kDecimal,
    /// The same with a scale of each value's own.
    kVariableDecimal,
    kBytes,
    /// Days.
    kDate,
    /// Milliseconds, microseconds of the day; in UTC as text.
    kTime,
    kMicroTime,
    kZonedTime,
    /// Milliseconds, microseconds since 1970; in UTC as text.
    kTimestamp,
    kMicroTimestamp,
    kZonedTimestamp,
    /// Microseconds.
    kMicroDuration,
    kArray,
};

DebeziumType TypeOf(const sdk::Column& column);
/// Of an array's elements.
DebeziumType ElementTypeOf(const sdk::Column& column);
/// Whether values are the source's text as it is.
bool IsText(DebeziumType type);

/// Appends the field of the inline schema.
void AppendColumnSchema(const sdk::Column& column, bool optional, std::string& out);
/// `,"payload":` behind this makes a record.
void AppendKeySchema(const sdk::TableSchema& schema, std::string_view name, std::string& out);
void AppendEnvelopeSchema(const sdk::TableSchema& schema, std::string_view name, std::string& out);

}  // namespace millrace::codec
