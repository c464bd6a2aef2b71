/// A source whose changes pass the pipeline's column rules before anybody sees them. Not for: the rules
/// (column_rules).
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "base/secret.h"
#include "connectors/sdk/source.h"
#include "data-plane/config/pipeline_config.h"

namespace millrace::columns {

/// What DeriveKey is told to make the key of hashed columns.
inline constexpr char kHashPurpose[] = "millrace hashed columns 1";

/// `source` as it is when there are no rules. Else tables that ListTables gives carry which columns a copy
/// leaves out, and their policy; ListTables is FailedPrecondition (COLUMN_UNKNOWN, COLUMN_KEY_EXCLUDED) while
/// a table does not fit its rules, and Preflight tells of rules that fit nothing. `hash_key` may be empty for
/// checks alone: then no change passes a rule that hashes.
absl::StatusOr<std::unique_ptr<sdk::Source>> MaskColumns(std::unique_ptr<sdk::Source> source,
                                                         std::vector<config::ColumnRule> rules,
                                                         const base::Secret& hash_key);

}  // namespace millrace::columns
