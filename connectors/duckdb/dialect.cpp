#include "connectors/duckdb/dialect.h"

#include <algorithm>
#include <array>
#include <set>

#include "absl/strings/ascii.h"
#include "base/text.h"
#include "connectors/duckdb/engine.h"
#include "connectors/duckdb/type_map.h"

namespace millrace::duckdb {
namespace {

std::string Lower(std::string_view text) {
    return absl::AsciiStrToLower(base::ToAbsl(text));
}

// "\x00ff" as DuckDB spells it, "\x00\xff". A function (from_hex) would do too, were it not that a default
// which is no plain constant makes DuckDB update the new column, after which it refuses other changes in the
// same transaction.
std::optional<std::string> BlobConstant(std::string_view text) {
    if (!text.starts_with("\\x") || text.size() % 2 != 0) {
        return std::nullopt;
    }
    std::string bytes;
    for (size_t i = 2; i < text.size(); i += 2) {
        base::Append(bytes, "\\x", text.substr(i, 2));
    }
    return base::Concat("'", bytes, "'");
}

}  // namespace

bool IsReservedSchema(std::string_view schema) {
    constexpr std::array<std::string_view, 4> kNames = {"temp", "system", "memory", kCatalog};
    return std::ranges::find(kNames, Lower(schema)) != kNames.end();
}

std::vector<std::string> DuckDbDialect::ColumnNames(const sdk::TableSchema& schema) const {
    std::vector<std::string> names;
    std::set<std::string> taken;
    // A made-up name must not take the place of a later column's own.
    std::set<std::string> own;
    for (const sdk::Column& column : schema.columns) {
        own.insert(Lower(column.name));
    }
    for (const sdk::Column& column : schema.columns) {
        std::string name = column.name;
        for (int i = 2; taken.contains(Lower(name)); ++i) {
            std::string candidate = base::Concat(column.name, "_", i);
            if (!own.contains(Lower(candidate))) {
                name = std::move(candidate);
            }
        }
        taken.insert(Lower(name));
        names.push_back(std::move(name));
    }
    return names;
}

bool DuckDbDialect::SameName(std::string_view a, std::string_view b) const {
    return Lower(a) == Lower(b);
}

std::optional<std::string> DuckDbDialect::Constant(std::string_view type, std::string_view text) const {
    if (type == "BLOB") {
        return BlobConstant(text);
    }
    std::string scratch;
    std::string_view result;
    if (!RewriteCell(FormFor(type), ScaleOf(type), text, scratch, result)) {
        return std::nullopt;
    }
    return QuoteLiteral(result);
}

sql::TypeFit DuckDbDialect::CompareTypes(const std::string& existing, const std::string& wanted) const {
    return duckdb::CompareTypes(existing, wanted);
}

}  // namespace millrace::duckdb
