// Labels that the source added to an enum, added to the destination's type of the same columns.
#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_join.h"
#include "base/status.h"
#include "base/text.h"
#include "connectors/postgres/sql_session.h"
#include "connectors/postgres/type_name.h"

namespace millrace::postgres {
namespace {

/// Different texts of one column that are looked at: an enum has few labels, an array of them may have any
/// number.
constexpr size_t kMostTexts = 10'000;

struct EnumType final {
    std::string name;
    std::vector<std::string> labels;

    [[nodiscard]] bool Has(const std::string& label) const {
        return std::ranges::find(labels, label) != labels.end();
    }
    [[nodiscard]] std::string ToString() const {
        return base::Concat(name, " (", absl::StrJoin(labels, ", "), ")");
    }
};

bool IsEnum(const sdk::Column& column) {
    return column.type == sdk::LogicalType::kEnum ||
           (column.type == sdk::LogicalType::kArray && column.element == sdk::LogicalType::kEnum);
}

std::set<std::string> TextsOf(const sdk::Batch& batch, size_t column) {
    std::set<std::string> texts;
    for (size_t row = 0; row < batch.rows.size() && texts.size() < kMostTexts; ++row) {
        if (const sdk::Cell& cell = batch.Row(row)[column]; cell.is_value()) {
            texts.emplace(cell.text());
        }
    }
    return texts;
}

// Where the source has the label, if the batch's schema knows it already; else it comes last.
std::string Place(const EnumType& type, const std::vector<std::string>& order, const std::string& label) {
    const auto at = std::ranges::find(order, label);
    if (at == order.end()) {
        return {};
    }
    if (at != order.begin() && type.Has(*(at - 1))) {
        return base::Concat(" AFTER ", base::QuoteLiteral(*(at - 1)));
    }
    if (at + 1 != order.end() && type.Has(*(at + 1))) {
        return base::Concat(" BEFORE ", base::QuoteLiteral(*(at + 1)));
    }
    return {};
}

/// Reads and alters the enum behind one column.
class Labels final {
 public:
    explicit Labels(SqlSession& session) : session_(session) {}

    absl::StatusOr<std::optional<EnumType>> Read(const std::string& type) {
        ASSIGN_OR_RETURN(const auto rows, session_.Query(base::Concat(
                                              "SELECT t.oid::pg_catalog.regtype, e.enumlabel FROM "
                                              "pg_catalog.pg_type t JOIN pg_catalog.pg_enum e ON "
                                              "e.enumtypid = t.oid WHERE t.oid = pg_catalog.to_regtype(",
                                              base::QuoteLiteral(type), ") ORDER BY e.enumsortorder")));
        if (rows.empty()) {
            return std::nullopt;
        }
        EnumType found{.name = rows.front()[0].value_or(""), .labels = {}};
        for (const auto& row : rows) {
            found.labels.push_back(row[1].value_or(""));
        }
        return found;
    }

    /// The labels that `texts` name: themselves, or the elements of arrays.
    absl::StatusOr<std::vector<std::string>> Named(const std::set<std::string>& texts, bool arrays) {
        if (!arrays || texts.empty()) {
            return std::vector<std::string>(texts.begin(), texts.end());
        }
        const std::string list = absl::StrJoin(texts, "), (", [](std::string* out, const std::string& text) {
            out->append(base::QuoteLiteral(text));
        });
        ASSIGN_OR_RETURN(const auto rows, session_.Query(base::Concat(
                                              "SELECT DISTINCT l FROM (VALUES (", list,
                                              ")) AS v(a), unnest(v.a::text[]) AS l WHERE l IS NOT NULL")));
        std::vector<std::string> labels;
        for (const auto& row : rows) {
            labels.push_back(row[0].value_or(""));
        }
        return labels;
    }

    absl::Status Add(EnumType& type, const std::vector<std::string>& order, const std::string& label) {
        RETURN_IF_ERROR(session_
                            .Execute(base::Concat("ALTER TYPE ", type.name, " ADD VALUE IF NOT EXISTS ",
                                                  base::QuoteLiteral(label), Place(type, order, label)))
                            .status());
        type.labels.push_back(label);
        return absl::OkStatus();
    }

 private:
    SqlSession& session_;
};

}  // namespace

absl::StatusOr<std::vector<sdk::TypeChange>> SqlSession::AdmitValues(const sdk::TableTarget& table,
                                                                     const std::vector<std::string>& names,
                                                                     const sdk::Batch& batch) {
    std::vector<sdk::TypeChange> changes;
    const std::vector<sdk::Column>& columns = batch.schema->columns;
    if (std::ranges::none_of(columns, IsEnum)) {
        return changes;
    }
    ASSIGN_OR_RETURN(const auto shape, Describe(table));
    if (!shape) {
        return changes;
    }
    Labels labels(*this);
    for (size_t i = 0; i < columns.size(); ++i) {
        const auto there = std::ranges::find(shape->columns, names[i], &sql::TableShape::Column::name);
        if (!IsEnum(columns[i]) || there == shape->columns.end()) {
            continue;
        }
        TypeName name = TypeName::Parse(there->type);
        name.array = false;
        ASSIGN_OR_RETURN(auto type, labels.Read(name.ToString()));
        if (!type) {
            continue;
        }
        const std::string before = type->ToString();
        ASSIGN_OR_RETURN(const auto named,
                         labels.Named(TextsOf(batch, i), columns[i].type == sdk::LogicalType::kArray));
        for (const std::string& label : named) {
            if (!type->Has(label)) {
                RETURN_IF_ERROR(labels.Add(*type, columns[i].labels, label));
            }
        }
        if (type->ToString() != before) {
            ASSIGN_OR_RETURN(type, labels.Read(name.ToString()));
            changes.push_back({.before = before, .after = type->ToString()});
        }
    }
    return changes;
}

}  // namespace millrace::postgres
