/// Does to changes what the column rules say: leaves columns out, hashes others. Not for: which ones
/// (column_rules).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "base/keyed_hash.h"
#include "connectors/sdk/change_event.h"
#include "data-plane/columns/column_rules.h"

namespace millrace::columns {

/// Columns of a table as they stand at the source now; empty when it is gone.
using PresentColumns = std::function<absl::StatusOr<std::vector<std::string>>(const sdk::TableSchema& table)>;

/// One thread.
class ColumnMask final {
 public:
    /// `rules` outlives the mask. `hash` may be null where no rule hashes.
    ColumnMask(const ColumnRules& rules, std::unique_ptr<base::KeyedHash> hash, PresentColumns present)
        : rules_(rules), hash_(std::move(hash)), present_(std::move(present)) {}

    /// The shape of what is left of the table. FailedPrecondition: COLUMN_KEY_EXCLUDED, or COLUMN_UNKNOWN
    /// where a column that a rule names is gone and another may be it under a new name.
    absl::StatusOr<sdk::SchemaPtr> SchemaOf(const sdk::SchemaPtr& schema);

    /// What is left of the change. FailedPrecondition as above, or NO_HASH_KEY. Valid until the next call,
    /// and as long as `event` is.
    absl::StatusOr<const sdk::ChangeEvent*> Apply(const sdk::ChangeEvent& event);

 private:
    struct Plan final {
        sdk::SchemaPtr from;
        sdk::SchemaPtr to;
        /// Of each column that is left: its index before, and whether it is hashed.
        std::vector<std::pair<size_t, bool>> columns;
        size_t hashed = 0;
        bool changes = false;
    };

    absl::StatusOr<const Plan*> PlanFor(const sdk::SchemaPtr& schema);
    absl::StatusOr<Plan> MakePlan(const sdk::SchemaPtr& schema) const;
    /// Columns of the shape that the source does not have now, where one that a rule names is missing in the
    /// shape.
    absl::StatusOr<std::vector<std::string>> Doubtful(const sdk::TableSchema& schema) const;
    absl::Status Project(const Plan& plan, sdk::RowView row, std::vector<sdk::Cell>& cells);

    const ColumnRules& rules_;
    const std::unique_ptr<base::KeyedHash> hash_;
    const PresentColumns present_;
    /// By address; a plan holds its schema, so that no other gets it.
    std::unordered_map<const sdk::TableSchema*, Plan> plans_;
    const Plan* last_ = nullptr;
    sdk::ChangeEvent event_;
    std::vector<sdk::Cell> after_;
    std::vector<sdk::Cell> before_;
    std::string hashes_;
};

}  // namespace millrace::columns
