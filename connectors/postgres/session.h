/// How the source half connects: one text form for every value, whichever connection reads it, and nothing
/// that ends a long copy. Not for: the destination half's sessions.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/pq.h"

namespace millrace::postgres {

/// Names of what a pipeline owns at the server.
struct ObjectNames final {
    std::string slot;
    /// Lives only as long as the copy that made it.
    std::string copy_slot;
    /// Tables with a usable identity.
    std::string publication;
    /// Tables without one: inserts and truncates only.
    std::string append_publication;
};

/// `stream` is the pipeline id. Names stay below the server's limit of 63 bytes; a long id is cut and carries
/// a hash.
ObjectNames NamesFor(const std::string& stream);

/// An ordinary session with the formats of the replication stream; row_security is off, so that a policy is
/// an error and never a missing row.
absl::StatusOr<std::unique_ptr<base::PqConnection>> ConnectSession(const base::PqParameters& parameters);

/// A replication session bound to the database.
absl::StatusOr<std::unique_ptr<base::PqConnection>> ConnectReplication(const base::PqParameters& parameters);

/// `{"a","b"}` for a parameter that is cast to an array.
std::string ArrayLiteral(const std::vector<std::string>& elements);

}  // namespace millrace::postgres
