/// Rows of a batch in the binary form of COPY, which costs the server about a quarter less than the text form.
/// Not for: sending them (sql_session), types whose binary form depends on the server (arrays, enums, domains, own types).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "connectors/sdk/sql/session.h"

namespace millrace::postgres {

/// For one table; its cells are texts as a PostgreSQL server writes them. Not thread-safe.
class CopyBinary final {
 public:
    /// nullopt when a column has a type that is not written here. The types must be the table's own: a server reads any
    /// eight bytes as the number of any type of eight bytes.
    static std::optional<CopyBinary> For(const sql::LoadTable& table);

    /// What COPY begins and ends with (https://www.postgresql.org/docs/current/sql-copy.html, Binary Format).
    static void AppendHeader(std::string& out);
    static void AppendTrailer(std::string& out);

    /// Appends row `row` of the batch. False when a cell is no text of its type; `out` is of no use then.
    bool AppendRow(std::string& out, const sdk::Batch& batch, size_t row) const;

 private:
    enum class Form {
        kBool, kInt2, kInt4, kInt8, kFloat4, kFloat8, kText, kBytes, kUuid, kDate, kTime, kTimestamp, kTimestampTz, kNumeric, kJsonb
    };

    static std::optional<Form> FormOf(const sql::LoadColumn& column);
    static bool AppendValue(std::string& out, Form form, std::string_view text);
    bool AppendField(std::string& out, size_t column, const sdk::Batch& batch, size_t row) const;

    explicit CopyBinary(const sql::LoadTable& table) : table_(table) {}

    const sql::LoadTable& table_;
    std::vector<Form> forms_;
};

}  // namespace millrace::postgres
