/// Tells from how long reads take that a source has other work to do, so that the next read waits. Pure; the clock is its
/// caller's. Not for: the limits that somebody sets (rate_limit), how large one read is (publish/table_backfill).
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace millrace::backfill {

/// Of one table: rows of another may be read at another speed.
class Strain final {
 public:
    /// Small reads say nothing of the speed.
    static constexpr int64_t kLeastBytes = int64_t{256} << 10;
    static constexpr double kSlower = 3;
    static constexpr std::chrono::seconds kLongestPause{5};

    /// A read of `bytes` took so long while `readers` read at the same time. Returns for how long nothing is to be read: as long as
    /// it took, when that is several times as long as such reads took at their best.
    std::chrono::milliseconds PauseAfter(int64_t bytes, std::chrono::steady_clock::duration took, size_t readers) {
        const double seconds = std::chrono::duration<double>(took).count();
        if (bytes < kLeastBytes || seconds <= 0) {
            return {};
        }
        const double speed = static_cast<double>(bytes) / seconds * static_cast<double>(std::max<size_t>(readers, 1));
        // What was possible once may not be for good.
        best_ = std::max(best_ * kForget, speed);
        if (speed * kSlower >= best_) {
            return {};
        }
        return std::min(std::chrono::duration_cast<std::chrono::milliseconds>(took), std::chrono::milliseconds{kLongestPause});
    }

 private:
    static constexpr double kForget = 0.99;
    double best_ = 0;
};

}  // namespace millrace::backfill
