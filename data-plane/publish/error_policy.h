/// The one table that decides what the publisher does about an error that ended its session. Pure. Not for: errors of
/// applying (apply/error_policy), carrying it out (publisher).
#pragma once

#include "absl/status/status.h"

namespace millrace::publish {

enum class Remediation {
    /// Another worker publishes: stand by.
    kStandBy,
    /// Transient: again, with backoff.
    kRetry,
    /// Records of one table cannot be produced: hold that table and go on without it, at once.
    kHoldTable,
    /// Somebody must act: show reason and remedy, look again slowly.
    kBlock,
};

/// `status` is an error; `of_table`: it came from a record of one table.
Remediation Decide(const absl::Status& status, bool of_table);

/// FailedPrecondition: the source's log ends before what is durable already.
inline constexpr char kSourceBehindReason[] = "SOURCE_BEHIND";
/// A table's topic was deleted, or is another than the one that was written to.
inline constexpr char kTopicMissingReason[] = "TOPIC_MISSING";
inline constexpr char kTopicRecreatedReason[] = "TOPIC_RECREATED";

}  // namespace millrace::publish
