/// One table's way from records to committed batches: takes the table over, folds, applies, retries, holds.
/// Not for: polling Kafka and assignment (consumer), deciding about errors (error_policy) or flushes
/// (flush_policy).
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/backoff.h"
#include "connectors/sdk/destination.h"
#include "data-plane/apply/apply_metrics.h"
#include "data-plane/apply/error_policy.h"
#include "data-plane/apply/flush_policy.h"
#include "data-plane/apply/fold.h"
#include "data-plane/apply/inbox.h"
#include "data-plane/apply/table_facts.h"
#include "data-plane/apply/worker_pool.h"
#include "data-plane/codec/event_codec.h"
#include "data-plane/events/event_log.h"

namespace millrace::apply {

class TableActor;

/// What an actor asks of the consumer; called from steps.
class TablePort {
 public:
    virtual ~TablePort() = default;
    /// Open the actor's inbox for `session` and deliver its topic from `offset` (or bus::kOldestOffset); instead
    /// of what was delivered so far.
    virtual void Subscribe(TableActor& actor, int64_t offset, uint64_t session) = 0;
    virtual void Unsubscribe(TableActor& actor) = 0;
    /// Everything below `offset` is in the destination.
    virtual void CommitApplied(const std::string& topic, int64_t offset) = 0;
    /// Memory is short: apply what you hold, however young.
    [[nodiscard]] virtual bool UnderPressure() const = 0;
};

struct TableIdentity final {
    /// Differs for every actor of a consumer.
    uint64_t id = 0;
    sdk::StreamId stream;
    /// Asked once a step until it answers; may block. NotFound is retried.
    std::function<absl::StatusOr<sdk::TableTarget>()> target;
    sdk::RefusedValues refused = sdk::RefusedValues::kDeadLetter;
    /// Columns that the source dropped pend until their drop is confirmed; false: they stay.
    bool drop_columns = false;
    /// Names as far as they are known before the table is taken over.
    std::string schema = {};
    std::string table = {};
};

/// What verbs ask of a table.
struct TableOrders final {
    bool paused = false;
    /// Rises with every resync; what a table is held at is passed over until the copy that answers it.
    int64_t resync_counter = 0;
    /// Rises with every resume: try again now.
    int64_t resume_counter = 0;
    /// Offsets [first, next) are passed over when the table is taken over exactly at `skip_first`.
    int64_t skip_first = 0;
    int64_t skip_next = 0;
    /// Rises with every confirmation that `drop_columns` are dropped at the destination.
    int64_t drop_counter = 0;
    std::vector<std::string> drop_columns = {};
    /// Rises with every replay of dead letters.
    int64_t replay_counter = 0;
};

/// Steps run one at a time (WorkerPool); everything else from any thread, followed by a wake-up of the job.
class TableActor final : public WorkerPool::Job {
 public:
    /// `schemas` may block. All references outlive the actor.
    TableActor(TableIdentity identity, FlushLimits limits, sdk::Destination& destination,
               std::unique_ptr<codec::EventCodec> codec, codec::SchemaLookup schemas, TablePort& port,
               ApplyMetrics metrics, const Clock& clock, std::atomic<int64_t>& total_bytes,
               events::Recorder recorder = {});

    std::optional<TimePoint> Step() override;

    [[nodiscard]] uint64_t id() const { return identity_.id; }
    [[nodiscard]] const std::string& topic() const { return identity_.stream.topic; }
    [[nodiscard]] Inbox& inbox() { return inbox_; }

    /// No further batch begins; the one in flight ends. For good.
    void RequestStop() { stop_requested_ = true; }
    /// Pauses together with every other table of the pipeline.
    void RequestPause(bool pause) { pause_requested_ = pause; }
    /// A counter that has risen since the last call is acted upon; the first call only says where they stand.
    void Order(const TableOrders& orders);
    /// Tries a retrying or held table now.
    void Kick() { kicked_ = true; }

    /// An error stands, or what the checkpoint stands behind was not found yet: wake the job when the end is
    /// reached.
    [[nodiscard]] bool awaits_end() const { return failing_ || proving_; }

    [[nodiscard]] TableFacts Facts() const;
    /// Publishes the lag metric.
    void ReportLag();

 private:
    /// Whose error it was: an apply error stands until a batch has been applied.
    enum class Stage { kTakeOver, kRead, kApply };

