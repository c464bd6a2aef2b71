#include "connectors/sdk/sql/schema_plan.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_join.h"
#include "base/status.h"
#include "base/text.h"

namespace millrace::sql {
namespace {

std::string QuotedList(const Dialect& dialect, const std::vector<std::string>& names) {
    return absl::StrJoin(names, ", ", [&](std::string* out, const std::string& name) {
        out->append(dialect.QuoteIdentifier(name));
    });
}

SchemaPlan PlanNewTable(const Dialect& dialect, const WantedTable& wanted, bool schema_exists) {
    SchemaPlan plan;
    if (!schema_exists) {
        plan.statements.push_back(
            base::Concat("CREATE SCHEMA IF NOT EXISTS ", dialect.QuoteIdentifier(wanted.target.schema)));
    }
    std::vector<std::string> parts;
    for (const WantedTable::Column& column : wanted.columns) {
        parts.push_back(base::Concat(dialect.QuoteIdentifier(column.name), " ", column.type));
        plan.types.push_back(column.type);
    }
    if (dialect.IndexesKeys() && !wanted.key.empty()) {
        parts.push_back(base::Concat("PRIMARY KEY (", QuotedList(dialect, wanted.key), ")"));
    }
    plan.statements.push_back(base::Concat("CREATE TABLE ", dialect.Qualified(wanted.target), " (",
                                           absl::StrJoin(parts, ", "), ")"));
    return plan;
}

std::vector<std::string> KeyOf(const TableShape& shape) {
    std::vector<std::pair<int, std::string>> key;
    for (const TableShape::Column& column : shape.columns) {
        if (column.key_ordinal > 0) {
            key.emplace_back(column.key_ordinal, column.name);
        }
    }
    std::sort(key.begin(), key.end());
    std::vector<std::string> names;
    for (auto& [ordinal, name] : key) {
        names.push_back(std::move(name));
    }
    return names;
}

/// Compares an existing table with the wanted one and collects the statements of ALTER TABLE.
class Evolution final {
 public:
    Evolution(const Dialect& dialect, const WantedTable& wanted, const TableShape& existing)
        : dialect_(dialect),
          wanted_(wanted),
          existing_(existing),
          alter_(base::Concat("ALTER TABLE ", dialect.Qualified(wanted.target), " ")) {}

    absl::StatusOr<SchemaPlan> Plan() {
        PlanKey();
        PlanNullability();
        for (const WantedTable::Column& column : wanted_.columns) {
            RETURN_IF_ERROR(PlanColumn(column));
        }
        return std::move(plan_);
    }

 private:
    void PlanKey() {
        key_ = KeyOf(existing_);
        if (!dialect_.IndexesKeys()) {
            return;
        }
        const std::set<std::string> have(key_.begin(), key_.end());
        const std::set<std::string> want(wanted_.key.begin(), wanted_.key.end());
        if (have == want) {
            return;
        }
        // A key over a column that we never write is the user's own (a surrogate): not ours to replace.
        const bool ours = std::all_of(key_.begin(), key_.end(), [this](const std::string& name) {
            return std::any_of(wanted_.columns.begin(), wanted_.columns.end(),
                               [&](const WantedTable::Column& column) { return column.name == name; });
        });
        if (!ours) {
            return;
        }
        if (!key_.empty()) {
            Add(base::Concat("DROP CONSTRAINT ", dialect_.QuoteIdentifier(existing_.key_name)));
        }
        if (!wanted_.key.empty()) {
            plan_.add_key = base::Concat(alter_, "ADD PRIMARY KEY (", QuotedList(dialect_, wanted_.key), ")");
        }
        key_ = wanted_.key;
    }

    // Rows come with NULL in columns that vanished at the source and where an unchanged cell has no row to
    // come from.
    void PlanNullability() {
        for (const TableShape::Column& column : existing_.columns) {
            const bool in_key = std::find(key_.begin(), key_.end(), column.name) != key_.end();
            const auto wanted = std::find_if(wanted_.columns.begin(), wanted_.columns.end(),
                                             [&](const auto& other) { return other.name == column.name; });
            const bool written = wanted != wanted_.columns.end();
            const bool needed = written ? wanted->key : column.has_default;
            if (column.not_null && !in_key && !needed) {
                Add(base::Concat("ALTER COLUMN ", dialect_.QuoteIdentifier(column.name), " DROP NOT NULL"));
            }
        }
    }

    absl::Status PlanColumn(const WantedTable::Column& column) {
        const auto found = std::find_if(existing_.columns.begin(), existing_.columns.end(),
                                        [&](const auto& other) { return other.name == column.name; });
        if (found == existing_.columns.end()) {
            Add(base::Concat("ADD COLUMN ", dialect_.QuoteIdentifier(column.name), " ", column.type));
            plan_.types.push_back(column.type);
            return absl::OkStatus();
        }
        switch (dialect_.CompareTypes(found->type, column.type)) {
            case TypeFit::kFits:
                plan_.types.push_back(found->type);
                return absl::OkStatus();
            case TypeFit::kWiden:
                Add(base::Concat("ALTER COLUMN ", dialect_.QuoteIdentifier(column.name), " TYPE ",
                                 column.type));
                plan_.types.push_back(column.type);
                return absl::OkStatus();
            case TypeFit::kClash:
                if (!column.underlying.empty() &&
                    dialect_.CompareTypes(found->type, column.underlying) == TypeFit::kFits) {
                    plan_.types.push_back(found->type);
                    return absl::OkStatus();
                }
                break;
        }
        return base::MakeError(
            absl::StatusCode::kFailedPrecondition, "TYPE_CHANGED",
            base::Concat("column \"", column.name, "\" of ", wanted_.target.DisplayName(), " is ",
                         found->type, " in the destination and needs to be ", column.type),
            base::Concat("Change it there (", alter_, "ALTER COLUMN ", dialect_.QuoteIdentifier(column.name),
                         " TYPE ", column.type,
                         " USING …), or rename it there to let a new column be added."));
    }

    void Add(std::string action) { plan_.statements.push_back(alter_ + std::move(action)); }

    const Dialect& dialect_;
    const WantedTable& wanted_;
    const TableShape& existing_;
    const std::string alter_;
    std::vector<std::string> key_;
    SchemaPlan plan_;
};

}  // namespace

WantedTable WantTable(const Dialect& dialect, const sdk::TableTarget& target, const sdk::TableSchema& schema,
                      const std::vector<std::string>& types) {
    WantedTable wanted{.target = target, .columns = {}, .key = {}};
    const std::vector<std::string> names = dialect.ColumnNames(schema);
    for (size_t i = 0; i < names.size(); ++i) {
        wanted.columns.push_back({.name = names[i],
                                  .type = types[i],
                                  .key = false,
                                  .underlying = dialect.UnderlyingType(schema.columns[i])});
    }
    for (const int column : schema.KeyColumns()) {
        const auto index = static_cast<size_t>(column);
        wanted.columns[index].key = true;
        wanted.key.push_back(names[index]);
    }
    return wanted;
}

absl::StatusOr<SchemaPlan> PlanSchema(const Dialect& dialect, const WantedTable& wanted,
                                      const std::optional<TableShape>& existing, bool schema_exists) {
    if (!existing) {
        return PlanNewTable(dialect, wanted, schema_exists);
    }
    return Evolution(dialect, wanted, *existing).Plan();
}

}  // namespace millrace::sql
