/// What happened to the pipelines of this worker, kept until the control plane has taken it. Not for: state
/// (facts), logs; no row values.
#pragma once

#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace millrace::events {

enum class EventType {
    kSchemaChanged,
    kTableHeld,
    kTableRecovered,
    kTableSkipped,
    kCopyStarted,
    kCopyFinished,
    kPublisherTakeover,
    kTablesChanged,
    kTableResync,
    kDropPending,
    kColumnsDropped,
    kDeadLettersReplayed,
    kTableBackfill,
};

struct Event final {
    EventType type = EventType::kSchemaChanged;
    /// Empty for one that concerns the pipeline as a whole.
    std::string schema;
    std::string table;
    std::string before;
    std::string after;
    /// One sentence.
    std::string message;
    std::string position;
    /// Made by the log unless it is given: one that may be noticed twice has an id that both times is the
    /// same.
    std::string id;
};

struct LoggedEvent final {
    std::string pipeline;
    Event event;
    /// Microseconds since 1970-01-01 UTC.
    int64_t time_us = 0;
};

/// Keeps the last events of all pipelines of a worker; older ones make room. Thread-safe.
class EventLog final {
 public:
    /// `boot_id` makes ids differ from those of every other process.
    explicit EventLog(std::string boot_id, size_t most = 1000) : boot_id_(std::move(boot_id)), most_(most) {}

    void Add(const std::string& pipeline, Event event);
    /// At most `limit` of those from `cursor` on, oldest first; moves `cursor` behind them. A cursor of 0
    /// begins with the oldest kept.
    std::vector<LoggedEvent> Read(uint64_t& cursor, size_t limit) const;

 private:
    const std::string boot_id_;
    const size_t most_;
    mutable std::mutex mutex_;
    std::deque<LoggedEvent> events_;
    /// Number of the oldest kept.
    uint64_t first_ = 0;
};

/// One pipeline's way into a log; one without a log records nothing. A value.
class Recorder final {
 public:
    Recorder() = default;
    /// `log` outlives it.
    Recorder(EventLog& log, std::string pipeline) : log_(&log), pipeline_(std::move(pipeline)) {}

    void Record(Event event) const {
        if (log_ != nullptr) {
            log_->Add(pipeline_, std::move(event));
        }
    }

 private:
    EventLog* log_ = nullptr;
    std::string pipeline_;
};

}  // namespace millrace::events
