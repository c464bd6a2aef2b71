/// Time as the apply room sees it, so that tests can own it. Not for: ordering changes (positions do that).
#pragma once

#include <chrono>
#include <cstdint>

namespace millrace::apply {

using TimePoint = std::chrono::steady_clock::time_point;

/// Any thread.
class Clock {
 public:
    virtual ~Clock() = default;
    [[nodiscard]] virtual TimePoint Now() const = 0;
    /// Microseconds since 1970-01-01 UTC.
    [[nodiscard]] virtual int64_t WallMicros() const = 0;
};

class SystemClock final : public Clock {
 public:
    [[nodiscard]] TimePoint Now() const override { return std::chrono::steady_clock::now(); }
    [[nodiscard]] int64_t WallMicros() const override {
        return std::chrono::duration_cast<std::chrono::microseconds>(
                   std::chrono::system_clock::now().time_since_epoch())
            .count();
    }
};

}  // namespace millrace::apply
