/// The embedded store: one SQLite file. Not for: several control planes on one store (a lock file refuses the
/// second).
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "control-plane/store/store.h"

namespace millrace::store {

/// Opens or makes `path`, with its folder; holds `<path>.lock` until destroyed. FailedPrecondition (reason
/// STORE_LOCKED) while another process holds it, (STORE_TOO_NEW) when a later version wrote it; Unavailable
/// when it cannot be opened.
absl::StatusOr<std::unique_ptr<Store>> OpenSqliteStore(const std::string& path);

/// Changes that a watch may start behind; older ones are forgotten.
inline constexpr int64_t kChangesKept = 10000;

}  // namespace millrace::store
