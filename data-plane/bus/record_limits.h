/// The sizes on which topics, producer and consumers agree. Not for: how large a change may be
/// (codec/record_parts).
#pragma once

#include <cstdint>

#include "data-plane/config/pipeline_config.h"

namespace millrace::bus {

inline constexpr int64_t kDefaultMessageBytes = int64_t{16} << 20;

/// Largest Kafka record that a topic takes and the producer sends, in bytes, with all that surrounds its
/// value: 16 MiB, or what the Kafka property message.max.bytes says.
int64_t MaxMessageBytes(const config::KafkaConfig& kafka);

/// A value beyond this is split: half of the above, which leaves room for the key, and 8 MiB at the most.
int64_t PartBytes(const config::KafkaConfig& kafka);

}  // namespace millrace::bus
