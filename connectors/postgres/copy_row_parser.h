/// Rows of COPY's text format into cells; pure. Not for: running COPY (snapshot_copy.h), writing that format.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "connectors/sdk/change_event.h"

namespace millrace::postgres {

/// Reused from row to row, so that nothing is allocated once the longest row has been seen.
class CopyRowParser final {
 public:
    /// `line` is one row with or without its newline. `cells` point into `line`, or into this object where a
    /// value had escapes; valid until either goes or the next call. DataLoss: not `columns` fields.
    absl::Status Parse(std::string_view line, size_t columns, std::vector<sdk::Cell>& cells);

 private:
    sdk::Cell Unescape(std::string_view field);

    std::string unescaped_;
};

}  // namespace millrace::postgres