    std::optional<TimePoint> Advance(TimePoint now);
    std::optional<TimePoint> TakeOver(TimePoint now);
    absl::Status OpenWriter();
    std::optional<TimePoint> Drain(TimePoint now);
    /// Folds until nothing waits (true), or the batch must be sealed or `stopped` asks for an end (false).
    absl::StatusOr<bool> FoldWaiting(TimePoint now, const std::stop_token& stopped);
    /// Whether the record is not to be folded: skipped by order, or of no consequence before the truncate
    /// that is looked for.
    bool PassesOver(const bus::Record& record);
    /// What keeps the cells of `decoded_` alive, decoded from `record`.
    [[nodiscard]] std::shared_ptr<const void> OwnerOf(const bus::Record& record) const;
    /// Folds every change of `record`; false when what is folded must be sealed before it. An error leaves the folder as it
    /// was, or sets half_folded_.
    absl::StatusOr<bool> FoldRecord(const bus::Record& record);
    /// The record's last change, into `decoded_`.
    absl::Status DecodeLast(const bus::Record& record);
    void Drop(bus::Record& record);
    void Subscribe();
    /// OutOfRange, reason OFFSET_GONE, when `record` is not the one that the checkpoint stands behind.
    absl::Status Prove(const bus::Record& record);
    [[nodiscard]] absl::Status MadeAnew() const;
    [[nodiscard]] bool Paused() const { return pause_requested_ || table_paused_; }
    void TakeOrders();
    void BeginSkip(int64_t offset);
    std::optional<TimePoint> SeekTruncate(bool patiently, TimePoint now);
    /// The end was reached without the truncate that is looked for.
    std::optional<TimePoint> EndSeek(TimePoint now);
    /// Drops what was confirmed.
    std::optional<TimePoint> DropConfirmed(TimePoint now);
    void NoteDropped(const std::vector<std::string>& columns, bool news);
    void NoteHeldRange(const absl::Status& status, Stage stage);
    void RecordEvent(events::EventType type, std::string message, std::string position = {},
                     std::string id = {});
    void RecordEvent(events::Event event);
    std::optional<TimePoint> ReplayLetters(TimePoint now);
    void ShowReplay(const absl::StatusOr<sdk::ReplayResult>& result, int64_t standing_before);
    std::optional<TimePoint> SealAndApply(TimePoint now);
    std::optional<TimePoint> ApplySealed(TimePoint now);
    /// Writes the sealed batch; the next one is folded beside it on a thread that ends before this returns.
    absl::StatusOr<sdk::ApplyResult> WriteSealed();
    void FoldAhead(const std::stop_token& written);
    void OnApplied(const sdk::ApplyResult& result, TimePoint began);
    std::optional<TimePoint> OnError(const absl::Status& status, Stage stage, TimePoint now);
    std::optional<TimePoint> WaitBeforeRetry(Remediation remediation, TimePoint now);
    void ShowError(const absl::Status& status, TableState state, std::optional<TimePoint> retry,
                   TimePoint now);
    void Recovered();
    /// Lets go of all memory and of the subscription; the way back is TakeOver.
    void Release();
    void Enter(TableState state);
    absl::StatusOr<sdk::SchemaPtr> LookUp(uint64_t schema_id);
    [[nodiscard]] Held HeldNow() const;
    void NoteOldestTaken();
    void NoteOldestFolded();
    [[nodiscard]] double LagSeconds() const;

    TableIdentity identity_;
    sdk::Destination& destination_;
    std::unique_ptr<codec::EventCodec> codec_;
    codec::SchemaLookup schemas_;
    codec::SchemaLookup look_up_;
    TablePort& port_;
    const Clock& clock_;

    std::atomic<bool> stop_requested_{false};
    std::atomic<bool> pause_requested_{false};
    std::atomic<bool> kicked_{false};
    std::atomic<bool> failing_{false};
    std::atomic<bool> table_paused_{false};
    std::atomic<bool> orders_changed_{false};
    const events::Recorder recorder_;
    Inbox inbox_;

    // Of the step alone.
    FlushPolicy policy_;
    BatchFolder folder_;
    std::unique_ptr<sdk::TableWriter> writer_;
    codec::DecodedEvent decoded_;
    sdk::SchemaPtr last_schema_;
    std::vector<bus::Record> work_;
    size_t work_at_ = 0;
    int64_t folded_cost_ = 0;
    int64_t sealed_cost_ = 0;
    int64_t folded_records_ = 0;
    int64_t sealed_records_ = 0;
    /// The folder holds only some of the changes of one record, beside those of others: it must not be sealed.
    bool half_folded_ = false;
    /// The last record that was broken in its middle: a batch ends before it.
    int64_t broken_at_ = -1;
    Held sealed_held_;
    TimePoint folding_since_;
    std::optional<sdk::Batch> sealed_;
    bool sealed_only_copy_ = false;
    bool only_copy_so_far_ = false;
    bool taken_over_ = false;
    bool waiting_to_retry_ = false;
    std::optional<TimePoint> retry_at_;
    std::optional<Stage> failed_stage_;
    int fenced_ = 0;
    int64_t holes_reported_ = 0;
    int64_t checkpoint_offset_ = 0;
    /// Records below it are passed over.
    int64_t skip_below_ = 0;
    /// Nothing but a truncate is folded: what it empties need not be applied. `patient`: also beyond the
    /// topic's present end.
    bool seeking_ = false;
    bool seek_patiently_ = false;
    /// From the oldest record of the topic, because the checkpoint's offset means nothing in it (any more).
    bool seek_from_oldest_ = false;
    /// The truncate that was looked for from the oldest record on is folded: the checkpoint goes back with it.
    bool rewind_ = false;
    /// Position and generation that the checkpoint stands at, to be found in the record before its offset.
    sdk::Position checkpoint_position_;
    uint32_t checkpoint_generation_ = 0;
    std::atomic<bool> proving_{false};
    /// Since when the topic has been seen to end before that record.
    std::optional<TimePoint> short_since_;
    /// That record has left Kafka.
    bool unprovable_ = false;
    bool ordered_ = false;
    /// The dead letters are to be replayed, as soon as the table works.
    bool replay_due_ = false;
    /// Schema of what the checkpoint stands behind; 0 without one.
    uint64_t checkpoint_schema_ = 0;
    TableOrders orders_;
    std::vector<std::string> confirmed_drops_;
    absl::Status held_error_;
    base::Backoff backoff_;

    mutable std::mutex mutex_;
    TableFacts facts_;
    std::optional<TableOrders> wanted_orders_;
    /// Commit time of the oldest change folded or sealed, and of the oldest that was let go unapplied; 0
    /// without one.
    int64_t oldest_us_ = 0;
    int64_t stalled_us_ = 0;
    ApplyMetrics metrics_;
};

}  // namespace millrace::apply
