// What verbs ask of one table: pausing it alone, passing over what it is held at.
#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_join.h"
#include "base/log.h"
#include "base/status.h"
#include "base/text.h"
#include "data-plane/apply/table_actor.h"
#include "data-plane/codec/record_parts.h"

namespace millrace::apply {
namespace {

using std::chrono::seconds;

constexpr seconds kSeekRetry{30};

std::string OffsetsText(int64_t first, int64_t next) {
    return base::Concat("offsets ", first, "-", next - 1);
}

}  // namespace

void TableActor::Order(const TableOrders& orders) {
    const std::lock_guard lock(mutex_);
    wanted_orders_ = orders;
    table_paused_ = orders.paused;
    orders_changed_ = true;
}

void TableActor::TakeOrders() {
    if (!orders_changed_.exchange(false)) {
        return;
    }
    const TableOrders before = orders_;
    {
        const std::lock_guard lock(mutex_);
        orders_ = *wanted_orders_;
    }
    // Also the first one known: whether it was carried out by another worker cannot be told, and twice does no harm.
    replay_due_ = replay_due_ || orders_.replay_counter > before.replay_counter;
    if (!std::exchange(ordered_, true)) {
        return;
    }
    const bool skip = orders_.skip_next > orders_.skip_first &&
                      (orders_.skip_first != before.skip_first || orders_.skip_next != before.skip_next);
    if (orders_.resume_counter > before.resume_counter || skip) {
        kicked_ = true;
    }
    if (orders_.drop_counter > before.drop_counter) {
        confirmed_drops_ = orders_.drop_columns;
    }
    if (orders_.resync_counter > before.resync_counter) {
        // A table that works meets the copy by itself.
        seek_patiently_ = waiting_to_retry_;
    }
}

std::optional<TimePoint> TableActor::ReplayLetters(TimePoint now) {
    const int64_t standing = Facts().dead_letters;
    absl::StatusOr<sdk::ReplayResult> result = sdk::ReplayResult{};
    if (standing > 0 && checkpoint_schema_ != 0) {
        const auto schema = schemas_(checkpoint_schema_);
        result = schema.ok() ? writer_->ReplayDeadLetters(*schema) : schema.status();
    }
    if (!result.ok()) {
        switch (Decide(result.status())) {
            case Remediation::kRetry:
            case Remediation::kSmallerBatch:
            case Remediation::kTakeOverAgain:
                // The letters stand and the replay is still due.
                return OnError(result.status(), Stage::kRead, now);
            case Remediation::kHold:
            case Remediation::kFail:
                // Only the letters are stuck: the table goes on.
                break;
        }
    }
    replay_due_ = false;
    ShowReplay(result, standing);
    return now;
}

void TableActor::ShowReplay(const absl::StatusOr<sdk::ReplayResult>& result, int64_t standing_before) {
    std::string message;
    {
        const std::lock_guard lock(mutex_);
        facts_.replay_counter = orders_.replay_counter;
        facts_.replayed_letters = result.ok() ? result->applied : 0;
        facts_.dead_letters = result.ok() ? result->standing : standing_before;
        facts_.refused_letters = facts_.dead_letters;
        message = base::Concat(facts_.replayed_letters, " dead letters applied, ", facts_.refused_letters,
                               " still do not fit");
    }
    if (!result.ok()) {
        base::Append(message, ": ", result.status().message());
        base::LogWarning("dead letters cannot be replayed", {{"topic", topic()}, base::LogField(result.status())});
    }
    // A worker that starts carries the last one out again: told once.
    RecordEvent(events::EventType::kDeadLettersReplayed, std::move(message), "",
                base::Concat("replay-", identity_.stream.pipeline_uid, "-", topic(), "-", orders_.replay_counter));
}

void TableActor::BeginSkip(int64_t offset) {
    skip_below_ = 0;
    if (orders_.skip_next <= orders_.skip_first || orders_.skip_first != offset) {
        return;
    }
    skip_below_ = orders_.skip_next;
    const std::string range = OffsetsText(orders_.skip_first, orders_.skip_next);
    base::LogWarning("records are passed over by order", {{"topic", topic()}, {"range", range}});
    RecordEvent(events::EventType::kTableSkipped,
                "records were passed over as ordered; they were not applied", range,
                base::Concat("skip-", topic(), "-", range));
}

bool TableActor::PassesOver(const bus::Record& record) {
    if (record.offset < skip_below_) {
        return true;
    }
    if (!seeking_) {
        return false;
    }
    const absl::Status status = DecodeLast(record);
    if (!status.ok() || (decoded_.event.op != sdk::Op::kTruncate && decoded_.event.op != sdk::Op::kResync)) {
        return true;
    }
    base::LogInfo("what the table was held at is passed over: a copy, or a truncate, stands behind it",
                  {{"topic", topic()}, {"offset", record.offset}});
    RecordEvent(events::EventType::kTableSkipped,
                "what the table was held at was passed over: the table is copied anew behind it",
                OffsetsText(checkpoint_offset_, record.offset),
                base::Concat("seek-", topic(), "-", checkpoint_offset_, "-", record.offset));
    seeking_ = false;
    seek_patiently_ = false;
    rewind_ = std::exchange(seek_from_oldest_, false);
    return false;
}

void TableActor::Subscribe() {
    int64_t offset = checkpoint_offset_;
    if (seek_from_oldest_) {
        offset = bus::kOldestOffset;
    } else if (offset > 0 && !std::exchange(unprovable_, false)) {
        // A topic that was made anew may have grown past our offset: the record before it tells.
        proving_ = true;
        short_since_.reset();
        --offset;
    }
    port_.Subscribe(*this, offset, inbox_.session());
}

absl::Status TableActor::Prove(const bus::Record& record) {
    bool proven = record.offset == checkpoint_offset_ - 1;
    if (proven) {
        if (const std::string_view header = record.Header(codec::kPartHeader); !header.empty()) {
            // A part says nothing of its record's position; the last one of a record may stand there.
            const absl::StatusOr<codec::RecordPart> part = codec::ParsePartHeader(header);
            proven = part.ok() && part->index == part->count;
        } else {
            const absl::Status status = DecodeLast(record);
            if (!status.ok() && !absl::IsDataLoss(status)) {
                return status;
            }
            proven = status.ok() && decoded_.event.position == checkpoint_position_ &&
                     decoded_.event.generation == checkpoint_generation_;
        }
    }
    proving_ = false;
    return proven ? absl::OkStatus() : MadeAnew();
}

absl::Status TableActor::MadeAnew() const {
    return base::MakeError(
        absl::StatusCode::kOutOfRange, kOffsetGoneReason,
        base::Concat("topic ", topic(), " was made anew: what stands before offset ", checkpoint_offset_,
                     " in it is not what was applied last"),
        "resync the table: changes between what was applied and the new topic may be missing");
}

void TableActor::Drop(bus::Record& record) {
    const int64_t applied = inbox_.MarkApplied(1, Inbox::CostOf(record), record.offset + 1);
    if (inbox_.at_end()) {
        port_.CommitApplied(topic(), applied);
    }
    record.owner.reset();
    ++work_at_;
}

std::optional<TimePoint> TableActor::SeekTruncate(bool patiently, TimePoint now) {
    seeking_ = true;
    seek_from_oldest_ = base::ReasonOf(held_error_) == kOffsetGoneReason;
    // The copy may still be on its way into a topic that has just been made.
    seek_patiently_ = patiently || seek_from_oldest_;
    return now;
}

std::optional<TimePoint> TableActor::EndSeek(TimePoint now) {
    Release();
    failed_stage_ = Stage::kApply;
    waiting_to_retry_ = true;
    retry_at_ = now + kSeekRetry;
    ShowError(held_error_, TableState::kHeld, retry_at_, now);
    return retry_at_;
}

std::optional<TimePoint> TableActor::DropConfirmed(TimePoint now) {
    const auto left = writer_->DropColumns(confirmed_drops_);
    const std::string columns = absl::StrJoin(confirmed_drops_, ", ");
    if (!left.ok() && Decide(left.status()) != Remediation::kHold &&
        Decide(left.status()) != Remediation::kFail) {
        return OnError(left.status(), Stage::kApply, now);
    }
    confirmed_drops_.clear();
    RecordEvent(
        {.type = events::EventType::kColumnsDropped,
         .before = columns,
         .message = left.ok() ? "the columns were dropped at the destination"
                              : base::Concat("the columns could not be dropped: ", left.status().message())});
    if (left.ok()) {
        NoteDropped(*left, false);
    }
    return now;
}

void TableActor::NoteDropped(const std::vector<std::string>& columns, bool news) {
    if (!identity_.drop_columns) {
        return;
    }
    std::vector<std::string> fresh;
    {
        const std::lock_guard lock(mutex_);
        std::ranges::copy_if(columns, std::back_inserter(fresh), [&](const std::string& column) {
            return std::ranges::find(facts_.pending_drops, column) == facts_.pending_drops.end();
        });
        facts_.pending_drops = columns;
    }
    if (news && !fresh.empty()) {
        RecordEvent({.type = events::EventType::kDropPending,
                     .before = absl::StrJoin(fresh, ", "),
                     .message = "the source dropped columns; their drop at the destination awaits "
                                "`millrace table confirm-drop`"});
    }
}

void TableActor::NoteHeldRange(const absl::Status& status, Stage stage) {
    int64_t next = 0;
    if (stage == Stage::kApply && sealed_) {
        next = sealed_->next_offset;
    } else if (stage == Stage::kRead && folder_.empty() && work_at_ < work_.size() &&
               base::ReasonOf(status) != kOffsetGoneReason) {
        next = work_[work_at_].offset + 1;
    }
    const std::lock_guard lock(mutex_);
    facts_.held_first_offset = next > 0 ? checkpoint_offset_ : 0;
    facts_.held_next_offset = next;
}

void TableActor::RecordEvent(events::EventType type, std::string message, std::string position,
                             std::string id) {
    RecordEvent(
        {.type = type, .message = std::move(message), .position = std::move(position), .id = std::move(id)});
}

void TableActor::RecordEvent(events::Event event) {
    {
        const std::lock_guard lock(mutex_);
        event.schema = facts_.schema;
        event.table = facts_.table;
    }
    recorder_.Record(std::move(event));
}

}  // namespace millrace::apply
