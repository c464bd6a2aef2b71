/// Writes encoded changes and the stream's position into one Kafka transaction at a time.
/// Not for: deciding which changes are wanted or when to commit (stream_writer, table_copier).
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "absl/status/status.h"
#include "base/metrics.h"
#include "data-plane/bus/producer.h"
#include "data-plane/codec/event_codec.h"
#include "data-plane/publish/stream_position.h"

namespace millrace::publish {

/// One thread. Any error ends the session: the next one fences this producer and replays from the durable
/// position.
class TransactionWriter final {
 public:
    struct Topics final {
        std::string control;
        std::string schemas;
    };

    /// A record's value beyond `part_bytes` is split; small ones of one table share a record where the codec allows it.
    TransactionWriter(bus::TransactionalProducer& producer, std::unique_ptr<codec::EventCodec> codec,
                      Topics topics, size_t part_bytes, StreamPosition durable, base::Counter& commits, base::Histogram& commit_seconds);

    /// Adds a change to the open transaction (begins one if none is open), its schema before it when this
    /// session has not written that schema yet. All parts of a split record come into the same transaction. A small
    /// change is not handed to Kafka until others of its table have filled its record, or Commit.
    /// InvalidArgument (RECORD_TOO_LARGE), which names the table: the record passes codec::kMaxRecordBytes;
    /// nothing of it was written.
    absl::Status Write(const sdk::ChangeEvent& event, const std::string& topic);
    absl::Status WriteTableState(const TableState& table);

    /// Writes the pending position and commits; then pending is durable. Also with nothing else to write.
    /// TOPIC_RECREATED: it is committed, but a table's topic is another than the one written to before.
    absl::Status Commit();

    /// The table topic whose record the last error came from; empty when it was about something else.
    [[nodiscard]] const std::string& failed_topic() const { return failed_topic_; }

    /// What the next Commit makes durable.
    [[nodiscard]] StreamPosition& pending() { return pending_; }
    [[nodiscard]] const StreamPosition& durable() const { return durable_; }
    [[nodiscard]] bool open() const { return producer_.in_transaction(); }
    [[nodiscard]] int64_t open_bytes() const { return open_bytes_; }
    [[nodiscard]] std::chrono::steady_clock::time_point last_commit() const { return last_commit_; }
    [[nodiscard]] std::chrono::steady_clock::duration last_commit_took() const { return last_commit_took_; }
    [[nodiscard]] std::chrono::steady_clock::time_point begun() const { return begun_; }

 private:
    /// Changes of one topic that will be one record.
    struct Pack final {
        std::string value;
        std::string key;
        size_t changes = 0;
        uint64_t schema_id = 0;
        int64_t timestamp_ms = 0;
    };
    using Packs = std::unordered_map<std::string, Pack>;

    absl::Status EnsureBegun();
    /// What is in key_ and value_, behind everything of its topic.
    absl::Status Place(const sdk::ChangeEvent& event, const std::string& topic);
    Packs::value_type& PackOf(const std::string& topic);
    absl::Status Flush(Packs::value_type& pack);
    absl::Status FlushAll();
    absl::Status Produce(const sdk::ChangeEvent& event, const std::string& topic);
    absl::Status ProduceAside(const sdk::ChangeEvent& event, const std::string& topic);
    /// `aside` is the value of that header; empty for the record itself.
    absl::Status ProduceValue(const std::string& topic, int64_t timestamp_ms, std::string_view aside = {});
    void Blame(const std::string& topic);

    bus::TransactionalProducer& producer_;
    const Topics topics_;
    const size_t part_bytes_;
    const std::unique_ptr<codec::EventCodec> codec_;
    StreamPosition pending_;
    StreamPosition durable_;
    std::unordered_set<uint64_t> written_schemas_;
    const size_t pack_bytes_;
    Packs packs_;
    /// Where the last change went.
    Packs::value_type* last_pack_ = nullptr;
    size_t packed_bytes_ = 0;
    std::string key_;
    std::string value_;
    int64_t open_bytes_ = 0;
    std::string failed_topic_;
    std::chrono::steady_clock::time_point begun_;
    std::chrono::steady_clock::time_point last_commit_;
    std::chrono::steady_clock::duration last_commit_took_{};
    base::Counter& commits_;
    base::Histogram& commit_seconds_;

#ifdef MILLRACE_FAILPOINTS
    /// Of the defect "reorder-events": a record that waits until the next one of its topic has gone.
    struct LateRecord final {
        std::string topic;
        sdk::ChangeEvent event;
        std::string key;
        std::string value;
    };
    absl::Status PlaceLate();
    LateRecord late_;
#endif
};

}  // namespace millrace::publish
