/// Which columns of which tables leave the source as they are, hashed, or not at all. Pure.
/// Not for: doing it to rows (column_mask), asking the source (masked_source).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "connectors/sdk/finding.h"
#include "connectors/sdk/source.h"
#include "data-plane/config/pipeline_config.h"

namespace millrace::columns {

enum class Treatment { kKeep, kHash, kDrop };

/// The rules of a pipeline. A column is dropped when a rule of its table excludes it, or includes others and
/// neither includes nor hashes it; else hashed when a rule hashes it.
class ColumnRules final {
 public:
    explicit ColumnRules(std::vector<config::ColumnRule> rules) : rules_(std::move(rules)) {}

    [[nodiscard]] bool empty() const { return rules_.empty(); }
    [[nodiscard]] bool Match(const std::string& schema, const std::string& table) const;
    [[nodiscard]] Treatment Of(const std::string& schema, const std::string& table,
                               const std::string& column) const;
    /// Columns that rules name which name the table itself and no pattern: they must exist.
    [[nodiscard]] std::vector<std::string> Required(const std::string& schema,
                                                    const std::string& table) const;
    /// Differs when the table's rules differ; 0 without any. `key_id`: of the key that hashes.
    [[nodiscard]] uint64_t PolicyOf(const std::string& schema, const std::string& table,
                                    std::string_view key_id) const;

    /// What is wrong with the rules: a critical finding for each rule without a table, each named column that
    /// no table of its rule has, each key column that is dropped. `columns`: of each of `tables`, in that
    /// order.
    [[nodiscard]] sdk::Findings Check(const std::vector<sdk::SourceTable>& tables,
                                      const std::vector<std::vector<std::string>>& columns) const;
    /// FailedPrecondition (COLUMN_KEY_EXCLUDED, COLUMN_UNKNOWN): why one table must not be published now.
    [[nodiscard]] absl::Status CheckTable(const sdk::SourceTable& table,
                                          const std::vector<std::string>& columns) const;

 private:
    std::vector<config::ColumnRule> rules_;
};

/// FailedPrecondition, reason COLUMN_UNKNOWN.
absl::Status UnknownColumn(const std::string& table, const std::string& column);
/// FailedPrecondition, reason COLUMN_KEY_EXCLUDED.
absl::Status KeyExcluded(const std::string& table, const std::string& column);

}  // namespace millrace::columns
