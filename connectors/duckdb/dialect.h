/// DuckDB's words for the shared merge writer. Not for: statements that run (session.h).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "connectors/sdk/sql/dialect.h"

namespace millrace::duckdb {

/// Whether a schema of that name would be taken for one of the engine's own catalogues.
[[nodiscard]] bool IsReservedSchema(std::string_view schema);
inline constexpr std::string_view kReservedSchema = "its schema has a name that DuckDB keeps for itself";

class DuckDbDialect final : public sql::Dialect {
 public:
    [[nodiscard]] std::string product() const override { return "DuckDB"; }
    /// DuckDB ignores the case of ASCII letters: a column whose name an earlier one has but for case gets
    /// "_2", "_3", … appended.
    [[nodiscard]] std::vector<std::string> ColumnNames(const sdk::TableSchema& schema) const override;
    [[nodiscard]] bool SameName(std::string_view a, std::string_view b) const override;
    [[nodiscard]] std::optional<std::string> Constant(std::string_view type,
                                                      std::string_view text) const override;
    [[nodiscard]] bool EmptiesBeforeAlter() const override { return false; }
    [[nodiscard]] sql::TypeFit CompareTypes(const std::string& existing,
                                            const std::string& wanted) const override;
    [[nodiscard]] std::string UnsignedType() const override { return "UBIGINT"; }
    /// Without an index, deleting and inserting by join is 12 to 90 times faster here.
    [[nodiscard]] bool IndexesKeys() const override { return false; }
};

}  // namespace millrace::duckdb
