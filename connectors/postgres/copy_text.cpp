#include "connectors/postgres/copy_text.h"

#include <charconv>

namespace millrace::postgres {
namespace {

using Origin = sql::LoadColumn::Origin;

void AppendNumber(std::string& out, size_t number) {
    char digits[24];
    out.append(digits, std::to_chars(digits, digits + sizeof(digits), number).ptr);
}

void AppendCell(std::string& out, const sdk::Cell& cell) {
    if (cell.is_null()) {
        out.append("\\N");
    } else {
        AppendCopyText(out, cell.text());
    }
}

void AppendColumn(std::string& out, const sql::LoadColumn& column, const sdk::Batch& batch, size_t row) {
    switch (column.origin) {
        case Origin::kCell:
        case Origin::kSourceKey:
            AppendCell(out, sql::LoadedCell(column, batch, row));
            break;
        case Origin::kRowNumber:
            AppendNumber(out, row);
            break;
        case Origin::kGone:
        case Origin::kUnchanged:
            out.push_back(sql::LoadedFlag(column, batch, row) ? 't' : 'f');
            break;
    }
}

}  // namespace

void AppendCopyText(std::string& out, std::string_view text) {
    constexpr std::string_view kSpecial = "\\\t\n\r";
    size_t done = 0;
    for (size_t at = text.find_first_of(kSpecial); at != std::string_view::npos;
         at = text.find_first_of(kSpecial, done)) {
        out.append(text, done, at - done);
        out.push_back('\\');
        const char c = text[at];
        out.push_back(c == '\t' ? 't' : c == '\n' ? 'n' : c == '\r' ? 'r' : '\\');
        done = at + 1;
    }
    out.append(text, done);
}

void AppendCopyRow(std::string& out, const sql::LoadTable& table, const sdk::Batch& batch, size_t row) {
    for (size_t i = 0; i < table.columns.size(); ++i) {
        if (i > 0) {
            out.push_back('\t');
        }
        AppendColumn(out, table.columns[i], batch, row);
    }
    out.push_back('\n');
}

void AppendCopyCell(std::string& out, const sql::LoadTable& table, const sdk::Batch& batch, size_t row,
                    size_t only) {
    for (size_t i = 0; i < table.columns.size(); ++i) {
        if (i > 0) {
            out.push_back('\t');
        }
        if (i == only) {
            AppendColumn(out, table.columns[i], batch, row);
        } else {
            out.append("\\N");
        }
    }
    out.push_back('\n');
}

}  // namespace millrace::postgres
