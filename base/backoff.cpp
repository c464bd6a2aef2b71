#include "base/backoff.h"

#include <algorithm>

namespace millrace::base {

std::chrono::milliseconds Backoff::Next() {
    int64_t delay = std::max<int64_t>(first_.count(), 1);
    const int64_t max = std::max<int64_t>(max_.count(), 1);
    for (int i = 0; i < attempts_ && delay < max; ++i) {
        delay = delay > max / 2 ? max : delay * 2;
    }
    delay = std::min(delay, max);
    ++attempts_;
    return std::chrono::milliseconds(std::uniform_int_distribution<int64_t>(delay / 2, delay)(random_));
}

}  // namespace millrace::base
