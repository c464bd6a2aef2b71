/// The one table that decides what a table does about an error. Pure. Not for: carrying it out (table_actor).
#pragma once

#include "absl/status/status.h"

namespace millrace::apply {

enum class Remediation {
    /// Transient: the same batch again, with backoff.
    kRetry,
    /// Too much at once: take over again and go on from the checkpoint with smaller batches.
    kSmallerBatch,
    /// Another writer has raised the epoch: take over again if the table is still ours, a bounded number of
    /// times.
    kTakeOverAgain,
    /// Somebody must act: show reason and remedy, let go of all memory, look again every half minute.
    kHold,
    /// The stream itself is broken (lost offsets, bad bytes): as kHold, but nothing is tried before somebody
    /// says so.
    kFail,
};

/// `status` is an error.
Remediation Decide(const absl::Status& status);

/// Reasons that the policy knows.
inline constexpr char kFencedReason[] = "FENCED";
inline constexpr char kOffsetGoneReason[] = "OFFSET_GONE";

}  // namespace millrace::apply
