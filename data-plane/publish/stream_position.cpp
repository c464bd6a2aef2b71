#include "data-plane/publish/stream_position.h"

#include "base/status.h"
#include "data-plane/bus/compacted_topic.h"

namespace millrace::publish {
namespace {

constexpr std::chrono::seconds kReadTimeout{10};

}  // namespace

absl::StatusOr<ControlState> ReadControlState(const config::KafkaConfig& kafka,
                                              const std::string& control_topic) {
    ASSIGN_OR_RETURN(auto records, bus::ReadCompactedTopic(kafka, control_topic, kReadTimeout));
    ControlState state;
    for (const auto& [key, value] : records) {
        RETURN_IF_ERROR(DecodeControlRecord(key, value, state));
    }
    return state;
}

}  // namespace millrace::publish
