/// What is known of one table that this worker applies, for status. Not for: deciding anything; no row
/// values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace millrace::apply {

enum class TableState {
    /// Assigned to us; not taken over yet.
    kWaiting,
    kTakingOver,
    /// Reading and applying.
    kLive,
    /// A transient error; tried again at `next_retry_time_us`.
    kRetrying,
    /// Somebody must act, see `remedy`; tried again at `next_retry_time_us`, or only when kicked if that is
    /// 0.
    kHeld,
    kPaused,
    /// No longer ours.
    kStopped,
};

/// "waiting", "taking_over", "live", "retrying", "held", "paused", "stopped".
std::string_view NameOf(TableState state);

/// Times are microseconds since 1970-01-01 UTC, 0 = never.
struct TableFacts final {
    std::string topic;
    /// Empty while unknown (a topic whose name is a hash, before its schema was read).
    std::string schema;
    std::string table;
    TableState state = TableState::kWaiting;
    bool append_only = false;

    /// Since this worker took the table over.
    int64_t rows_applied = 0;
    int64_t batches = 0;
    /// Values that stand in the destination's dead letters.
    int64_t dead_letters = 0;
    /// Columns that the source dropped and whose drop awaits confirmation.
    std::vector<std::string> pending_drops;
    /// The last replay of them that was carried out, what it applied and what stayed.
    int64_t replay_counter = 0;
    int64_t replayed_letters = 0;
    int64_t refused_letters = 0;

    /// Fetched and not applied yet.
    int64_t records_waiting = 0;
    int64_t bytes_waiting = 0;
    /// Age of the oldest change known not to be applied; 0 without a backlog.
    double lag_seconds = 0;
    /// Of the last change applied.
    int64_t last_commit_time_us = 0;
    /// When it was applied.
    int64_t last_applied_time_us = 0;

    /// Empty without an error.
    std::string error;
    std::string reason;
    std::string remedy;
    /// Failures in a row.
    int attempts = 0;
    /// The records that it is held at, Kafka offsets [first, next); next is 0 where none are.
    int64_t held_first_offset = 0;
    int64_t held_next_offset = 0;
    int64_t next_retry_time_us = 0;
};

}  // namespace millrace::apply
