#include "data-plane/backfill/rate_limit.h"

#include <algorithm>

namespace millrace::backfill {

void RateLimit::Bucket::Fill(TimePoint now) {
    const double seconds = std::chrono::duration<double>(now - filled_at).count();
    filled_at = now;  // The first time it was full, however long that is ago.
    const auto full = static_cast<double>(rate);
    left = std::min(full, left + seconds * full);
}

void RateLimit::Spend(int64_t rows, int64_t bytes, TimePoint now) {
    rows_.Fill(now);
    bytes_.Fill(now);
    rows_.left -= static_cast<double>(rows);
    bytes_.left -= static_cast<double>(bytes);
}

bool RateLimit::Allows(TimePoint now) {
    rows_.Fill(now);
    bytes_.Fill(now);
    return (rows_.rate == 0 || rows_.left >= 0) && (bytes_.rate == 0 || bytes_.left >= 0);
}

}  // namespace millrace::backfill
