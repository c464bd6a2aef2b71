#include "data-plane/bus/applied_offsets.h"

#include <utility>

namespace millrace::bus {

void AppliedOffsets::Set(const std::string& topic, int64_t offset) {
    waiting_[topic] = offset;
}

AppliedOffsets::Offsets AppliedOffsets::Take(Clock::time_point now) {
    if (waiting_.empty() || !under_way_.empty() || now - last_taken_ < interval_) {
        return {};
    }
    last_taken_ = now;
    under_way_ = std::exchange(waiting_, {});
    return under_way_;
}

void AppliedOffsets::Finish(const std::set<std::string>& failed) {
    for (const auto& [topic, offset] : under_way_) {
        if (failed.contains(topic)) {
            waiting_.emplace(topic, offset);  // Keeps what was set since: a later call wins.
        }
    }
    under_way_.clear();
}

}  // namespace millrace::bus
