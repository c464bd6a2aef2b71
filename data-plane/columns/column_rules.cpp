#include "data-plane/columns/column_rules.h"

#include <algorithm>

#include "base/status.h"
#include "base/text.h"

namespace millrace::columns {
namespace {

bool Has(const std::vector<std::string>& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

bool Matches(const config::ColumnRule& rule, const std::string& schema, const std::string& table) {
    return sdk::TableSelection{{rule.table}, {}}.Selects(schema, table);
}

bool IsPattern(const std::string& table) {
    return table.find_first_of("*?") != std::string::npos;
}

Treatment OfOne(const config::ColumnRule& rule, const std::string& column) {
    const bool hashed = Has(rule.hash, column);
    if (Has(rule.exclude, column) || (!rule.include.empty() && !hashed && !Has(rule.include, column))) {
        return Treatment::kDrop;
    }
    return hashed ? Treatment::kHash : Treatment::kKeep;
}

std::vector<std::string> Named(const config::ColumnRule& rule) {
    std::vector<std::string> names = rule.include;
    names.insert(names.end(), rule.exclude.begin(), rule.exclude.end());
    names.insert(names.end(), rule.hash.begin(), rule.hash.end());
    return names;
}

void AddTo(uint64_t& hash, std::string_view text) {
    // FNV-1a over length and bytes: no two lists share a form.
    for (const std::string& piece : {std::to_string(text.size()) + ":", std::string(text)}) {
        for (const char c : piece) {
            hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
        }
    }
}

void AddTo(uint64_t& hash, std::vector<std::string> names) {
    std::sort(names.begin(), names.end());
    AddTo(hash, std::to_string(names.size()));
    for (const std::string& name : names) {
        AddTo(hash, name);
    }
}

}  // namespace

absl::Status UnknownColumn(const std::string& table, const std::string& column) {
    return base::MakeError(
        absl::StatusCode::kFailedPrecondition, "COLUMN_UNKNOWN",
        base::Concat("table ", table, " has no column '", column,
                     "', which the pipeline's column rules name"),
        "If it was renamed or dropped, change the rules; they never let it pass under another name");
}

absl::Status KeyExcluded(const std::string& table, const std::string& column) {
    return base::MakeError(absl::StatusCode::kFailedPrecondition, "COLUMN_KEY_EXCLUDED",
                           base::Concat("column '", column, "' of table ", table,
                                        " identifies its rows and cannot be left out by a column rule"),
                           "Hash it instead, or take the table out of the pipeline");
}

bool ColumnRules::Match(const std::string& schema, const std::string& table) const {
    return std::any_of(rules_.begin(), rules_.end(),
                       [&](const config::ColumnRule& rule) { return Matches(rule, schema, table); });
}

Treatment ColumnRules::Of(const std::string& schema, const std::string& table,
                          const std::string& column) const {
    Treatment treatment = Treatment::kKeep;
    for (const config::ColumnRule& rule : rules_) {
        if (Matches(rule, schema, table)) {
            treatment = std::max(treatment, OfOne(rule, column));
        }
    }
    return treatment;
}

std::vector<std::string> ColumnRules::Required(const std::string& schema, const std::string& table) const {
    std::vector<std::string> required;
    for (const config::ColumnRule& rule : rules_) {
        if (!IsPattern(rule.table) && Matches(rule, schema, table)) {
            const std::vector<std::string> names = Named(rule);
            required.insert(required.end(), names.begin(), names.end());
        }
    }
    return required;
}

uint64_t ColumnRules::PolicyOf(const std::string& schema, const std::string& table,
                               std::string_view key_id) const {
    if (!Match(schema, table)) {
        return 0;
    }
    uint64_t hash = 0xcbf29ce484222325ULL;
    for (const config::ColumnRule& rule : rules_) {
        if (Matches(rule, schema, table)) {
            AddTo(hash, rule.include);
            AddTo(hash, rule.exclude);
            AddTo(hash, rule.hash);
            AddTo(hash, rule.hash.empty() ? "" : key_id);
        }
    }
    return hash == 0 ? 1 : hash;
}

absl::Status ColumnRules::CheckTable(const sdk::SourceTable& table,
                                     const std::vector<std::string>& columns) const {
    for (const std::string& key : table.key) {
        if (Of(table.schema, table.table, key) == Treatment::kDrop) {
            return KeyExcluded(table.DisplayName(), key);
        }
    }
    for (const std::string& name : Required(table.schema, table.table)) {
        if (!Has(columns, name)) {
            return UnknownColumn(table.DisplayName(), name);
        }
    }
    return absl::OkStatus();
}

sdk::Findings ColumnRules::Check(const std::vector<sdk::SourceTable>& tables,
                                 const std::vector<std::vector<std::string>>& columns) const {
    sdk::Findings findings;
    for (size_t i = 0; i < tables.size(); ++i) {
        if (const absl::Status status = CheckTable(tables[i], columns[i]); !status.ok()) {
            findings.push_back(sdk::FindingFromStatus(status, tables[i].DisplayName()));
        }
    }
    for (const config::ColumnRule& rule : rules_) {
        std::vector<std::string> missing = Named(rule);
        bool any = false;
        for (size_t i = 0; i < tables.size(); ++i) {
            if (Matches(rule, tables[i].schema, tables[i].table)) {
                any = true;
                std::erase_if(missing, [&](const std::string& name) { return Has(columns[i], name); });
            }
        }
        if (!any) {
            findings.push_back({"COLUMN_TABLE_UNKNOWN", sdk::Severity::kCritical,
                                base::Concat("no table of the pipeline matches '", rule.table,
                                             "', which a column rule names"),
                                "Correct the rule's table, or select the table", rule.table});
        } else if (IsPattern(rule.table)) {
            for (const std::string& name : missing) {
                findings.push_back(sdk::FindingFromStatus(UnknownColumn(rule.table, name), rule.table));
            }
        }
    }
    return findings;
}

}  // namespace millrace::columns
