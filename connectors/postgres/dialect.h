/// PostgreSQL's words for the shared merge writer. Not for: connections (session_pool), type names
/// (type_name).
#pragma once

#include <string>
#include <string_view>

#include "connectors/sdk/sql/dialect.h"

namespace millrace::postgres {

class PostgresDialect final : public sql::Dialect {
 public:
    [[nodiscard]] std::string product() const override { return "PostgreSQL"; }
    [[nodiscard]] sql::TypeFit CompareTypes(const std::string& existing,
                                            const std::string& wanted) const override;
    /// What stands behind a domain.
    [[nodiscard]] std::string UnderlyingType(const sdk::Column& column) const override;
    /// numeric(20): log positions and hashes are unsigned, and people read and compare them in SQL.
    [[nodiscard]] std::string UnsignedType() const override { return "numeric(20)"; }
    [[nodiscard]] bool IndexesKeys() const override { return true; }
    [[nodiscard]] std::string DdlLock() const override;
    [[nodiscard]] std::string EndStalledHolders(std::string_view table, std::string_view where) const override;
    [[nodiscard]] std::string TextIndex(std::string_view name, std::string_view table,
                                        std::string_view column) const override;
    [[nodiscard]] size_t MaxColumns() const override { return 1600; }
    [[nodiscard]] size_t InlineRows() const override { return 50; }
};

}  // namespace millrace::postgres
