/// What PostgreSQL's types mean. Not for: looking types up at a server (catalog.h), converting values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "connectors/sdk/schema.h"

namespace millrace::postgres {

/// A column's type after domains were followed to their base type.
struct ColumnType final {
    std::string source_type = "text";
    sdk::LogicalType type = sdk::LogicalType::kText;
    sdk::LogicalType element = sdk::LogicalType::kText;
    int precision = -1;
    int scale = -1;
    /// Name of the domain, or array of domains, that was followed; "" otherwise.
    std::string declared_type = {};
    /// Of an enum, or of an array's elements, in their order.
    std::vector<std::string> labels = {};
};

/// A scalar type's row of pg_type, as far as it matters here.
struct ScalarType final {
    uint32_t oid = 0;
    int32_t typmod = -1;
    bool is_enum = false;
};

/// kText for every type that has no better word.
sdk::LogicalType LogicalTypeOf(const ScalarType& type);

/// Reads precision and scale out of numeric's typmod; leaves both at -1 for other types and unconstrained
/// ones.
void SetNumericBounds(const ScalarType& type, ColumnType& column);

}  // namespace millrace::postgres
