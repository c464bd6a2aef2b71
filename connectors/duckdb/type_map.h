/// Which DuckDB type holds a source's column, when an existing column will do, and how a source's text
/// becomes what DuckDB reads. Not for: SQL statements (session.h).
#pragma once

#include <string>
#include <string_view>

#include "connectors/sdk/schema.h"
#include "connectors/sdk/sql/dialect.h"

namespace millrace::duckdb {

/// The type in DuckDB's own spelling ("DECIMAL(10,2)", "TIMESTAMP WITH TIME ZONE").
std::string TypeFor(const sdk::Column& column, bool has_json);

/// As Dialect::CompareTypes.
sql::TypeFit CompareTypes(std::string_view existing, std::string_view wanted);

/// How a column of type `destination` takes its cells.
enum class CellForm {
    /// As it stands.
    kText,
    /// "\x…", as bytes.
    kBytes,
    /// DuckDB would round digits that do not fit: refuse them.
    kDecimal,
    /// "… BC" stands elsewhere in DuckDB, which would drop it.
    kCalendar,
    /// DuckDB knows no "+" inside an interval.
    kInterval,
};
CellForm FormFor(std::string_view destination);

/// Digits behind the point that a DECIMAL type holds.
int ScaleOf(std::string_view decimal_type);

/// Rewrites `text`, as PostgreSQL writes it, for DuckDB; `scratch` may hold the result, which lives as long
/// as both. False: the value cannot be stored in the form.
bool RewriteCell(CellForm form, int scale, std::string_view text, std::string& scratch,
                 std::string_view& result);

}  // namespace millrace::duckdb
