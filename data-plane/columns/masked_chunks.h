/// Chunks whose rows pass the column rules before anybody sees them. Not for: the stream and copies under a snapshot
/// (masked_source).
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "base/secret.h"
#include "connectors/sdk/chunk.h"
#include "data-plane/columns/column_rules.h"

namespace millrace::columns {

/// `reader` reads a table of which the rules leave the key as it is. `rules` outlives what is returned, whose Read is also
/// FailedPrecondition as ColumnMask::Apply. `hash_key` may be empty where no rule hashes.
absl::StatusOr<std::unique_ptr<sdk::ChunkReader>> MaskChunks(std::unique_ptr<sdk::ChunkReader> reader, const ColumnRules& rules,
                                                             const base::Secret& hash_key);

}  // namespace millrace::columns
