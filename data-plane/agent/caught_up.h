/// Decides whether every change up to a source position has been applied, from the publisher's durable
/// position and Kafka's offsets. Not for: waiting (the caller repeats the question), reading rows.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "data-plane/config/pipeline_config.h"

namespace millrace::agent {

/// Offsets by topic.
using Offsets = std::map<std::string, int64_t>;

/// Which table it is at the source, and what the source's stream says of it; 0 = unknown. See sdk::SourceTable.
struct SourceTableId final {
    uint64_t id = 0;
    uint64_t stream_entry = 0;
};
/// By topic.
using SourceTables = std::map<std::string, SourceTableId>;

/// What the publisher has made durable in Kafka.
struct DurableProgress final {
    uint64_t end_lsn = 0;
    /// The first copy is done and changes flow.
    bool streaming = false;
    /// A sentence for each table that the publisher goes on without: its changes are in no topic.
    std::vector<std::string> held;
    /// Those whose rows and changes are in their topics.
    SourceTables copied = {};
};

/// What Kafka knows of one pipeline. Each call may take seconds; Unavailable when no broker answers.
class PipelineProgress {
 public:
    virtual ~PipelineProgress() = default;
    /// nullopt: the publisher has never committed.
    virtual absl::StatusOr<std::optional<DurableProgress>> Durable() = 0;
    /// End of every table topic that exists now.
    virtual absl::StatusOr<Offsets> Ends() = 0;
    /// Next offset to apply, as committed after the destination's transaction; tables never applied are
    /// absent.
    virtual absl::StatusOr<Offsets> Applied(const Offsets& ends) = 0;
};

/// The real one.
std::unique_ptr<PipelineProgress> MakeKafkaProgress(const config::KafkaConfig& kafka,
                                                    const std::string& pipeline_id,
                                                    std::chrono::milliseconds timeout);

struct CaughtUpAnswer final {
    bool caught_up = false;
    /// One sentence each; empty when caught up.
    std::vector<std::string> waiting_for;
};

/// Remembers, for each position asked about, the topics' ends taken when the durable position was first seen
/// at or past it: taken anew at every question they would run away under load. Bounded; thread-safe.
class CaughtUp final {
 public:
    explicit CaughtUp(size_t capacity = 256) : capacity_(capacity) {}

    /// The pipeline's tables as the source has them now.
    using ListSource = std::function<absl::StatusOr<SourceTables>()>;

    /// `list_source` is asked once the publisher is past the position: a table that was made before it is waited for, too.
    /// InvalidArgument (POSITION_INVALID) for a text that is no position; errors of `progress` as they are.
    absl::StatusOr<CaughtUpAnswer> Check(const std::string& pipeline_uid, const std::string& position,
                                         PipelineProgress& progress, const ListSource& list_source);

 private:
    std::optional<Offsets> Remembered(const std::string& key);
    /// The ends that stand under `key` afterwards: those of whoever came first.
    void Forget(const std::string& key);
    Offsets Remember(const std::string& key, Offsets ends);

    const size_t capacity_;
    std::mutex mutex_;
    /// Oldest first.
    std::list<std::pair<std::string, Offsets>> ends_;
};

/// Reads what publish::PositionText wrote, and plain decimal; nullopt otherwise.
std::optional<uint64_t> ParsePosition(std::string_view text);

}  // namespace millrace::agent
