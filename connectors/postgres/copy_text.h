/// Rows of a batch in the text form of COPY. Not for: sending them (sql_session), the binary form.
#pragma once

#include <string>
#include <string_view>

#include "connectors/sdk/sql/session.h"

namespace millrace::postgres {

/// Appends `text` with backslash, tab, newline and carriage return escaped.
void AppendCopyText(std::string& out, std::string_view text);

/// Appends row `row` of the batch as one line, its newline included.
void AppendCopyRow(std::string& out, const sql::LoadTable& table, const sdk::Batch& batch, size_t row);

/// The same with NULL in every column but `only`.
void AppendCopyCell(std::string& out, const sql::LoadTable& table, const sdk::Batch& batch, size_t row,
                    size_t only);

}  // namespace millrace::postgres
