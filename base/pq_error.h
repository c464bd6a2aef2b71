/// What libpq and the server say about failures, as absl::Status without row values or credentials.
/// Not for: anything outside base/pq*.cpp.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "base/pq.h"

namespace millrace::base::pq_internal {

/// Why a connection attempt failed. `text` is libpq's error message under PQERRORS_VERBOSE.
absl::Status ConnectFailure(const PqParameters& parameters, std::string_view text, bool timed_out);

/// The error of a failed result; `result` may be null when the connection broke.
absl::Status ResultFailure(const pg_result* result, const pg_conn* connection);

/// "host db.example port 5432": what the parameters point at, for messages.
std::string Endpoint(const PqParameters& parameters);

}  // namespace millrace::base::pq_internal
