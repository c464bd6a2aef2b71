#include "data-plane/apply/flush_policy.h"

#include <algorithm>

namespace millrace::apply {

namespace {

constexpr int kBatchesBeforeGrowing = 16;

}  // namespace

FlushLimits ResolveLimits(const config::FlushRules& rules, const sdk::FlushDefaults& defaults) {
    FlushLimits limits;
    limits.rows = std::max<int64_t>(1, rules.rows.value_or(defaults.rows));
    limits.bytes = std::max<int64_t>(1, rules.bytes.value_or(defaults.bytes).value());
    limits.interval = std::max(std::chrono::milliseconds(0), rules.interval.value_or(defaults.interval));
    return limits;
}

bool FlushPolicy::Full(const Held& held) const {
    return held.rows >= rows_ || held.bytes >= bytes_;
}

std::optional<TimePoint> FlushPolicy::Due(const Held& held, TimePoint now, bool pressure) const {
    if (held.records == 0) {
        return std::nullopt;
    }
    if (pressure || Full(held)) {
        return now;
    }
    return held.since + limits_.interval;
}

bool FlushPolicy::Shrink(const Held& refused) {
    applied_since_shrink_ = 0;
    if (refused.records <= 1) {
        return false;
    }
    rows_ = std::max<int64_t>(1, std::min(rows_, refused.rows) / 2);
    bytes_ = std::max<int64_t>(1, std::min(bytes_, refused.bytes) / 2);
    return true;
}

void FlushPolicy::Applied() {
    if (rows_ == limits_.rows && bytes_ == limits_.bytes) {
        return;
    }
    if (++applied_since_shrink_ < kBatchesBeforeGrowing) {
        return;
    }
    applied_since_shrink_ = 0;
    rows_ = std::min(limits_.rows, rows_ * 2);
    bytes_ = std::min(limits_.bytes, bytes_ * 2);
}

}  // namespace millrace::apply
