#include "data-plane/publish/stream_position.h"

#include "base/status.h"
#include "data-plane/bus/compacted_topic.h"

namespace millrace::publish {
namespace {

constexpr std::chrono::seconds kReadTimeout{10};

}  // namespace

void TableState::Forget() {
    copied = false;
    backfill.reset();
}

void TableState::Hold(const absl::Status& why) {
    Forget();
    held_reason = base::ReasonOf(why);
    held_error = std::string(why.message());
    held_remedy = base::RemedyOf(why);
}

void TableState::Release() {
    held_reason.clear();
    held_error.clear();
    held_remedy.clear();
}

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
