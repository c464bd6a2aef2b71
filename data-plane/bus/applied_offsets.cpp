#include "data-plane/bus/applied_offsets.h"

#include <algorithm>
#include <array>
#include <utility>

namespace millrace::bus {
namespace {

/// After the last send. A client gives a request up after a minute.
constexpr std::array<std::chrono::seconds, 3> kRepeatAfter{std::chrono::seconds(3), std::chrono::seconds(15),
                                                           std::chrono::seconds(60)};

}  // namespace

void AppliedOffsets::Set(const std::string& topic, int64_t offset) {
    waiting_[topic] = offset;
    ours_.insert(topic);
}

void AppliedOffsets::Forget(const std::string& topic) {
    repeats_.erase(topic);
    ours_.erase(topic);
}

void AppliedOffsets::TakeRepeats(Clock::time_point now) {
    if (now < next_repeat_) {
        return;
    }
    next_repeat_ = Clock::time_point::max();
    for (auto at = repeats_.begin(); at != repeats_.end();) {
        auto& [topic, repeat] = *at;
        if (repeat.due <= now) {
            under_way_.emplace(topic, repeat.offset);
            if (++repeat.sent == kRepeatAfter.size()) {
                at = repeats_.erase(at);
                continue;
            }
            repeat.due = now + kRepeatAfter[repeat.sent];
        }
        next_repeat_ = std::min(next_repeat_, repeat.due);
        ++at;
    }
}

AppliedOffsets::Offsets AppliedOffsets::Take(Clock::time_point now) {
    if ((waiting_.empty() && now < next_repeat_) || !under_way_.empty() || now - last_taken_ < interval_) {
        return {};
    }
    last_taken_ = now;
    under_way_ = std::exchange(waiting_, {});
    for (const auto& [topic, offset] : under_way_) {
        if (ours_.contains(topic)) {
            repeats_[topic] = {.offset = offset, .sent = 0, .due = now + kRepeatAfter[0]};
            next_repeat_ = std::min(next_repeat_, now + kRepeatAfter[0]);
        }
    }
    TakeRepeats(now);
    return under_way_;
}

void AppliedOffsets::Finish(const std::set<std::string>& failed) {
    for (const auto& [topic, offset] : under_way_) {
        if (failed.contains(topic) && ours_.contains(topic)) {
            waiting_.emplace(topic, offset);  // Keeps what was set since: a later call wins.
        }
    }
    under_way_.clear();
}

}  // namespace millrace::bus
