/// One attempt at publishing: from connecting to the source until an error or a stop.
/// Not for: retrying (publisher).
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/metrics.h"
#include "data-plane/bus/producer.h"
#include "data-plane/publish/copies.h"
#include "data-plane/publish/publisher.h"
#include "data-plane/publish/stream_writer.h"
#include "data-plane/publish/table_set.h"
#include "data-plane/publish/transaction_writer.h"

namespace millrace::publish {

class Session final {
 public:
    struct Surroundings final {
        const WantedOverrides& wanted;
        const events::Recorder& recorder;
        /// How often, one session after the other, the copy of tables could not begin for transactions that ran.
        int& copies_put_off;
        /// The session before published too: no takeover.
        bool led_before = false;
    };

    /// Tables of `refused` are held, and taken out of it once that is durable.
    Session(const config::KafkaConfig& kafka, const config::PipelineConfig& pipeline,
            const SourceFactory& make_source, base::Metrics& metrics, FactsBoard& board,
            Surroundings surroundings, RefusedTopics& refused, std::stop_token stop);
    ~Session();

    /// OK when stopped, or when the tables to publish are others than it began with: begin anew. Aborted with
    /// reason SLOT_ACTIVE, COPY_ELSEWHERE or FENCED: another worker publishes.
    absl::Status Run();

    /// It held the publisher's seat at its end.
    [[nodiscard]] bool leads() const { return leads_; }
    /// The table topic whose record the error came from; empty when it was about something else.
    [[nodiscard]] std::string failed_topic() const { return writer_ ? writer_->failed_topic() : std::string(); }

 private:
    absl::Status Connect();
    absl::Status PrepareTopics();
    /// Makes the topics of tables that are to be copied, and refuses tables whose topic is gone.
    absl::Status PrepareTableTopics();
    absl::Status RefuseWithout(std::set<std::string> topics);
    [[nodiscard]] absl::Status CheckIdentity();
    [[nodiscard]] std::string ResyncCommand() const;
    absl::Status FirstCopy();
    absl::Status CheckCopyIsDue();
    absl::Status TakeOver();
    absl::Status StartWhenFree();
    absl::Status InitProducer();
    [[nodiscard]] std::unique_ptr<codec::EventCodec> MakeCodec() const;
    void MakeWriter();
    void Lead();
    absl::Status Stream();
    [[nodiscard]] bool MayReadRows() const;
    void ShowStreaming();
    absl::Status KeepAlive();
    absl::Status Housekeeping(int64_t events);
    absl::Status ReadControl();

    const config::KafkaConfig& kafka_;
    const config::PipelineConfig& pipeline_;
    const SourceFactory& make_source_;
    base::Metrics& metrics_;
    FactsBoard& board_;
    const Surroundings surroundings_;
    const std::stop_token stop_;

    const std::string control_topic_;
    const std::string schema_topic_;
    std::unique_ptr<sdk::Source> source_;
    sdk::SourceIdentity identity_;
    TableSet tables_;
    std::unique_ptr<bus::TransactionalProducer> producer_;
    std::unique_ptr<TransactionWriter> writer_;
    std::unique_ptr<Copies> copies_;

    std::optional<std::chrono::steady_clock::time_point> stop_seen_;
    std::chrono::steady_clock::time_point last_housekeeping_{};
    /// See kFarBehind.
    bool behind_ = false;
    std::chrono::steady_clock::time_point last_heartbeat_{};
    /// Of the wanted overrides when the session began.
    uint64_t wanted_version_ = 0;
    bool leads_ = false;
    int64_t events_before_ = 0;
};

}  // namespace millrace::publish
