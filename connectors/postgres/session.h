/// How the source half connects: one text form for every value, whichever connection reads it, and nothing
/// that ends a long copy. Not for: the destination half's sessions.
#pragma once

#include <memory>
#include <string>
#include <string_view>
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

/// Names the running database, whatever address it is reached by: no two servers start in the same microsecond.
inline constexpr std::string_view kPlaceSql =
    "SELECT md5(concat_ws('/', extract(epoch FROM pg_catalog.pg_postmaster_start_time()), pg_catalog.current_database(), "
    "(SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())))";

/// `{"a","b"}` for a parameter that is cast to an array.
std::string ArrayLiteral(const std::vector<std::string>& elements);

}  // namespace millrace::postgres
