/// Whether a table's rows may have changed in place when its shape did, so that it must be copied anew; pure.
/// Not for: copying (data-plane/publish), what a destination makes of a new shape.
#pragma once

#include <string>

#include "connectors/sdk/schema.h"

namespace millrace::postgres {

/// Why a table that was written as `before` must be copied anew now that it is `after`, as half a sentence;
/// "" when its changes alone bring a destination along. It must where rows have values that no event carries:
/// PostgreSQL sends nothing for rows that ALTER TABLE rewrites. The files of a table tell that something
/// rewrote it, the catalogue row of a column that the column was altered: both together mean that its values
/// may be others. VACUUM FULL, CLUSTER and TRUNCATE change the files alone; a change that writes no row (a
/// longer varchar, another name) the column alone.
std::string CopyReason(const sdk::TableSchema& before, const sdk::TableSchema& after);

}  // namespace millrace::postgres
