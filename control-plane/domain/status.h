/// What a pipeline's status is, derived from what its plane's workers said and how long ago: a pure function.
/// Not for: keeping facts (session), storing anything.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "millrace/v1/link.pb.h"
#include "millrace/v1/resources.pb.h"

namespace millrace::domain {

/// One worker of the plane, as far as one pipeline is concerned.
struct WorkerReport final {
    std::string worker_id;
    /// "publisher", "consumer" or "all".
    std::string role;
    bool connected = false;
    /// Generation of the pipeline's configuration that it acknowledged; 0 = none in this session.
    int64_t acked_generation = 0;
    absl::Time acked_at = absl::InfinitePast();
    /// That it refused the configuration of this generation, and why.
    std::optional<v1::Rejection> rejection;
    /// Its last facts about the pipeline, if any ever came, and when they arrived.
    std::optional<v1::PipelineFacts> facts;
    absl::Time facts_at = absl::InfinitePast();
};

[[nodiscard]] bool ActsAsPublisher(const WorkerReport& worker);
[[nodiscard]] bool ActsAsConsumer(const WorkerReport& worker);

struct StatusInput final {
    /// metadata.generation is that of the configuration that workers are sent.
    const v1::Pipeline& pipeline;
    const std::vector<WorkerReport>& workers;
    absl::Time now;
    absl::Duration heartbeat;
};

/// Facts older than three heartbeats count for nothing but the names of tables: never the last green. The
/// first that holds: DELETING, DRAFT, BLOCKED (configuration refused), UNKNOWN (no worker connected),
/// DEPLOYING (no worker has acknowledged it, or none has reported yet), UNKNOWN (no fresh facts), BLOCKED
/// (publisher), PAUSED, COPYING, DEGRADED, UNKNOWN (nobody publishes), LIVE. `message` says what is wrong and
/// what to do.
v1::PipelineStatus DeriveStatus(const StatusInput& input);

}  // namespace millrace::domain
