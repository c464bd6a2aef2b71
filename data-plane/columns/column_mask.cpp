#include "data-plane/columns/column_mask.h"

#include <algorithm>

#include "base/status.h"

namespace millrace::columns {
namespace {

constexpr size_t kMaxPlans = 20'000;

bool HasColumn(const sdk::TableSchema& schema, const std::string& name) {
    return std::any_of(schema.columns.begin(), schema.columns.end(),
                       [&](const sdk::Column& column) { return column.name == name; });
}

absl::Status MakeHashed(base::KeyedHash& hash, sdk::Column& column) {
    column.source_type = "text";
    column.type = sdk::LogicalType::kText;
    column.element = sdk::LogicalType::kText;
    column.precision = -1;
    column.scale = -1;
    column.declared_type.clear();
    column.labels.clear();
    if (column.fill) {
        std::string hashed(base::KeyedHash::kHexBytes, '\0');
        RETURN_IF_ERROR(hash.Hex(*column.fill, hashed.data()));
        column.fill = std::move(hashed);
    }
    return absl::OkStatus();
}

}  // namespace

// A column that was renamed comes under a name that no rule knows. Where a named one is missing, the source
// is asked: if it has it not now either, nobody knows which it is; if it has, the shape is an older one, and
// what is not there any more is not let through.
absl::StatusOr<std::vector<std::string>> ColumnMask::Doubtful(const sdk::TableSchema& schema) const {
    const std::vector<std::string> required = rules_.Required(schema.schema, schema.table);
    const bool whole = std::all_of(required.begin(), required.end(),
                                   [&](const std::string& name) { return HasColumn(schema, name); });
    std::vector<std::string> doubtful;
    if (whole) {
        return doubtful;
    }
    ASSIGN_OR_RETURN(const std::vector<std::string> present, present_(schema));
    const auto is_present = [&](const std::string& name) {
        return std::find(present.begin(), present.end(), name) != present.end();
    };
    for (const std::string& name : required) {
        if (!present.empty() && !is_present(name)) {
            return UnknownColumn(schema.DisplayName(), name);
        }
    }
    for (const sdk::Column& column : schema.columns) {
        if (!is_present(column.name)) {
            doubtful.push_back(column.name);
        }
    }
    return doubtful;
}

absl::StatusOr<ColumnMask::Plan> ColumnMask::MakePlan(const sdk::SchemaPtr& schema) const {
    ASSIGN_OR_RETURN(const std::vector<std::string> doubtful, Doubtful(*schema));
    Plan plan;
    plan.from = schema;
    auto masked = std::make_shared<sdk::TableSchema>(*schema);
    masked->columns.clear();
    for (size_t i = 0; i < schema->columns.size(); ++i) {
        sdk::Column column = schema->columns[i];
        const bool unclear = std::find(doubtful.begin(), doubtful.end(), column.name) != doubtful.end();
        Treatment treatment =
            unclear ? Treatment::kDrop : rules_.Of(schema->schema, schema->table, column.name);
        if (unclear && column.key_ordinal > 0) {
            // Rows need it; under a rule a key is hashed or as it is.
            treatment = hash_ != nullptr ? Treatment::kHash : Treatment::kKeep;
        }
        if (treatment == Treatment::kDrop) {
            if (column.key_ordinal > 0) {
                return KeyExcluded(schema->DisplayName(), column.name);
            }
            continue;
        }
        const bool hashed = treatment == Treatment::kHash;
        if (hashed && hash_ == nullptr) {
            return base::MakeError(absl::StatusCode::kFailedPrecondition, "NO_HASH_KEY",
                                   "a column is to be hashed and there is no key for it",
                                   "Start the worker with the data plane's key file");
        }
        if (hashed) {
            RETURN_IF_ERROR(MakeHashed(*hash_, column));
            ++plan.hashed;
        }
        plan.columns.emplace_back(i, hashed);
        masked->columns.push_back(std::move(column));
    }
    plan.changes = plan.hashed > 0 || plan.columns.size() != schema->columns.size();
    if (plan.changes) {
        masked->id = sdk::ComputeSchemaId(*masked);
        plan.to = std::move(masked);
    } else {
        plan.to = schema;
    }
    return plan;
}

absl::StatusOr<const ColumnMask::Plan*> ColumnMask::PlanFor(const sdk::SchemaPtr& schema) {
    if (last_ != nullptr && last_->from == schema) {
        return last_;
    }
    auto found = plans_.find(schema.get());
    if (found == plans_.end()) {
        ASSIGN_OR_RETURN(Plan plan, MakePlan(schema));
        if (plans_.size() >= kMaxPlans) {
            plans_.clear();
        }
        found = plans_.emplace(schema.get(), std::move(plan)).first;
    }
    last_ = &found->second;
    return last_;
}

absl::StatusOr<sdk::SchemaPtr> ColumnMask::SchemaOf(const sdk::SchemaPtr& schema) {
    ASSIGN_OR_RETURN(const Plan* plan, PlanFor(schema));
    return plan->to;
}

absl::Status ColumnMask::Project(const Plan& plan, sdk::RowView row, std::vector<sdk::Cell>& cells) {
    cells.clear();
    if (row.empty()) {
        return absl::OkStatus();
    }
    for (const auto& [index, hashed] : plan.columns) {
        const sdk::Cell& cell = row[index];
        if (!hashed || !cell.is_value()) {
            cells.push_back(cell);
            continue;
        }
        const size_t at = hashes_.size();
        hashes_.resize(at + base::KeyedHash::kHexBytes);
        RETURN_IF_ERROR(hash_->Hex(cell.text(), hashes_.data() + at));
        cells.push_back(sdk::Cell::Value(std::string_view(hashes_).substr(at)));
    }
    return absl::OkStatus();
}

absl::StatusOr<const sdk::ChangeEvent*> ColumnMask::Apply(const sdk::ChangeEvent& event) {
    ASSIGN_OR_RETURN(const Plan* plan, PlanFor(event.schema));
    if (!plan->changes) {
        return &event;
    }
    // Cells must not move while more are hashed.
    hashes_.clear();
    hashes_.reserve(2 * plan->hashed * base::KeyedHash::kHexBytes);
    RETURN_IF_ERROR(Project(*plan, event.after, after_));
    RETURN_IF_ERROR(Project(*plan, event.before, before_));
    event_ = event;
    event_.schema = plan->to;
    event_.after = after_;
    event_.before = before_;
    return &event_;
}

}  // namespace millrace::columns
