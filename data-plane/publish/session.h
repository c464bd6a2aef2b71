/// One attempt at publishing: from connecting to the source until an error or a stop.
/// Not for: retrying (publisher).
#pragma once

#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/metrics.h"
#include "data-plane/bus/producer.h"
#include "data-plane/publish/publisher.h"
#include "data-plane/publish/stream_position.h"
#include "data-plane/publish/stream_writer.h"
#include "data-plane/publish/transaction_writer.h"

namespace millrace::publish {

/// Table topics whose records cannot be produced, and why.
using RefusedTopics = std::map<std::string, absl::Status>;

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
    absl::Status ReadStreamEntries();
    absl::Status PrepareTopics();
    /// Makes the topics of tables that are to be copied, and refuses tables whose topic is gone.
    absl::Status PrepareTableTopics();
    [[nodiscard]] absl::Status CheckIdentity();
    /// A resync of the whole pipeline is wanted that is not done.
    [[nodiscard]] bool ResyncWanted() const;
    [[nodiscard]] std::string ResyncCommand() const;
    absl::Status FirstCopy();
    absl::Status CheckCopyIsDue();
    absl::Status TakeOver();
    absl::Status StartWhenFree();
    absl::Status InitProducer();
    [[nodiscard]] std::unique_ptr<codec::EventCodec> MakeCodec() const;
    void MakeWriter();
    absl::Status CopyNewTables();
    absl::Status HoldRefusedTables();
    [[nodiscard]] std::vector<const sdk::SourceTable*> TablesToCopy();
    absl::Status ForgetLeftTables();
    /// Whether a new session would publish other tables, or copy one that this one has not.
    absl::StatusOr<bool> TablesChanged();
    /// Copies anew what was rewritten at the source although no change of a row has told of it. Whether there
    /// is any.
    absl::StatusOr<bool> LeaveRewritten(const std::vector<sdk::SourceTable>& tables);
    void RecordTableListChange(const std::vector<sdk::SourceTable>& now);
    void Lead();
    absl::Status CopyAll(const std::vector<const sdk::SourceTable*>& tables, uint64_t at);
    /// The table's copy, which could not begin, is tried again by a later session.
    void Postpone(const TableState& table, const absl::Status& why);
    absl::Status Stream();
    /// Nothing more of the table is published until it has been copied anew, by the next session.
    absl::Status LeaveToCopy(const WantedCopy& wanted);
    void RecordCopyAnew(const TableState& table, const std::string& reason, const sdk::Position& position);
    absl::Status KeepAlive();
    absl::Status Housekeeping(int64_t events);
    absl::Status ReadControl();
    void ShowTables();
    [[nodiscard]] absl::Status WhyNotPublished(const TableState& state) const;
    [[nodiscard]] TableState& StateOf(const sdk::SourceTable& table);

    const config::KafkaConfig& kafka_;
    const config::PipelineConfig& pipeline_;
    const SourceFactory& make_source_;
    base::Metrics& metrics_;
    FactsBoard& board_;
    const Surroundings surroundings_;
    RefusedTopics& refused_;
    const std::stop_token stop_;

    const std::string control_topic_;
    const std::string schema_topic_;
    std::unique_ptr<sdk::Source> source_;
    sdk::SourceIdentity identity_;
    std::vector<sdk::SourceTable> tables_;
    ControlState control_;
    std::unique_ptr<bus::TransactionalProducer> producer_;
    std::unique_ptr<TransactionWriter> writer_;

    std::optional<std::chrono::steady_clock::time_point> stop_seen_;
    std::chrono::steady_clock::time_point last_housekeeping_{};
    std::chrono::steady_clock::time_point last_heartbeat_{};
    std::chrono::steady_clock::time_point last_listing_{};
    std::chrono::steady_clock::duration listing_took_{};
    /// Storage of tables, by topic, of which it is known that their rows need no copy.
    std::map<std::string, std::string> harmless_storage_;
    /// Tables that could not be copied yet, by topic, and why; until when they wait.
    std::map<std::string, absl::Status> postponed_;
    std::chrono::steady_clock::time_point try_postponed_from_{};
    uint64_t wanted_version_ = 0;
    bool leads_ = false;
    int64_t events_before_ = 0;
};

}  // namespace millrace::publish
