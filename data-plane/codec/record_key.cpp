#include <cstddef>

#include "data-plane/codec/event_codec.h"
#include "data-plane/codec/event_encoder.h"
#include "data-plane/codec/wire.h"

namespace millrace::codec {
namespace {

/// Index of the column with this ordinal in the key, or -1. Searched anew each time: KeyColumns() would
/// allocate.
int KeyColumn(const sdk::TableSchema& schema, int ordinal) {
    for (std::size_t i = 0; i < schema.columns.size(); ++i) {
        if (schema.columns[i].key_ordinal == ordinal) {
            return static_cast<int>(i);
        }
    }
    return -1;
}

void AppendKeyCell(std::string_view text, std::string& key) {
    char length[kMaxVarintBytes];
    WireWriter out(length);
    out.PutVarint(text.size());
    key.append(length, static_cast<std::size_t>(out.at() - length));
    key.append(text);
}

/// `old_row` lends the key cells that the source did not send again.
void EncodeKeyOf(const sdk::TableSchema& schema, sdk::RowView row, sdk::RowView old_row, std::string& key) {
    key.clear();
    if (schema.append_only || row.empty()) {
        return;
    }
    for (int ordinal = 1;; ++ordinal) {
        const int column = KeyColumn(schema, ordinal);
        if (column < 0) {
            return;
        }
        const auto index = static_cast<std::size_t>(column);
        sdk::Cell cell = index < row.size() ? row[index] : sdk::Cell::Null();
        if (cell.is_unchanged() && index < old_row.size()) {
            cell = old_row[index];
        }
        AppendKeyCell(cell.is_value() ? cell.text() : std::string_view(), key);
    }
}

}  // namespace

void EncodeKey(const sdk::TableSchema& schema, sdk::RowView row, std::string& key) {
    EncodeKeyOf(schema, row, {}, key);
}

void EncodeEventKey(const sdk::ChangeEvent& event, std::string& key) {
    EncodeKeyOf(*event.schema, event.after.empty() ? event.before : event.after, event.before, key);
}

}  // namespace millrace::codec
