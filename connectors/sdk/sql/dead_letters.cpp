#include "connectors/sdk/sql/dead_letters.h"

#include <algorithm>
#include <cstdio>
#include <map>

#include "base/text.h"

namespace millrace::sql {
namespace {

struct CodePoint final {
    char32_t value = 0;
    /// Bytes that it took; 0 when there is no whole character.
    size_t size = 0;
};

CodePoint Decode(std::string_view text) {
    const auto first = static_cast<unsigned char>(text[0]);
    const size_t size = first < 0x80   ? 1
                        : first < 0xC2 ? 0
                        : first < 0xE0 ? 2
                        : first < 0xF0 ? 3
                        : first < 0xF5 ? 4
                                       : 0;
    if (size == 0 || size > text.size()) {
        return {};
    }
    char32_t value = size == 1 ? first : first & (0x7FU >> size);
    for (size_t i = 1; i < size; ++i) {
        const auto next = static_cast<unsigned char>(text[i]);
        if ((next & 0xC0U) != 0x80U) {
            return {};
        }
        value = (value << 6U) | (next & 0x3FU);
    }
    constexpr char32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
    const bool surrogate = value >= 0xD800 && value <= 0xDFFF;
    return value < kSmallest[size] || surrogate || value > 0x10FFFF ? CodePoint{} : CodePoint{value, size};
}

void AppendEscape(std::string& out, char32_t unit) {
    char buffer[8];
    std::snprintf(buffer, sizeof(buffer), "\\u%04x", static_cast<unsigned>(unit));
    out += buffer;
}

void AppendJson(std::string& out, std::string_view text) {
    out.push_back('"');
    for (size_t i = 0; i < text.size();) {
        const CodePoint point = Decode(text.substr(i));
        if (point.size == 0) {
            AppendEscape(out, 0xDC00U + static_cast<unsigned char>(text[i]));
        } else if (point.value == '"' || point.value == '\\') {
            out.push_back('\\');
            out.push_back(text[i]);
        } else if (point.value >= 0x20 && point.value < 0x7F) {
            out.push_back(text[i]);
        } else if (point.value < 0x10000) {
            AppendEscape(out, point.value);
        } else {
            AppendEscape(out, 0xD800U + ((point.value - 0x10000U) >> 10U));
            AppendEscape(out, 0xDC00U + ((point.value - 0x10000U) & 0x3FFU));
        }
        i += std::max<size_t>(point.size, 1);
    }
    out.push_back('"');
}

void AppendMember(std::string& out, std::string_view name, const sdk::Cell& cell) {
    out += out.size() > 1 ? "," : "";
    AppendJson(out, name);
    out.push_back(':');
    if (cell.is_null()) {
        out += "null";
    } else {
        AppendJson(out, cell.text());
    }
}

std::string RowText(const sdk::TableSchema& schema, sdk::RowView row) {
    std::string text = "{";
    for (size_t i = 0; i < row.size(); ++i) {
        if (!row[i].is_unchanged()) {
            AppendMember(text, schema.columns[i].name, row[i]);
        }
    }
    return text + "}";
}

/// What was refused of one row.
struct RefusedRow final {
    std::vector<const RefusedCell*> cells;
    const RefusedCell* key = nullptr;
};

void RemoveRows(const std::vector<bool>& removed, sdk::Batch& batch) {
    const size_t width = batch.schema->columns.size();
    size_t to = 0;
    for (size_t from = 0; from < batch.rows.size(); ++from) {
        if (removed[from]) {
            continue;
        }
        if (to != from) {
            batch.rows[to] = batch.rows[from];
            std::copy_n(batch.cells.begin() + static_cast<ptrdiff_t>(from * width), width,
                        batch.cells.begin() + static_cast<ptrdiff_t>(to * width));
        }
        ++to;
    }
    batch.rows.resize(to);
    batch.cells.resize(to * width);
}

}  // namespace

std::string JsonText(std::string_view text) {
    std::string json;
    AppendJson(json, text);
    return json;
}

std::string KeyText(const sdk::TableSchema& schema, const std::vector<int>& key_columns, sdk::RowView row) {
    std::vector<sdk::Cell> key;
    for (const int column : key_columns) {
        key.push_back(row[static_cast<size_t>(column)]);
    }
    return KeyText(schema, key_columns, key);
}

std::string KeyText(const sdk::TableSchema& schema, const std::vector<int>& key_columns,
                    const std::vector<sdk::Cell>& key) {
    if (key_columns.empty()) {
        return "";
    }
    std::string text = "{";
    for (size_t i = 0; i < key.size(); ++i) {
        AppendMember(text, schema.columns[static_cast<size_t>(key_columns[i])].name, key[i]);
    }
    return text + "}";
}

std::vector<DeadLetter> TakeRefused(const std::vector<RefusedCell>& refused, const LoadTable& stage,
                                    const sdk::Batch& original, sdk::Batch& batch) {
    const sdk::TableSchema& schema = *batch.schema;
    const std::vector<int> key_columns = schema.KeyColumns();
    std::map<size_t, RefusedRow> rows;
    const auto column_of = [&](const RefusedCell& cell) {
        return static_cast<size_t>(stage.columns[cell.column].index);
    };
    for (const RefusedCell& cell : refused) {
        RefusedRow& row = rows[cell.row];
        row.cells.push_back(&cell);
        if (schema.columns[column_of(cell)].key_ordinal > 0 && !key_columns.empty()) {
            row.key = &cell;
        }
    }
    std::vector<DeadLetter> letters;
    std::vector<bool> removed(batch.rows.size(), false);
    for (const auto& [index, row] : rows) {
        const sdk::RowView cells = original.Row(index);
        const sdk::BatchRow& kind = original.rows[index];
        const auto letter = [&](const RefusedCell& cell) {
            return DeadLetter{.column = {},
                              .key = KeyText(schema, key_columns, cells),
                              .value = {},
                              .json = true,
                              .reason = cell.reason,
                              .position = kind.position};
        };
        if (row.key != nullptr) {
            removed[index] = true;
            // A row that could never stand here need not be deleted.
            if (kind.kind != sdk::BatchRow::Kind::kGone) {
                letters.push_back(letter(*row.key));
                letters.back().value = RowText(schema, cells);
            }
            continue;
        }
        for (const RefusedCell* cell : row.cells) {
            const size_t column = column_of(*cell);
            DeadLetter& made = letters.emplace_back(letter(*cell));
            made.column = schema.columns[column].name;
            made.json = cell->not_even_text;
            made.value = made.json ? JsonText(cells[column].text()) : std::string(cells[column].text());
        }
    }
    RemoveRows(removed, batch);
    return letters;
}

}  // namespace millrace::sql
