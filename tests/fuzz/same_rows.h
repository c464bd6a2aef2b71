/// Whether two rows are the same, cell by cell, unchanged ones and NULL included. Not for: events whole (each target compares
/// what its form keeps).
#pragma once

#include <cstddef>

#include "connectors/sdk/change_event.h"

namespace millrace::fuzz {

inline bool Same(sdk::RowView a, sdk::RowView b) {
    if (a.size() != b.size()) {
        return false;
    }
    for (size_t i = 0; i < a.size(); ++i) {
        if (a[i].state() != b[i].state() || (a[i].is_value() && a[i].text() != b[i].text())) {
            return false;
        }
    }
    return true;
}

}  // namespace millrace::fuzz
