/// Which DDL brings a table of the destination to the shape that a batch needs: additive, widening, never
/// dropping data. Not for: running it (merge_writer), the types of a product (dialect.h,
/// SqlSession::ColumnTypes).
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "connectors/sdk/sql/column_table.h"
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
        /// See sdk::Column.
        int64_t source_id = 0;
        std::optional<std::string> fill = {};
    };
    /// In the order of the batch's columns.
    std::vector<Column> columns;
    /// Names of the key columns in key order; empty for an append-only table.
    std::vector<std::string> key;
    uint64_t source_table_id = 0;
    /// The batch empties the table: its columns may take any type.
    bool emptied = false;
    /// A column that is new and whose rows get a value of the source is made a text column: its own type
    /// refused it.
    bool fill_as_text = false;
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
    /// The columns that change their names, in the order in which they do.
    std::vector<std::pair<std::string, std::string>> renames;
    /// Which column was written from which once the plan has run.
    WrittenColumns written;

    [[nodiscard]] bool empty() const { return statements.empty() && add_key.empty(); }
};

/// `written`: what this stream wrote the existing columns from; a column of the source that had another name
/// then is renamed. FailedPrecondition, reason TYPE_CHANGED, naming column, both types and what to run;
/// reason COLUMN_MISSING: one that was written has gone; reason NAME_TAKEN: the new name of a column is that of one that is not ours.
absl::StatusOr<SchemaPlan> PlanSchema(const Dialect& dialect, const WantedTable& wanted,
                                      const std::optional<TableShape>& existing, bool schema_exists,
                                      const WrittenColumns& written = {});

}  // namespace millrace::sql
