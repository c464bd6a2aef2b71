#include "data-plane/events/event_log.h"

#include <algorithm>
#include <chrono>

#include "base/text.h"

namespace millrace::events {
namespace {

constexpr size_t kMaxText = 8 * 1024;

void Shorten(std::string& text) {
    if (text.size() > kMaxText) {
        text.resize(kMaxText);
        // Not in the middle of a character.
        while (!text.empty() && (text.back() & 0xC0) == 0x80) {
            text.pop_back();
        }
        if (!text.empty() && (text.back() & 0x80) != 0) {
            text.pop_back();
        }
        text += "…";
    }
}

}  // namespace

void EventLog::Add(const std::string& pipeline, Event event) {
    Shorten(event.before);
    Shorten(event.after);
    Shorten(event.message);
    const int64_t now = std::chrono::duration_cast<std::chrono::microseconds>(
                            std::chrono::system_clock::now().time_since_epoch())
                            .count();
    const std::lock_guard lock(mutex_);
    if (event.id.empty()) {
        event.id = base::Concat(boot_id_, "-", first_ + events_.size());
    }
    events_.push_back({pipeline, std::move(event), now});
    if (events_.size() > most_) {
        events_.pop_front();
        ++first_;
    }
}

std::vector<LoggedEvent> EventLog::Read(uint64_t& cursor, size_t limit) const {
    const std::lock_guard lock(mutex_);
    const uint64_t end = first_ + events_.size();
    const uint64_t from = std::clamp(cursor, first_, end);
    const uint64_t to = std::min<uint64_t>(end, from + limit);
    cursor = to;
    return {events_.begin() + static_cast<std::ptrdiff_t>(from - first_),
            events_.begin() + static_cast<std::ptrdiff_t>(to - first_)};
}

}  // namespace millrace::events
