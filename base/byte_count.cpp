#include "base/byte_count.h"

#include <array>
#include <cmath>
#include <cstdio>

namespace millrace::base {

std::string ByteCount::ToString() const {
    constexpr std::array<const char*, 6> kUnits = {"kB", "MB", "GB", "TB", "PB", "EB"};
    // 1023.95 would be printed as "1024.0".
    constexpr double kNextUnit = 1023.95;
    double scaled = static_cast<double>(bytes_);
    if (std::abs(scaled) < 1024) {
        return std::to_string(bytes_) + " B";
    }
    scaled /= 1024;
    size_t unit = 0;
    while (std::abs(scaled) >= kNextUnit && unit + 1 < kUnits.size()) {
        scaled /= 1024;
        ++unit;
    }
    char text[32];
    std::snprintf(text, sizeof(text), "%.1f %s", scaled, kUnits[unit]);
    return text;
}

}  // namespace millrace::base
