/// One pipeline's publisher: source log → Kafka, exactly once, with the position inside every Kafka
/// transaction; first copy of tables through the same door. Not for: typing, masking or applying rows.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/metrics.h"
#include "connectors/sdk/source.h"
#include "data-plane/config/pipeline_config.h"
#include "data-plane/events/event_log.h"

namespace millrace::publish {

enum class PublisherState { kStarting, kStandby, kCopying, kStreaming, kRetrying, kBlocked };

/// How far the reading of a table's rows in chunks is.
struct BackfillFacts final {
    enum class State { kNone, kQueued, kRunning, kPaused, kCancelled };
    State state = State::kNone;
    /// Rows stand at the destination meanwhile.
    bool resync = false;
    /// Of chosen rows only.
    bool chosen = false;
    int64_t rows = 0;
    int64_t bytes = 0;
    int64_t chunks = 0;
    /// In the last seconds.
    double rows_per_second = 0;
    /// Until its end, if it goes on as it does; nullopt: nobody can tell.
    std::optional<std::pair<std::chrono::seconds, std::chrono::seconds>> remaining = {};
};

/// Copy state of one table.
struct TableFacts final {
    std::string schema;
    std::string table;
    std::string topic;
    bool append_only = false;
    bool copied = false;
    int64_t rows_copied = 0;
    /// As the source believes; -1: it cannot say.
    int64_t rows_estimated = -1;
    /// OK, or why nothing is published of it until a resync.
    absl::Status held;
    BackfillFacts backfill = {};
};

/// A snapshot of what the publisher knows of itself.
struct PublisherFacts final {
    PublisherState state = PublisherState::kStarting;
    std::string durable_position;
    std::string source_position;
    int64_t retained_bytes = 0;
    int64_t events_total = 0;
    double events_per_second = 0;
    /// OK, or why it is retrying, blocked or standing by.
    absl::Status error;
    std::optional<std::chrono::system_clock::time_point> error_time;
    std::optional<std::chrono::system_clock::time_point> next_retry_time;
    std::vector<TableFacts> tables;
};

/// Thread-safe board that the publisher writes and the reporter reads.
class FactsBoard final {
 public:
    void Update(const std::function<void(PublisherFacts&)>& change);
    [[nodiscard]] PublisherFacts Read() const;

 private:
    mutable std::mutex mutex_;
    PublisherFacts facts_;
};

/// What the verbs want now of the pipeline and its tables. Thread-safe.
class WantedOverrides final {
 public:
    explicit WantedOverrides(const config::PipelineConfig& pipeline)
        : overrides_(pipeline.overrides), resync_counter_(pipeline.resync_counter) {}

    void Set(const config::PipelineConfig& pipeline);
    /// The resync that is wanted of the whole pipeline; 0 when none ever was.
    [[nodiscard]] int64_t Resync() const;
    /// All that is wanted of single tables.
    [[nodiscard]] std::vector<config::TableOverride> All() const;
    /// What is wanted of a table; as good as nothing when nothing ever was.
    [[nodiscard]] config::TableOverride Of(const std::string& schema, const std::string& table) const;
    /// The resync that is wanted of a table; 0 when none ever was.
    [[nodiscard]] int64_t ResyncOf(const std::string& schema, const std::string& table) const {
        return Of(schema, table).resync_counter;
    }
    /// Rises with every Set.
    [[nodiscard]] uint64_t version() const { return version_; }

 private:
    mutable std::mutex mutex_;
    std::vector<config::TableOverride> overrides_;
    int64_t resync_counter_ = 0;
    std::atomic<uint64_t> version_{0};
};

using SourceFactory = std::function<absl::StatusOr<std::unique_ptr<sdk::Source>>()>;

class Publisher final {
 public:
    /// `metrics` outlives the publisher.
    Publisher(config::KafkaConfig kafka, config::PipelineConfig pipeline, SourceFactory make_source,
              base::Metrics& metrics, events::Recorder recorder = {});

    /// Takes resyncs over that are wanted now. Any thread.
    void Update(const config::PipelineConfig& pipeline) { wanted_.Set(pipeline); }

    /// Publishes until stopped; retries every error by itself (operator errors slowly, so that a remedy takes
    /// effect without a restart). Stopping commits what is whole and leaves the rest to the next start.
    /// Blocks; own thread.
    void Run(const std::stop_token& stop);

    [[nodiscard]] PublisherFacts Facts() const { return board_.Read(); }

 private:
    void Show(PublisherState state, const absl::Status& error, std::chrono::milliseconds delay);

    config::KafkaConfig kafka_;
    config::PipelineConfig pipeline_;
    SourceFactory make_source_;
    base::Metrics& metrics_;
    const events::Recorder recorder_;
    WantedOverrides wanted_;
    FactsBoard board_;
};

}  // namespace millrace::publish
