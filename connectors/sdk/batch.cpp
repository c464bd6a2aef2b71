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

}  // namespace millrace::sdk
