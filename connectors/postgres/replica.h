/// A streaming replica of the source, from which rows that existed before are read so that the primary is spared.
/// Not for: its log (changes come from the primary), failing over to it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "base/pq.h"
#include "connectors/sdk/finding.h"
#include "connectors/sdk/options.h"

namespace millrace::postgres {

/// `replica_host` and `replica_port`; the rest is as at the primary. nullopt: none is named.
std::optional<base::PqParameters> ReplicaParameters(const sdk::Options& options);

/// FailedPrecondition, reason REPLICA_OTHER: it is no replica of `primary`'s server.
absl::Status CheckReplica(base::PqConnection& primary, base::PqConnection& replica);

/// Waits until the replica has replayed the log up to `position`. Unavailable, reason REPLICA_BEHIND: it has not within
/// `patience`, or it is no replica any more.
absl::Status AwaitReplay(base::PqConnection& replica, uint64_t position, std::chrono::milliseconds patience);

/// Whether the replica can be read and is one of the server behind `primary`, for the check before a pipeline is deployed.
sdk::Finding ReplicaFinding(const base::PqParameters& primary, const base::PqParameters& replica);

}  // namespace millrace::postgres
