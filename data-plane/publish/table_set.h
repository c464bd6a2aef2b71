/// The tables that one session publishes, and how far the copy of each is. Not for: copying them (copies), noticing that the
/// source has others by now (table_watch).
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "connectors/sdk/source.h"
#include "data-plane/config/pipeline_config.h"
#include "data-plane/events/event_log.h"
#include "data-plane/publish/publisher.h"
#include "data-plane/publish/stream_position.h"
#include "data-plane/publish/transaction_writer.h"

namespace millrace::publish {

/// Table topics whose records cannot be produced, and why.
using RefusedTopics = std::map<std::string, absl::Status>;

/// It has got a key, or lost it, since its last record: updates and deletes are published only of tables with one.
bool IsKeyedAnew(const sdk::SourceTable& table, const TableState& state);
/// Somebody took it out of the stream for a while, or parts of its changes.
bool IsLeftOut(const sdk::SourceTable& table, const TableState& state);

/// Whether rows of the table that stand at the destination may stay while they come again in the shape `now`: it has the key that
/// they have, and needs no type that only an empty table takes.
bool RowsStay(const sdk::Source& source, const TableState& state, const sdk::TableSchema& now);

/// One thread. All that it is made of outlives it.
class TableSet final {
 public:
    TableSet(const config::KafkaConfig& kafka, const config::PipelineConfig& pipeline, const WantedOverrides& wanted,
             RefusedTopics& refused);

    /// Asks the source which tables there are. FailedPrecondition, reason TBL_MISSING: none.
    absl::Status List(sdk::Source& source);
    /// To be called where they may have been put into the stream since.
    absl::Status ReadStreamEntries(sdk::Source& source);

    /// Small ones first.
    [[nodiscard]] const std::vector<sdk::SourceTable>& listed() const { return listed_; }
    [[nodiscard]] const WantedOverrides& wanted() const { return wanted_; }
    [[nodiscard]] RefusedTopics& refused() { return refused_; }
    /// As the control topic has it.
    [[nodiscard]] ControlState& control() { return control_; }
    [[nodiscard]] TableState& StateOf(const sdk::SourceTable& table);

    /// A resync of the whole pipeline is wanted that is not done.
    [[nodiscard]] bool ResyncWanted() const { return wanted_.Resync() > control_.position.resync_counter; }
    /// It has been copied, or is being, but is to be from its beginning.
    [[nodiscard]] bool WantedAnew(const sdk::SourceTable& table, const TableState& state) const;
    /// A backfill of it has begun and is to be gone on with.
    [[nodiscard]] bool GoesOn(const sdk::SourceTable& table, const TableState& state) const;
    [[nodiscard]] std::vector<const sdk::SourceTable*> ToCopy();

    /// Whether what stands of it at the destination is of the form in which it would be published now; to be asked before
    /// BeginCopy. See RowsStay.
    [[nodiscard]] bool Stands(const sdk::SourceTable& table, const TableState& state) const;
    /// What the verbs and the source want of its copy that begins now.
    void BeginCopy(const sdk::SourceTable& table, TableState& state) const;
    /// Nothing of the copy has been written. The others' stream is not to wait for whoever keeps the table from being read.
    void Postpone(const TableState& table, const absl::Status& why);
    /// Says of a table why it is not copied yet, although this session goes on trying; OK: nothing is in the way any more.
    void Delay(const TableState& table, const absl::Status& why);
    /// A later session is to try those again.
    [[nodiscard]] bool PostponedIsDue(std::chrono::steady_clock::time_point now) const {
        return !postponed_.empty() && now >= try_postponed_from_;
    }

    /// What was copied in an earlier generation, or held, counts for nothing.
    absl::Status ForgetAll(TransactionWriter& writer, const events::Recorder& recorder);
    /// Forgets the copies of tables that are not selected any more.
    absl::Status ForgetLeft(TransactionWriter& writer);
    /// Tables of refused topics are held, and the topics taken out of `refused` once that is durable.
    absl::Status HoldRefused(TransactionWriter& writer, const events::Recorder& recorder);
    /// Notes where copied tables came into the stream, for those that were copied by a version that did not know of it.
    absl::Status NoteStreamEntries(TransactionWriter& writer);

    void ShowOn(FactsBoard& board);

 private:
    [[nodiscard]] absl::Status WhyNotPublished(const TableState& state) const;

    const config::KafkaConfig& kafka_;
    const config::PipelineConfig& pipeline_;
    const WantedOverrides& wanted_;
    RefusedTopics& refused_;
    std::vector<sdk::SourceTable> listed_;
    ControlState control_;
    /// Tables that could not be copied yet, by topic, and why; until when they wait.
    std::map<std::string, absl::Status> postponed_;
    std::chrono::steady_clock::time_point try_postponed_from_{};
    std::map<std::string, absl::Status> delayed_;
};

}  // namespace millrace::publish
