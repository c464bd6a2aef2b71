/// Reads table topics from given offsets; says which end was reached; remembers what was applied.
/// Not for: deciding which tables are ours (group_membership), what records mean (codec).
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "data-plane/bus/record.h"
#include "data-plane/config/pipeline_config.h"

namespace millrace::bus {

/// What Poll delivers for one topic.
struct TopicEvent final {
    enum class Kind {
        kRecord,
        /// Everything committed below `record.offset` has been delivered (transaction markers occupy offsets
        /// too).
        kEnd,
        /// `status` says what: OutOfRange (reason OFFSET_GONE: retention or a recreated topic passed our
        /// offset), NotFound (TOPIC_MISSING: deleted some 15 s ago), Unavailable (TOPIC_RETURNED: it was missing
        /// for a while and may be another one now), PermissionDenied, …. The
        /// topic has stopped: Remove it, and Add it again when the cause is gone.
        kError,
    };
    Kind kind = Kind::kRecord;
    std::string topic;
    Record record;
    absl::Status status;
};

/// Stands for the oldest record that a topic still holds.
inline constexpr int64_t kOldestOffset = -2;

/// One handle without group membership. Poll is called by one thread; the others by any.
class TableReader final {
 public:
    /// `applied_group`: under which CommitApplied stores offsets.
    static absl::StatusOr<std::unique_ptr<TableReader>> Create(const config::KafkaConfig& kafka,
                                                               const std::string& applied_group);
    ~TableReader();

    /// Starts delivering `topic` (partition 0) at `offset` or kOldestOffset; a topic that does not exist yet is
    /// waited for.
    absl::Status Add(const std::string& topic, int64_t offset);
    /// Nothing of `topic` is delivered by a Poll that begins after this returns.
    absl::Status Remove(const std::string& topic);
    absl::Status Pause(const std::string& topic);
    absl::Status Resume(const std::string& topic);

    /// Waits up to `timeout` for the first event, then takes what is there, at most `max_events`.
    std::vector<TopicEvent> Poll(std::chrono::milliseconds timeout, int max_events);

    /// Stores `offset` as applied (asynchronously; a later call wins). Only for lag and caught-up; never the
    /// truth.
    void CommitApplied(const std::string& topic, int64_t offset);

 private:
    struct Impl;
    explicit TableReader(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::bus
