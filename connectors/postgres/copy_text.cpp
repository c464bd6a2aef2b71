#include "connectors/postgres/copy_text.h"

#include <charconv>
#include <cstdint>
#include <cstring>

namespace millrace::postgres {
namespace {

using Origin = sql::LoadColumn::Origin;

bool IsSpecial(char c) {
    return c == '\\' || c == '\t' || c == '\n' || c == '\r';
}

/// Whether one of eight bytes may be special: a backslash, or below 0x0E. Says yes too often, never too rarely.
bool MayHoldSpecial(const char* eight) {
    constexpr uint64_t kOnes = 0x0101010101010101;
    constexpr uint64_t kHighBits = 0x80 * kOnes;
    uint64_t word = 0;
    std::memcpy(&word, eight, sizeof(word));
    const uint64_t backslash = word ^ (kOnes * '\\');
    return ((((backslash - kOnes) & ~backslash) | ((word - kOnes * 0x0E) & ~word)) & kHighBits) != 0;
}

/// The first byte to escape at or after `from`; the text's size when there is none. Eight bytes at a time: searched
/// byte by byte, this was the largest cost of writing a batch.
size_t FindSpecial(std::string_view text, size_t from) {
    size_t at = from;
    for (; at + sizeof(uint64_t) <= text.size(); at += sizeof(uint64_t)) {
        if (MayHoldSpecial(text.data() + at)) {
            for (size_t i = at; i < at + sizeof(uint64_t); ++i) {
                if (IsSpecial(text[i])) {
                    return i;
                }
            }
        }
    }
    for (; at < text.size(); ++at) {
        if (IsSpecial(text[at])) {
            return at;
        }
    }
    return text.size();
}

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
    size_t done = 0;
    for (size_t at = FindSpecial(text, 0); at < text.size(); at = FindSpecial(text, done)) {
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
