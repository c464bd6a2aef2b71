#include "connectors/sdk/batch.h"

namespace millrace::sdk {

bool Batch::HasUnchanged(size_t column) const {
    const size_t n = schema->columns.size();
    for (size_t i = column; i < cells.size(); i += n) {
        if (cells[i].is_unchanged()) {
            return true;
        }
    }
    return false;
}

Batch Batch::Part(bool fresh_rows) const {
    Batch part;
    part.schema = schema;
    part.append = fresh_rows;
    part.refused = refused;
    part.source_keys = source_keys;
    for (size_t i = 0; i < rows.size(); ++i) {
        if (rows[i].fresh == fresh_rows) {
            const RowView row = Row(i);
            part.rows.push_back(rows[i]);
            part.cells.insert(part.cells.end(), row.begin(), row.end());
        }
    }
    return part;
}

}  // namespace millrace::sdk
