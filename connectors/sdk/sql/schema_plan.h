/// Which DDL brings a table of the destination to the shape that a batch needs: additive, widening, never
/// dropping data. Not for: running it (merge_writer), the types of a product (dialect.h,
/// SqlSession::ColumnTypes).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "connectors/sdk/sql/dialect.h"
#include "connectors/sdk/sql/session.h"

namespace millrace::sql {

/// A table as a batch needs it, in the destination's words.
struct WantedTable final {
    sdk::TableTarget target;
    struct Column final {
        std::string name;
        std::string type;
        bool key = false;
        /// See Dialect::UnderlyingType.
        std::string underlying = {};
    };
    /// In the order of the batch's columns.
    std::vector<Column> columns;
    /// Names of the key columns in key order; empty for an append-only table.
    std::vector<std::string> key;
};

WantedTable WantTable(const Dialect& dialect, const sdk::TableTarget& target, const sdk::TableSchema& schema,
                      const std::vector<std::string>& types);

struct SchemaPlan final {
    /// To run in order; empty when the table suits already.
    std::vector<std::string> statements;
    /// Adds the new key, after the others; fails when the rows there do not suit the new key. "" when the key
    /// stays.
    std::string add_key;
    /// Type of every wanted column once the plan has run: the existing one where it fits.
    std::vector<std::string> types;

    [[nodiscard]] bool empty() const { return statements.empty() && add_key.empty(); }
};

/// FailedPrecondition, reason TYPE_CHANGED, naming column, both types and what to run.
absl::StatusOr<SchemaPlan> PlanSchema(const Dialect& dialect, const WantedTable& wanted,
                                      const std::optional<TableShape>& existing, bool schema_exists);

}  // namespace millrace::sql
