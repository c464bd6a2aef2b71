#include "data-plane/publish/transaction_writer.h"

#include <utility>

#include "base/defect.h"
#include "base/failpoint.h"
#include "base/status.h"

namespace millrace::publish {

using std::chrono::steady_clock;

TransactionWriter::TransactionWriter(bus::TransactionalProducer& producer, Topics topics,
                                     StreamPosition durable, base::Counter& commits,
                                     base::Histogram& commit_seconds)
    : producer_(producer),
      topics_(std::move(topics)),
      pending_(durable),
      durable_(std::move(durable)),
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

absl::Status TransactionWriter::Write(const sdk::ChangeEvent& event, const std::string& topic) {
    RETURN_IF_ERROR(EnsureBegun());
    const int64_t timestamp_ms = event.commit_time_us / 1000;
    if (written_schemas_.insert(event.schema->id).second) {
        MILLRACE_FAILPOINT("publish.before_schema_record");
        RETURN_IF_ERROR(producer_.Produce(topics_.schemas, codec::SchemaKey(event.schema->id),
                                          codec::EncodeSchema(*event.schema), timestamp_ms));
    }
    codec_->Encode(event, key_, value_);
    open_bytes_ += static_cast<int64_t>(key_.size() + value_.size());
#ifdef MILLRACE_FAILPOINTS
    if (late_.topic.empty() && MILLRACE_DEFECT("reorder-events", 100)) {
        late_ = {topic, key_, value_};
        return absl::OkStatus();
    }
#endif
    absl::Status status = producer_.Produce(topic, key_, value_, timestamp_ms);
#ifdef MILLRACE_FAILPOINTS
    if (late_.topic == topic) {
        status.Update(ProduceLate(timestamp_ms));
    }
#endif
    return status.ok() ? status : base::Annotate(status, "publishing " + event.schema->DisplayName());
}

#ifdef MILLRACE_FAILPOINTS
absl::Status TransactionWriter::ProduceLate(int64_t timestamp_ms) {
    const LateRecord late = std::exchange(late_, {});
    return late.topic.empty() ? absl::OkStatus()
                              : producer_.Produce(late.topic, late.key, late.value, timestamp_ms);
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
    RETURN_IF_ERROR(ProduceLate(0));
#endif
    const StreamPosition& position = MILLRACE_DEFECT("position-late", 1) ? durable_ : pending_;
    RETURN_IF_ERROR(producer_.Produce(topics_.control, kPositionKey, EncodePosition(position), 0));
    MILLRACE_FAILPOINT("publish.before_kafka_commit");
    const auto start = steady_clock::now();
    RETURN_IF_ERROR(producer_.Commit());
    MILLRACE_FAILPOINT("publish.after_kafka_commit");
    last_commit_ = steady_clock::now();
    commit_seconds_.Observe(std::chrono::duration<double>(last_commit_ - start).count());
    commits_.Add();
    durable_ = pending_;
    open_bytes_ = 0;
    return absl::OkStatus();
}

}  // namespace millrace::publish
