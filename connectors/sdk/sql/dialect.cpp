#include "connectors/sdk/sql/dialect.h"

#include "base/text.h"

namespace millrace::sql {
namespace {

std::string Quote(std::string_view text, char quote) {
    std::string quoted;
    quoted.reserve(text.size() + 2);
    quoted.push_back(quote);
    for (const char c : text) {
        quoted.append(c == quote ? 2 : 1, c);
    }
    quoted.push_back(quote);
    return quoted;
}

}  // namespace

std::string Dialect::QuoteIdentifier(std::string_view name) const {
    return Quote(name, '"');
}

std::string Dialect::QuoteLiteral(std::string_view text) const {
    return Quote(text, '\'');
}

std::vector<std::string> Dialect::ColumnNames(const sdk::TableSchema& schema) const {
    std::vector<std::string> names;
    names.reserve(schema.columns.size());
    for (const sdk::Column& column : schema.columns) {
        names.push_back(column.name);
    }
    return names;
}

std::string Dialect::UnderlyingType(const sdk::Column& /*column*/) const {
    return "";
}

std::string Dialect::EndStalledHolders(std::string_view /*table*/, std::string_view /*where*/) const {
    return "";
}

std::string Dialect::TextIndex(std::string_view /*name*/, std::string_view /*table*/,
                               std::string_view /*column*/) const {
    return "";
}

std::optional<std::string> Dialect::Constant(std::string_view /*type*/, std::string_view text) const {
    return QuoteLiteral(text);
}

std::string Dialect::Literal(const sdk::Column& /*column*/, const sdk::Cell& cell) const {
    return cell.is_null() ? "NULL" : QuoteLiteral(cell.text());
}

std::string Dialect::Qualified(const sdk::TableTarget& table) const {
    return base::Concat(QuoteIdentifier(table.schema), ".", QuoteIdentifier(table.table));
}

}  // namespace millrace::sql
