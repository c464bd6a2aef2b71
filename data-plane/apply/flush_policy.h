/// Decides when the changes folded so far are applied: rows, bytes or age, whichever is first. Pure.
/// Not for: folding, timers.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "connectors/sdk/destination.h"
#include "data-plane/apply/clock.h"
#include "data-plane/config/pipeline_config.h"

namespace millrace::apply {

struct FlushLimits final {
    int64_t rows = 0;
    int64_t bytes = 0;
    /// Zero: adaptive; whatever is there is applied once nothing more is waiting. A slow destination makes
    /// larger batches by itself, because more is waiting when it comes back.
    std::chrono::milliseconds interval{0};
};

/// The pipeline's rules over the destination's defaults; limits are at least 1.
FlushLimits ResolveLimits(const config::FlushRules& rules, const sdk::FlushDefaults& defaults);

/// What a folder holds.
struct Held final {
    /// Kafka records that it came in; the least that a batch can be.
    int64_t records = 0;
    int64_t rows = 0;
    int64_t bytes = 0;
    /// When the first of it was folded.
    TimePoint since;
};

/// One table's. One thread.
class FlushPolicy final {
 public:
    explicit FlushPolicy(FlushLimits limits) : limits_(limits), rows_(limits.rows), bytes_(limits.bytes) {}

    /// A limit of size is met: apply before folding more.
    [[nodiscard]] bool Full(const Held& held) const;

    /// With nothing more waiting: when what is held is due (`now` or before: at once); nullopt when nothing
    /// is held. `pressure`: memory is short, so age does not matter.
    [[nodiscard]] std::optional<TimePoint> Due(const Held& held, TimePoint now, bool pressure) const;

    /// The destination could not take a batch: halves the limits, starting from the size of `refused`. False
    /// when it was a single row already.
    bool Shrink(const Held& refused);
    /// A batch was applied; after some of them the limits grow back.
    void Applied();

    [[nodiscard]] int64_t rows() const { return rows_; }
    [[nodiscard]] int64_t bytes() const { return bytes_; }

 private:
    FlushLimits limits_;
    int64_t rows_;
    int64_t bytes_;
    int applied_since_shrink_ = 0;
};

}  // namespace millrace::apply
