/// The wall clock in the unit in which records carry it. Not for: measuring how long something takes (std::chrono::steady_clock).
#pragma once

#include <chrono>
#include <cstdint>

namespace millrace::base {

/// Microseconds since 1970.
inline int64_t NowMicros() {
    return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::system_clock::now().time_since_epoch())
        .count();
}

}  // namespace millrace::base
