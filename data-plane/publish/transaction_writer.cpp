#include "data-plane/publish/transaction_writer.h"

#include <algorithm>
#include <span>
#include <utility>

#include "base/defect.h"
#include "base/failpoint.h"
#include "base/status.h"
#include "base/text.h"
#include "data-plane/codec/change_pack.h"
#include "data-plane/codec/record_parts.h"
#include "data-plane/publish/error_policy.h"

namespace millrace::publish {

using std::chrono::steady_clock;

namespace {

constexpr size_t kMiB = size_t{1} << 20U;
/// Of all topics together: many tables that change a little must not hold memory for each.
constexpr size_t kMaxPackedBytes = 8 * kMiB;
/// Topics whose memory for packs is kept from transaction to transaction.
constexpr size_t kKeptPacks = 64;

size_t CellBytes(const sdk::ChangeEvent& event) {
    size_t bytes = 0;
    for (const sdk::RowView row : {event.after, event.before}) {
        for (const sdk::Cell& cell : row) {
            bytes += cell.size();
        }
    }
    return bytes;
}

absl::Status TooLarge(const sdk::ChangeEvent& event, size_t bytes) {
    return base::MakeError(
        absl::StatusCode::kInvalidArgument, "RECORD_TOO_LARGE",
        base::Concat("a change of table ", event.schema->DisplayName(), " makes a record of ",
                     (bytes + kMiB - 1) / kMiB, " MiB; the limit is ", codec::kMaxRecordBytes / kMiB, " MiB"),
        "Exclude the column that holds the value, or take the table out of the pipeline");
}

}  // namespace

TransactionWriter::TransactionWriter(bus::TransactionalProducer& producer,
                                     std::unique_ptr<codec::EventCodec> codec, Topics topics,
                                     size_t part_bytes, StreamPosition durable, base::Counter& commits,
                                     base::Histogram& commit_seconds)
    : producer_(producer),
      topics_(std::move(topics)),
      part_bytes_(part_bytes),
      codec_(std::move(codec)),
      pending_(durable),
      durable_(std::move(durable)),
      pack_bytes_(codec_->packs() ? std::min(codec::kMaxPackBytes, part_bytes) : 0),
      commits_(commits),
      commit_seconds_(commit_seconds) {}

absl::Status TransactionWriter::EnsureBegun() {
    if (producer_.in_transaction()) {
        return absl::OkStatus();
    }
    MILLRACE_FAILPOINT("publish.before_begin");
    open_bytes_ = 0;
    begun_ = steady_clock::now();
    return producer_.Begin();
}

void TransactionWriter::Blame(const std::string& topic) {
    failed_topic_ = topic == topics_.control || topic == topics_.schemas ? std::string() : topic;
}

absl::Status TransactionWriter::Write(const sdk::ChangeEvent& event, const std::string& topic) {
    // Before anything is written or copied: the source can hold rows far beyond what is replicated.
    if (const size_t bytes = CellBytes(event); bytes > codec::kMaxRecordBytes) {
        Blame(topic);
        return TooLarge(event, bytes);
    }
    RETURN_IF_ERROR(EnsureBegun());
    const int64_t timestamp_ms = event.commit_time_us / 1000;
    if (written_schemas_.insert(event.schema->id).second) {
        MILLRACE_FAILPOINT("publish.before_schema_record");
        RETURN_IF_ERROR(producer_.Produce(topics_.schemas, codec::SchemaKey(event.schema->id),
                                          codec::EncodeSchema(*event.schema), timestamp_ms));
    }
    absl::Status status = Produce(event, topic);
    if (status.ok()) {
        return status;
    }
    // A transaction that has failed already may say so here: what broke it is another topic's record then.
    if (failed_topic_.empty()) {
        Blame(producer_.failed_topic().empty() ? topic : producer_.failed_topic());
    }
    return base::Annotate(status, "publishing " + event.schema->DisplayName());
}

absl::Status TransactionWriter::Produce(const sdk::ChangeEvent& event, const std::string& topic) {
    RETURN_IF_ERROR(ProduceAside(event, topic));
    codec_->Encode(event, key_, value_);
    if (value_.size() > codec::kMaxRecordBytes) {
        return TooLarge(event, value_.size());
    }
    open_bytes_ += static_cast<int64_t>(key_.size() + value_.size());
#ifdef MILLRACE_FAILPOINTS
    if (late_.topic.empty() && value_.size() <= part_bytes_ && MILLRACE_DEFECT("reorder-events", 100)) {
        late_ = {topic, event, key_, value_};
        return absl::OkStatus();
    }
#endif
    absl::Status status = Place(event, topic);
#ifdef MILLRACE_FAILPOINTS
    if (late_.topic == topic) {
        status.Update(PlaceLate());
    }
#endif
    return status;
}

absl::Status TransactionWriter::Place(const sdk::ChangeEvent& event, const std::string& topic) {
    const int64_t timestamp_ms = event.commit_time_us / 1000;
    if (pack_bytes_ == 0) {
        return ProduceValue(topic, timestamp_ms);
    }
    Packs::value_type& slot = PackOf(topic);
    Pack& pack = slot.second;
    const bool alone = sdk::IsMarker(event.op) || value_.size() > pack_bytes_ / 2;
    if (pack.changes > 0 &&
        (alone || pack.schema_id != event.schema->id || pack.value.size() + value_.size() > pack_bytes_)) {
        RETURN_IF_ERROR(Flush(slot));
    }
    if (alone) {
        return ProduceValue(topic, timestamp_ms);
    }
    if (pack.changes++ == 0) {
        pack.key = key_;
        pack.schema_id = event.schema->id;
        pack.timestamp_ms = timestamp_ms;
    }
    const size_t before = pack.value.size();
    codec::AppendToPack(value_, pack.value);
    packed_bytes_ += pack.value.size() - before;
    return packed_bytes_ > kMaxPackedBytes ? FlushAll() : absl::OkStatus();
}

TransactionWriter::Packs::value_type& TransactionWriter::PackOf(const std::string& topic) {
    if (last_pack_ == nullptr || last_pack_->first != topic) {
        last_pack_ = &*packs_.try_emplace(topic).first;
    }
    return *last_pack_;
}

absl::Status TransactionWriter::Flush(Packs::value_type& slot) {
    Pack& pack = slot.second;
    if (pack.changes == 0) {
        return absl::OkStatus();
    }
    std::string_view key;
    std::string_view value = pack.value;
    if (pack.changes == 1) {
        key = pack.key;
        codec::PackReader(pack.value).Next(value);
    }
    absl::Status status = producer_.Produce(slot.first, key, value, pack.timestamp_ms);
    if (!status.ok()) {
        Blame(producer_.failed_topic().empty() ? slot.first : producer_.failed_topic());
    }
    packed_bytes_ -= pack.value.size();
    pack.value.clear();
    pack.changes = 0;
    return status;
}

absl::Status TransactionWriter::FlushAll() {
    for (Packs::value_type& slot : packs_) {
        RETURN_IF_ERROR(Flush(slot));
    }
    if (packs_.size() > kKeptPacks) {
        packs_.clear();
        last_pack_ = nullptr;
    }
    return absl::OkStatus();
}

absl::Status TransactionWriter::ProduceAside(const sdk::ChangeEvent& event, const std::string& topic) {
    if (!codec_->EncodeAside(event, key_, value_)) {
        return absl::OkStatus();
    }
    if (value_.size() > codec::kMaxRecordBytes) {
        return TooLarge(event, value_.size());
    }
    open_bytes_ += static_cast<int64_t>(key_.size() + value_.size());
    return ProduceValue(topic, event.commit_time_us / 1000, codec::kKeyMoveAside);
}

absl::Status TransactionWriter::ProduceValue(const std::string& topic, int64_t timestamp_ms,
                                             std::string_view aside) {
    const size_t asides = aside.empty() ? 0 : 1;
    if (value_.size() <= part_bytes_) {
        const bus::RecordHeader headers[] = {{codec::kAsideHeader, aside}};
        return producer_.Produce(topic, key_, value_, timestamp_ms, std::span(headers).first(asides));
    }
    const uint64_t count = codec::PartCount(value_.size(), part_bytes_);
    for (uint64_t index = 1; index <= count; ++index) {
        const std::string header = codec::PartHeader({index, count, value_.size()});
        const bus::RecordHeader headers[] = {{codec::kPartHeader, header}, {codec::kAsideHeader, aside}};
        const std::string_view part = std::string_view(value_).substr((index - 1) * part_bytes_, part_bytes_);
        RETURN_IF_ERROR(
            producer_.Produce(topic, key_, part, timestamp_ms, std::span(headers).first(1 + asides)));
        MILLRACE_FAILPOINT("publish.after_part");
    }
    value_ = std::string();  // Few records are as large: its memory is not kept for the next.
    return absl::OkStatus();
}

#ifdef MILLRACE_FAILPOINTS
absl::Status TransactionWriter::PlaceLate() {
    const LateRecord late = std::exchange(late_, {});
    if (late.topic.empty()) {
        return absl::OkStatus();
    }
    key_ = late.key;
    value_ = late.value;
    return Place(late.event, late.topic);
}
#endif

absl::Status TransactionWriter::WriteTableState(const TableState& table) {
    RETURN_IF_ERROR(EnsureBegun());
    return producer_.Produce(topics_.control, TableKey(table), EncodeTableState(table), 0);
}

absl::Status TransactionWriter::Commit() {
    MILLRACE_FAILPOINT("publish.before_position_record");
    RETURN_IF_ERROR(EnsureBegun());
#ifdef MILLRACE_FAILPOINTS
    RETURN_IF_ERROR(PlaceLate());
#endif
    RETURN_IF_ERROR(FlushAll());
    const StreamPosition& position = MILLRACE_DEFECT("position-late", 1) ? durable_ : pending_;
    RETURN_IF_ERROR(producer_.Produce(topics_.control, kPositionKey, EncodePosition(position), 0));
    MILLRACE_FAILPOINT("publish.before_kafka_commit");
    const auto start = steady_clock::now();
    if (absl::Status status = producer_.Commit(); !status.ok()) {
        Blame(producer_.failed_topic());
        return status;
    }
    MILLRACE_FAILPOINT("publish.after_kafka_commit");
    last_commit_ = steady_clock::now();
    last_commit_took_ = last_commit_ - start;
    commit_seconds_.Observe(std::chrono::duration<double>(last_commit_took_).count());
    commits_.Add();
    durable_ = pending_;
    open_bytes_ = 0;
    if (durable_.mid_transaction) {
        MILLRACE_FAILPOINT("publish.after_part_committed");
    }
    if (!producer_.recreated_topic().empty()) {
        Blame(producer_.recreated_topic());
        return base::MakeError(absl::StatusCode::kFailedPrecondition, kTopicRecreatedReason,
                               "topic " + producer_.recreated_topic() +
                                   " was deleted and made anew by somebody else: records that were in it are gone",
                               "`millrace table resync` copies the table anew into it");
    }
    return absl::OkStatus();
}

}  // namespace millrace::publish
