/// Which applied offsets the group is still to be told. Not for: talking to Kafka (table_reader), deciding
/// where to start.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <set>
#include <string>

namespace millrace::bus {

/// Coalesces: of several offsets of a topic only the last is sent, one commit at a time, at most one an
/// interval; what failed is sent again. A commit of the topic's owner before us may still be on its way and
/// put the group back, so the last offset of a topic that rests is sent again some times, until none can be.
/// Not thread-safe.
class AppliedOffsets final {
 public:
    using Clock = std::chrono::steady_clock;
    using Offsets = std::map<std::string, int64_t>;

    explicit AppliedOffsets(std::chrono::milliseconds interval) : interval_(interval) {}

    void Set(const std::string& topic, int64_t offset);
    /// What to commit now; empty while a commit is under way, the interval has not passed or there is nothing
    /// new.
    Offsets Take(Clock::time_point now);
    /// Ends the commit of what Take returned; `failed` of it are sent again.
    void Finish(const std::set<std::string>& failed);
    /// The topic is another's from now on: nothing of it is sent again, but what waits still is, once.
    void Forget(const std::string& topic);
    /// Nothing waits and nothing is under way.
    [[nodiscard]] bool settled() const { return waiting_.empty() && under_way_.empty(); }

 private:
    struct Repeat final {
        int64_t offset = 0;
        size_t sent = 0;
        Clock::time_point due;
    };
    void TakeRepeats(Clock::time_point now);

    const std::chrono::milliseconds interval_;
    Clock::time_point last_taken_;
    Offsets waiting_;
    Offsets under_way_;
    /// Of the topics that are ours and rest, until their last repetition.
    std::map<std::string, Repeat> repeats_;
    Clock::time_point next_repeat_ = Clock::time_point::max();
    std::set<std::string> ours_;
};

}  // namespace millrace::bus
