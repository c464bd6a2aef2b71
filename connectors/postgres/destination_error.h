/// What a failed statement of the destination half means for a table: code, reason and remedy.
/// Not for: connection attempts (base/pq.h), the source half.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace millrace::postgres {

/// Who asks and where: for remedies that can be pasted.
struct Whereabouts final {
    std::string database;
    std::string role;
};

/// Refines an error of base::PqConnection: Unavailable (TABLE_LOCKED, READ_ONLY, CANCELLED), PermissionDenied
/// with the GRANT, FailedPrecondition (VALUE_REJECTED, KEY_CONFLICT, CONSTRAINT_VIOLATED). `column` names the
/// column of a refused value where it is known; then, or where `reading_values`, whatever a value can be the
/// reason of is VALUE_REJECTED. Other errors pass unchanged.
absl::Status DestinationError(const absl::Status& status, const Whereabouts& where,
                              std::string_view column = {}, bool reading_values = false);

}  // namespace millrace::postgres
