/// Reads a compacted topic (control, schemas) whole. Not for: table topics.
#pragma once

#include <chrono>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "data-plane/config/pipeline_config.h"

namespace millrace::bus {

/// Latest value of every key, read_committed, up to the end at the time of the call; a missing topic is
/// empty. Unavailable when the broker does not answer within `timeout`.
absl::StatusOr<std::map<std::string, std::string>> ReadCompactedTopic(const config::KafkaConfig& kafka,
                                                                      const std::string& topic,
                                                                      std::chrono::milliseconds timeout);

}  // namespace millrace::bus
