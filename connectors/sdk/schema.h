/// The shape of a table as a source describes it at one position of its log.
/// Not for: rows (change_event.h), a destination's own types (each connector maps LogicalType itself).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace millrace::sdk {

/// What a value means, whatever the source calls its type. Values are part of the record format: never renumber.
enum class LogicalType : int {
    kText = 0,  // also every type that has no better word; cells are the source's text
    kBoolean = 1,
    kInt16 = 2,
    kInt32 = 3,
    kInt64 = 4,
    kFloat32 = 5,
    kFloat64 = 6,
    kNumeric = 7,
    kBytes = 8,
    kDate = 9,
    kTime = 10,
    kTimeTz = 11,
    kTimestamp = 12,
    kTimestampTz = 13,
    kInterval = 14,
    kUuid = 15,
    kJson = 16,
    kArray = 17,
    kEnum = 18,
};

struct Column final {
    std::string name;
    /// The source's full type name, e.g. "numeric(10,2)".
    std::string source_type;
    LogicalType type = LogicalType::kText;
    /// Element of an array.
    LogicalType element = LogicalType::kText;
    /// Of kNumeric; -1 = unconstrained.
    int precision = -1;
    int scale = -1;
    bool nullable = true;
    /// 1-based ordinal in the key, 0 = not in it.
    int key_ordinal = 0;
    /// Stable identity at the source (attnum), 0 = unknown.
    int source_id = 0;
    /// Full name of the type that the source declares, where source_type names what stands behind it (a domain);
    /// "" otherwise.
    std::string declared_type = {};
    /// What every row that is older than the column has in it, as the source's text; nullopt: NULL, or not known. A
    /// row value: whoever hides cells of the column hides this too.
    std::optional<std::string> fill = {};
    /// Labels of an enum, or of an array's elements, in their order.
    std::vector<std::string> labels = {};
    /// Differs once the source's description of the column has been altered; 0 = unknown. No part of the schema's id.
    uint64_t source_version = 0;

    friend bool operator==(const Column&, const Column&) = default;
};

/// Immutable once made; shared by every event and batch that has this shape.
struct TableSchema final {
    /// Connector type of the source ("postgres"): its dialect of type names and cell texts.
    std::string source;
    std::string schema;
    std::string table;
    /// The source's id of the table (oid): differs for a table dropped and made again.
    uint64_t source_table_id = 0;
    std::vector<Column> columns;
    /// No usable identity: rows are appended, nothing is updated or deleted.
    bool append_only = false;
    /// Hash of everything above; see ComputeSchemaId.
    uint64_t id = 0;
    /// Differs once the source has rewritten the rows in place, which no event tells of; "" = unknown. No part of the id.
    std::string storage = {};
    /// The source has moved on from this shape: `storage` and the columns' versions are those of a later one.
    bool behind = false;

    /// Indexes of the key columns in key order; empty for append_only.
    [[nodiscard]] std::vector<int> KeyColumns() const;
    /// "schema.table" for people.
    [[nodiscard]] std::string DisplayName() const { return schema + "." + table; }
};

using SchemaPtr = std::shared_ptr<const TableSchema>;

/// 64-bit FNV-1a over a length-prefixed canonical form; the same on every machine and in every version.
uint64_t ComputeSchemaId(const TableSchema& schema);

}  // namespace millrace::sdk
