/// How much memory a consumer may fill with records. Not for: when batches are applied (flush_policy).
#pragma once

#include "base/byte_count.h"

namespace millrace::apply {

/// Memory for records fetched and not applied; reading stops above it.
struct ConsumerLimits final {
    /// Records of one table that wait to be folded.
    base::ByteCount table = base::ByteCount::MiB(16);
    /// All tables, folded and applying ones included; above it tables also apply before their time.
    base::ByteCount total = base::ByteCount::MiB(128);
    /// Records that come in parts, of all tables, from their first part until they are applied.
    base::ByteCount split = base::ByteCount::MiB(256);
};

}  // namespace millrace::apply
