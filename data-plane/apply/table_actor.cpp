#include "data-plane/apply/table_actor.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "base/defect.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/status.h"
#include "base/text.h"
#include "data-plane/codec/change_pack.h"
#include "data-plane/codec/record_parts.h"

namespace millrace::apply {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kFirstRetry{100};
constexpr milliseconds kLongestRetry{15'000};
constexpr seconds kHeldRetry{30};
/// Two workers that both believe in their assignment must not take the table from each other as fast as they
/// can.
constexpr milliseconds kFencedRetry{1'000};
constexpr int kFencedLimit = 5;

/// Below this a batch is written sooner than a thread is begun that folds the next one.
constexpr size_t kFoldAheadRows = 100;
constexpr milliseconds kFoldAheadPause{2};

constexpr seconds kShortTopicPatience{10};

constexpr char kResyncRemedy[] = "resync the table: records that were not applied have left Kafka";
constexpr char kFencedRemedy[] =
    "find the other worker that writes this table outside the pipeline's consumer group";

}  // namespace

TableActor::TableActor(TableIdentity identity, FlushLimits limits, sdk::Destination& destination,
                       std::unique_ptr<codec::EventCodec> codec, codec::SchemaLookup schemas, TablePort& port,
                       ApplyMetrics metrics, const Clock& clock, std::atomic<int64_t>& total_bytes,
                       events::Recorder recorder)
    : identity_(std::move(identity)),
      destination_(destination),
      codec_(std::move(codec)),
      schemas_(std::move(schemas)),
      look_up_([this](uint64_t id) { return LookUp(id); }),
      port_(port),
      clock_(clock),
      recorder_(std::move(recorder)),
      inbox_(total_bytes),
      policy_(limits),
      backoff_(kFirstRetry, kLongestRetry),
      metrics_(std::move(metrics)) {
    facts_.topic = identity_.stream.topic;
    facts_.schema = identity_.schema;
    facts_.table = identity_.table;
}

std::optional<TimePoint> TableActor::Step() {
    const TimePoint now = clock_.Now();
    TakeOrders();
    const bool kicked = kicked_.exchange(false);
    if (stop_requested_) {
        Release();
        Enter(TableState::kStopped);
        return std::nullopt;
    }
    if (Paused()) {
        if (taken_over_) {
            Release();
        }
        Recovered();
        waiting_to_retry_ = false;
        Enter(TableState::kPaused);
        return std::nullopt;
    }
    if (waiting_to_retry_) {
        if (seek_patiently_ && !seeking_) {
            waiting_to_retry_ = false;
            return SeekTruncate(true, now);
        }
        if (!kicked && (!retry_at_ || now < *retry_at_)) {
            if (taken_over_ && port_.UnderPressure()) {
                // Memory that waits must not stop the tables that work; the way back starts at the
                // checkpoint.
                Release();
            }
            return retry_at_;
        }
        waiting_to_retry_ = false;
    }
    return Advance(now);
}

std::optional<TimePoint> TableActor::Advance(TimePoint now) {
    if (absl::Status status = inbox_.TakeError(); !status.ok()) {
        const bool proof_gone = proving_ && base::ReasonOf(status) == kOffsetGoneReason;
        // What was read is given up: the way back starts at the checkpoint.
        Release();
        if (proof_gone) {
            // Retention may have come exactly so far, and the next record may still be there.
            unprovable_ = true;
            return now;
        }
        return OnError(status, Stage::kRead, now);
    }
    if (!taken_over_) {
        return TakeOver(now);
    }
    if (!sealed_ && !confirmed_drops_.empty()) {
        return DropConfirmed(now);
    }
    if (replay_due_ && !sealed_ && !seeking_ && !proving_) {
        return ReplayLetters(now);
    }
    return sealed_ ? ApplySealed(now) : Drain(now);
}

absl::Status TableActor::OpenWriter() {
    if (writer_) {
        return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const sdk::TableTarget target, identity_.target());
    {
        const std::lock_guard lock(mutex_);
        facts_.schema = target.schema;
        facts_.table = target.table;
        metrics_.NameTable(target.DisplayName());
    }
    ASSIGN_OR_RETURN(writer_, destination_.OpenTable(target, identity_.stream));
    return absl::OkStatus();
}

std::optional<TimePoint> TableActor::TakeOver(TimePoint now) {
    if (!failed_stage_) {
        Enter(TableState::kTakingOver);
    }
    if (absl::Status status = OpenWriter(); !status.ok()) {
        return OnError(status, Stage::kTakeOver, now);
    }
    MILLRACE_FAILPOINT_QUIET("apply.before_take_over");
    absl::StatusOr<sdk::Checkpoint> checkpoint = writer_->TakeOver();
    MILLRACE_FAILPOINT_QUIET("apply.after_take_over");
    if (!checkpoint.ok()) {
        return OnError(checkpoint.status(), Stage::kTakeOver, now);
    }
    if (stop_requested_ || Paused()) {
        return now;
    }
    base::LogInfo("table taken over",
                  {{"topic", topic()}, {"offset", checkpoint->next_offset}, {"epoch", checkpoint->epoch}});
    taken_over_ = true;
    {
        const std::lock_guard lock(mutex_);
        facts_.dead_letters = checkpoint->dead_letters;
    }
    NoteDropped(checkpoint->dropped_columns, false);
    checkpoint_offset_ = checkpoint->next_offset;
    checkpoint_position_ = checkpoint->last;
    checkpoint_generation_ = checkpoint->generation;
    checkpoint_schema_ = checkpoint->schema_id;
    BeginSkip(checkpoint->next_offset);
    folder_.Reset(checkpoint->generation, checkpoint->next_offset == 0);
    only_copy_so_far_ = checkpoint->next_offset == 0;
    if (failed_stage_ == Stage::kTakeOver) {
        Recovered();
    }
    if (!failed_stage_) {
        Enter(TableState::kLive);
    }
    Subscribe();
    MILLRACE_FAILPOINT_QUIET("apply.after_subscribe");
    return std::nullopt;
}

std::optional<TimePoint> TableActor::Drain(TimePoint now) {
    const absl::StatusOr<bool> drained = half_folded_ ? absl::StatusOr<bool>(false) : FoldWaiting(now, {});
    if (half_folded_) {
        // Read again from the checkpoint, and applied up to the record that is broken in its middle.
        Release();
        return now;
    }
    if (!drained.ok()) {
        return OnError(drained.status(), Stage::kRead, now);
    }
    if (!*drained) {
        return SealAndApply(now);
    }
    if (folder_.empty()) {
        if (seeking_ && inbox_.at_end() && !seek_patiently_) {
            return EndSeek(now);
        }
        if (proving_ && inbox_.end_reached() >= checkpoint_offset_) {
            // What stood before the checkpoint's offset is not there.
            return OnError(MadeAnew(), Stage::kRead, now);
        }
        if (proving_ && inbox_.end_reached() == checkpoint_offset_ - 1) {
            // Nor is it where the topic ends right before it, unless a broker that has just begun does not show all yet.
            short_since_ = short_since_.value_or(now);
            return now >= *short_since_ + kShortTopicPatience ? OnError(MadeAnew(), Stage::kRead, now) : *short_since_ + kShortTopicPatience;
        }
        if (!seeking_ && !proving_ && failed_stage_ && inbox_.at_end()) {
            Recovered();
            Enter(TableState::kLive);
        }
        // It waited for the proof, and nothing else may come that would wake the table.
        return replay_due_ && !seeking_ && !proving_ ? std::optional(now) : std::nullopt;
    }
    const std::optional<TimePoint> due = policy_.Due(HeldNow(), now, port_.UnderPressure());
    return *due <= now ? SealAndApply(now) : due;
}

absl::StatusOr<bool> TableActor::FoldWaiting(TimePoint now, const std::stop_token& stopped) {
    while (!stopped.stop_requested()) {
        if (!folder_.empty() && policy_.Full(HeldNow())) {
            return false;
        }
        if (work_at_ == work_.size()) {
            work_.clear();
            work_at_ = 0;
            if (!inbox_.Take(work_)) {
                return true;
            }
            NoteOldestTaken();
        }
        if (work_at_ + 1 < work_.size() && MILLRACE_DEFECT("swap-records", 20)) {
            std::swap(work_[work_at_], work_[work_at_ + 1]);
            std::swap(work_[work_at_].offset, work_[work_at_ + 1].offset);
        }
        MILLRACE_FAILPOINT_QUIET("apply.before_fold");
        bus::Record& record = work_[work_at_];
        if (proving_) {
            RETURN_IF_ERROR(Prove(record));
            Drop(record);
            continue;
        }
        if (PassesOver(record)) {
            Drop(record);
            continue;
        }
        const bool first = folder_.empty();
        if (!first && record.offset == broken_at_) {
            return false;
        }
        const absl::StatusOr<bool> folded = FoldRecord(record);
        if (!folded.ok()) {
            if (!first) {
                // What stands before the bad record is applied first.
                return false;
            }
            return base::Annotate(folded.status(), base::Concat(topic(), " at offset ", record.offset));
        }
        if (!*folded) {
            return false;
        }
        if (first) {
            folding_since_ = now;
            if (!sealed_) {
                NoteOldestFolded();
            }
        }
        folded_cost_ += Inbox::CostOf(record);
        ++folded_records_;
        record.owner.reset();
        ++work_at_;
    }
    return false;
}

absl::StatusOr<bool> TableActor::FoldRecord(const bus::Record& record) {
    if (const std::string_view part = record.Header(codec::kPartHeader); !part.empty()) {
        return codec::LoosePart(part);
    }
    const bool first = folder_.empty();
    codec::PackReader changes(record.value);
    std::string_view change;
    bool begun = false;
    absl::Status status;
    while (status.ok() && changes.Next(change)) {
        status = codec_->Decode(change, look_up_, decoded_);
        if (status.ok() && !begun && folder_.MustFlush(decoded_.event)) {
            return false;
        }
        if (status.ok()) {
            // With the last change, and not before, the record's offset has been passed.
            status = folder_.Add(decoded_.event, {record.offset, static_cast<int64_t>(change.size()), OwnerOf(record)});
        }
        begun = begun || status.ok();
    }
    status.Update(changes.status());
    if (status.ok()) {
        return true;
    }
    if (begun) {
        // No checkpoint stands between the changes of one record, and what is folded of them cannot be taken back.
        if (first) {
            folder_.Reset(folder_.generation());
        } else {
            half_folded_ = true;
            broken_at_ = record.offset;
        }
    }
    return status;
}

std::shared_ptr<const void> TableActor::OwnerOf(const bus::Record& record) const {
    if (decoded_.texts == nullptr) {
        return record.owner;
    }
    // The record is kept too: joined ones count against their budget until they are applied.
    return std::make_shared<std::pair<std::shared_ptr<const void>, std::shared_ptr<const std::string>>>(
        record.owner, decoded_.texts);
}

absl::Status TableActor::DecodeLast(const bus::Record& record) {
    if (const std::string_view part = record.Header(codec::kPartHeader); !part.empty()) {
        return codec::LoosePart(part);
    }
    codec::PackReader changes(record.value);
    std::string_view change;
    while (changes.Next(change) && !changes.done()) {
    }
    RETURN_IF_ERROR(changes.status());
    return codec_->Decode(change, look_up_, decoded_);
}

absl::StatusOr<sdk::SchemaPtr> TableActor::LookUp(uint64_t schema_id) {
    if (last_schema_ && last_schema_->id == schema_id) {
        return last_schema_;
    }
    ASSIGN_OR_RETURN(last_schema_, schemas_(schema_id));
    const std::lock_guard lock(mutex_);
    facts_.append_only = last_schema_->append_only;
    return last_schema_;
}

std::optional<TimePoint> TableActor::SealAndApply(TimePoint now) {
    MILLRACE_FAILPOINT_QUIET("apply.before_seal");
    sealed_held_ = HeldNow();
    sealed_only_copy_ = folder_.only_copy() && (only_copy_so_far_ || folder_.truncated());
    sealed_ = folder_.Seal(sealed_only_copy_);
    sealed_->refused = identity_.refused;
    sealed_->rewinds = std::exchange(rewind_, false);
    sealed_cost_ = std::exchange(folded_cost_, 0);
    sealed_records_ = std::exchange(folded_records_, 0);
    return ApplySealed(now);
}

std::optional<TimePoint> TableActor::ApplySealed(TimePoint now) {
    const TimePoint began = clock_.Now();
    MILLRACE_FAILPOINT_QUIET("apply.before_apply");
    const absl::StatusOr<sdk::ApplyResult> result = WriteSealed();
    MILLRACE_FAILPOINT_QUIET("apply.after_apply");
    if (!result.ok()) {
        if (MILLRACE_DEFECT("lose-failed-batch", 1)) {
            sealed_.reset();
        }
        return OnError(result.status(), Stage::kApply, now);
    }
    OnApplied(*result, began);
    const bool more = !folder_.empty() || work_at_ < work_.size() || inbox_.untaken_bytes() > 0;
    return more ? std::optional(now) : std::nullopt;
}

absl::StatusOr<sdk::ApplyResult> TableActor::WriteSealed() {
    if (sealed_->rows.size() < kFoldAheadRows) {
        return writer_->Apply(*sealed_);
    }
    // Joined before the result is looked at: whatever it is, the step goes on alone.
    const std::jthread ahead([this](const std::stop_token& written) { FoldAhead(written); });
    return writer_->Apply(*sealed_);
}

void TableActor::FoldAhead(const std::stop_token& written) {
    // What is looked for is looked for by steps alone: what they tell of it is told from the checkpoint.
    while (!written.stop_requested() && !seeking_ && !half_folded_) {
        // What ends it here, a full batch or a record that cannot be read, is met again by the next step.
        if (const absl::StatusOr<bool> drained = FoldWaiting(clock_.Now(), written); !drained.ok() || !*drained) {
            return;
        }
        std::this_thread::sleep_for(kFoldAheadPause);
    }
}

void TableActor::OnApplied(const sdk::ApplyResult& result, TimePoint began) {
    const sdk::Batch batch = std::move(*sealed_);
    sealed_.reset();
    checkpoint_offset_ = batch.next_offset;
    checkpoint_schema_ = batch.schema->id;
    only_copy_so_far_ = sealed_only_copy_ && !result.merged_instead;
    if (result.merged_instead) {
        base::LogWarning("rows that were to be appended stood at the destination already; they were merged", {{"topic", topic()}});
        folder_.EndLoading();
    }
    policy_.Applied();
    fenced_ = 0;
    const double took = std::chrono::duration<double>(clock_.Now() - began).count();
    const int64_t holes = result.holes + folder_.holes() - std::exchange(holes_reported_, folder_.holes());
    {
        const std::lock_guard lock(mutex_);
        metrics_.Applied(batch.events, took, holes);
        metrics_.DeadLettered(result.dead_letters);
        facts_.dead_letters = result.dead_letters_standing;
        facts_.rows_applied += batch.events - batch.markers;
        ++facts_.batches;
        facts_.last_commit_time_us = batch.last_commit_time_us;
        facts_.last_applied_time_us = clock_.WallMicros();
        oldest_us_ = 0;
        stalled_us_ = 0;
    }
    NoteDropped(result.dropped_columns, true);
    for (const sdk::TypeChange& change : result.types_changed) {
        RecordEvent({.type = events::EventType::kSchemaChanged,
                     .before = change.before,
                     .after = change.after,
                     .message = "a type of the destination has got what was added to it at the source"});
    }
    if (!folder_.empty()) {
        NoteOldestFolded();
    }
    NoteOldestTaken();
    Recovered();
    Enter(TableState::kLive);
    MILLRACE_FAILPOINT_QUIET("apply.before_commit_applied");
    port_.CommitApplied(topic(), inbox_.MarkApplied(sealed_records_, sealed_cost_, batch.next_offset));
}

std::optional<TimePoint> TableActor::OnError(const absl::Status& status, Stage stage, TimePoint now) {
    failed_stage_ = stage;
    failing_ = true;
    const Remediation remediation = Decide(status);
    const std::optional<TimePoint> retry = WaitBeforeRetry(remediation, now);
    waiting_to_retry_ = true;
    retry_at_ = retry;
    const bool held = remediation == Remediation::kHold || remediation == Remediation::kFail ||
                      (retry && *retry - now >= kHeldRetry);
    if (held) {
        const bool may_seek = stage != Stage::kTakeOver && orders_.resync_counter > 0 && !seeking_;
        held_error_ = status;
        NoteHeldRange(status, stage);
        Release();
        if (may_seek) {
            // It was copied anew once: perhaps that copy stands behind what it is held at.
            ShowError(status, TableState::kHeld, retry, now);
            waiting_to_retry_ = false;
            return SeekTruncate(seek_patiently_, now);
        }
    }
    ShowError(status, held ? TableState::kHeld : TableState::kRetrying, retry, now);
    return retry;
}

std::optional<TimePoint> TableActor::WaitBeforeRetry(Remediation remediation, TimePoint now) {
    switch (remediation) {
        case Remediation::kRetry:
            return now + backoff_.Next();
        case Remediation::kSmallerBatch: {
            if (!sealed_) {
                return now + backoff_.Next();
            }
            const bool smaller = policy_.Shrink(sealed_held_);
            // The outcome may be unknown (no memory to answer with): the checkpoint tells where to go on.
            Release();
            return smaller ? now + backoff_.Next() : now + kHeldRetry;
        }
        case Remediation::kTakeOverAgain:
            Release();
            if (++fenced_ > kFencedLimit) {
                return now + kHeldRetry;
            }
            return now + kFencedRetry * (1 << std::min(fenced_ - 1, 3));
        case Remediation::kHold:
            return now + kHeldRetry;
        case Remediation::kFail:
            break;
    }
    return std::nullopt;
}

void TableActor::ShowError(const absl::Status& status, TableState state, std::optional<TimePoint> retry,
                           TimePoint now) {
    const std::string reason = base::ReasonOf(status);
    std::string remedy = base::RemedyOf(status);
    if (remedy.empty() && reason == kOffsetGoneReason) {
        remedy = kResyncRemedy;
    } else if (remedy.empty() && reason == kFencedReason) {
        remedy = kFencedRemedy;
    }
    bool news = false;
    {
        const std::lock_guard lock(mutex_);
        metrics_.Failed(reason);
        news = facts_.state != state || facts_.reason != reason;
        facts_.state = state;
        facts_.error = std::string(status.message());
        facts_.reason = reason;
        facts_.remedy = remedy;
        ++facts_.attempts;
        facts_.next_retry_time_us =
            retry ? clock_.WallMicros() +
                        std::chrono::duration_cast<std::chrono::microseconds>(*retry - now).count()
                  : 0;
    }
    if (news && state == TableState::kHeld) {
        RecordEvent(events::EventType::kTableHeld, std::string(status.message()));
    }
    if (news) {
        base::Log(state == TableState::kHeld ? base::LogLevel::kError : base::LogLevel::kWarning,
                  state == TableState::kHeld ? "table held" : "table cannot be applied now, will retry",
                  {{"topic", topic()}, {"reason", reason}, base::LogField(status)});
    }
}

void TableActor::Recovered() {
    backoff_.Reset();
    if (!failed_stage_) {
        return;
    }
    failed_stage_.reset();
    held_error_ = absl::OkStatus();
    failing_ = false;
    std::unique_lock lock(mutex_);
    const bool was_held = facts_.state == TableState::kHeld;
    facts_.held_first_offset = 0;
    facts_.held_next_offset = 0;
    facts_.error.clear();
    facts_.reason.clear();
    facts_.remedy.clear();
    facts_.attempts = 0;
    facts_.next_retry_time_us = 0;
    lock.unlock();
    if (was_held && !Paused()) {
        RecordEvent(events::EventType::kTableRecovered, "the table is applied again");
    }
}

void TableActor::Release() {
    {
        const std::lock_guard lock(mutex_);
        if (stalled_us_ == 0) {
            stalled_us_ = oldest_us_ != 0 ? oldest_us_ : inbox_.oldest_untaken_ms() * 1000;
        }
        oldest_us_ = 0;
    }
    // Closed before anything is let go: what is fetched from now on belongs to no session.
    inbox_.Close();
    work_.clear();
    work_at_ = 0;
    folder_.Reset(0);
    folded_cost_ = 0;
    folded_records_ = 0;
    half_folded_ = false;
    sealed_.reset();
    seeking_ = false;
    seek_from_oldest_ = false;
    rewind_ = false;
    proving_ = false;
    if (std::exchange(taken_over_, false)) {
        port_.Unsubscribe(*this);
    }
}

void TableActor::Enter(TableState state) {
    const std::lock_guard lock(mutex_);
    facts_.state = state;
}

Held TableActor::HeldNow() const {
    // Every record is kept until its batch is applied, also one that a later change of its row made obsolete.
    return {folded_records_, folder_.rows(), folder_.footprint() + folded_records_ * bus::kFetchedRecordOverhead,
            folding_since_};
}

void TableActor::NoteOldestTaken() {
    const std::lock_guard lock(mutex_);
    if (oldest_us_ == 0 && work_at_ < work_.size()) {
        oldest_us_ = work_[work_at_].timestamp_ms * 1000;
    }
}

void TableActor::NoteOldestFolded() {
    // Rows of a first copy may have no commit time: Kafka's time stands then.
    if (const int64_t commit_us = folder_.first_commit_time_us(); commit_us > 0) {
        const std::lock_guard lock(mutex_);
        oldest_us_ = commit_us;
    }
}

double TableActor::LagSeconds() const {
    int64_t oldest = stalled_us_;
    if (oldest == 0 && inbox_.records() > 0) {
        oldest = oldest_us_ != 0 ? oldest_us_ : inbox_.oldest_untaken_ms() * 1000;
    }
    if (oldest == 0) {
        return 0;
    }
    return static_cast<double>(std::max<int64_t>(0, clock_.WallMicros() - oldest)) / 1e6;
}

TableFacts TableActor::Facts() const {
    const std::lock_guard lock(mutex_);
    TableFacts facts = facts_;
    facts.records_waiting = inbox_.records();
    facts.bytes_waiting = inbox_.bytes();
    facts.lag_seconds = LagSeconds();
    return facts;
}

void TableActor::ReportLag() {
    const std::lock_guard lock(mutex_);
    metrics_.SetLag(stop_requested_ ? 0 : LagSeconds());
}

}  // namespace millrace::apply
