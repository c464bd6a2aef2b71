#include "data-plane/bus/table_reader.h"

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <mutex>
#include <set>
#include <utility>

#include "base/defect.h"
#include "base/status.h"
#include "data-plane/bus/applied_offsets.h"
#include "data-plane/bus/fetched_records.h"
#include "data-plane/bus/kafka_client.h"
#include "data-plane/bus/kafka_error.h"
#include "data-plane/bus/kafka_handle.h"
#include "data-plane/bus/table_positions.h"

namespace millrace::bus {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

/// Bytes of records that are let go together, with the last of them.
constexpr size_t kMostKeptTogether = size_t{1} << 20U;
constexpr milliseconds kAppliedInterval{100};
constexpr milliseconds kLastCommitPatience{2000};

KafkaProperties Defaults() {
    KafkaProperties properties = {
        {"client.id", "millrace-table-reader"},
        // A fetch under way delays a topic that is added meanwhile by as much.
        {"fetch.wait.max.ms", "50"},
        {"fetch.error.backoff.ms", "20"},
        {"fetch.message.max.bytes", "2097152"},
        {"fetch.max.bytes", "8388608"},
        {"queued.max.messages.kbytes", "16384"},
        {"queued.min.messages", "1000000"},
        {"topic.metadata.propagation.max.ms", "10000"},
    };
    if (rd_kafka_version() >= 0x02020000) {
        properties["fetch.queue.backoff.ms"] = "20";  // Apart from fetch.error.backoff.ms since 2.2.
    }
    return properties;
}

KafkaProperties Fixed(const std::string& group) {
    return {{"group.id", group},
            {"enable.auto.commit", "false"},
            {"enable.auto.offset.store", "false"},
            {"auto.offset.reset", "error"},
            {"isolation.level", "read_committed"},
            {"enable.partition.eof", "true"}};
}

KafkaOwned<rd_kafka_topic_partition_list_s> OneTopic(const std::string& topic, int64_t offset) {
    KafkaOwned<rd_kafka_topic_partition_list_s> list(rd_kafka_topic_partition_list_new(1));
    rd_kafka_topic_partition_list_add(list.get(), topic.c_str(), 0)->offset = offset;
    return list;
}

std::string_view View(const void* data, std::size_t size) {
    return {static_cast<const char*>(data), size};
}

void TakeHeaders(const rd_kafka_message_t* message, Record& record) {
    rd_kafka_headers_t* headers = nullptr;
    if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return;
    }
    const char* name = nullptr;
    const void* value = nullptr;
    std::size_t size = 0;
    for (std::size_t i = 0;
         rd_kafka_header_get_all(headers, i, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR; ++i) {
        record.headers.push_back({name, View(value, size)});
    }
}

}  // namespace

struct TableReader::Impl final {
    std::shared_ptr<KafkaClient> client;
    KafkaOwned<rd_kafka_queue_s> records;
    KafkaOwned<rd_kafka_queue_s> commits;
    /// Guards what follows, and the order of assignments.
    std::mutex mutex;
    TablePositions positions;
    AppliedOffsets applied{kAppliedInterval};

    [[nodiscard]] rd_kafka_t* handle() const { return client->get(); }

    absl::Status Assign(const std::string& name, TablePositions::Topic& topic);
    absl::Status Unassign(const std::string& name, TablePositions::Topic& topic);
    absl::Status Check(KafkaOwned<rd_kafka_error_s> error, const std::string& name) const;

    /// Assigns topics that are due again; reports those that stay missing.
    std::vector<TopicEvent> ServeMissing();
    /// Sends applied offsets that are due; hears of those sent before, waiting up to `timeout_ms`.
    void ServeCommits(int timeout_ms);
    std::vector<TopicEvent> Sort(FetchedMessages messages, uint64_t changes_before);
    /// The client library tells of a deleted topic in words only: "<topic> [0]: …".
    void TakeClientError(int code, std::string_view reason);
    void TakeError(const rd_kafka_message_t& message, const std::string& name, TablePositions::Topic& topic,
                   std::vector<TopicEvent>& events);
    TopicEvent Fail(int code, const std::string& name, TablePositions::Topic& topic);
    TopicEvent Stop(const std::string& name, TablePositions::Topic& topic, absl::Status status);
    absl::Status Explain(int code, const std::string& name, const TablePositions::Topic& topic) const;
};

absl::Status TableReader::Impl::Check(KafkaOwned<rd_kafka_error_s> error, const std::string& name) const {
    return error == nullptr ? absl::OkStatus()
                            : client->Error(rd_kafka_error_code(error.get()), "reading topic " + name);
}

absl::Status TableReader::Impl::Assign(const std::string& name, TablePositions::Topic& topic) {
    const auto list = OneTopic(name, topic.next_offset);
    RETURN_IF_ERROR(
        Check(KafkaOwned<rd_kafka_error_s>(rd_kafka_incremental_assign(handle(), list.get())), name));
    topic.retry_at = {};
    positions.SetAssigned(topic, true);
    return absl::OkStatus();
}

absl::Status TableReader::Impl::Unassign(const std::string& name, TablePositions::Topic& topic) {
    if (!topic.assigned) {
        return absl::OkStatus();
    }
    positions.SetAssigned(topic, false);
    const auto list = OneTopic(name, RD_KAFKA_OFFSET_INVALID);
    return Check(KafkaOwned<rd_kafka_error_s>(rd_kafka_incremental_unassign(handle(), list.get())), name);
}

std::vector<TopicEvent> TableReader::Impl::ServeMissing() {
    const std::lock_guard lock(mutex);
    const Clock::time_point now = Clock::now();
    std::vector<TopicEvent> events;
    for (const std::string& name : positions.MissingForGood(now)) {
        events.push_back(Fail(RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, name, *positions.Find(name)));
    }
    for (const std::string& name : positions.Due(now)) {
        // What goes wrong here is due again: the position stands.
        (void)Assign(name, *positions.Find(name));
    }
    return events;
}

void TableReader::Impl::ServeCommits(int timeout_ms) {
    if (const KafkaOwned<rd_kafka_op_s> event(rd_kafka_queue_poll(commits.get(), timeout_ms));
        event != nullptr) {
        std::set<std::string> failed;
        const auto outcome = rd_kafka_event_error(event.get());
        const auto* list = rd_kafka_event_topic_partition_list(event.get());
        for (int i = 0; list != nullptr && i < list->cnt; ++i) {
            const int code = list->elems[i].err != RD_KAFKA_RESP_ERR_NO_ERROR ? list->elems[i].err : outcome;
            // A topic that is gone needs no offset any more.
            if (code != RD_KAFKA_RESP_ERR_NO_ERROR && !IsMissingTopic(code)) {
                failed.insert(list->elems[i].topic);
            }
        }
        const std::lock_guard lock(mutex);
        applied.Finish(failed);
    }
    AppliedOffsets::Offsets offsets;
    {
        const std::lock_guard lock(mutex);
        offsets = applied.Take(Clock::now());
    }
    if (offsets.empty()) {
        return;
    }
    const KafkaOwned<rd_kafka_topic_partition_list_s> list(
        rd_kafka_topic_partition_list_new(static_cast<int>(offsets.size())));
    std::set<std::string> topics;
    for (const auto& [topic, offset] : offsets) {
        rd_kafka_topic_partition_list_add(list.get(), topic.c_str(), 0)->offset = offset;
        topics.insert(topic);
    }
    if (rd_kafka_commit_queue(handle(), list.get(), commits.get(), nullptr, nullptr) !=
        RD_KAFKA_RESP_ERR_NO_ERROR) {
        const std::lock_guard lock(mutex);
        applied.Finish(topics);
    }
}

absl::Status TableReader::Impl::Explain(int code, const std::string& name,
                                        const TablePositions::Topic& topic) const {
    if (code == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET || code == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE) {
        return base::MakeError(absl::StatusCode::kOutOfRange, "OFFSET_GONE",
                               "topic " + name + " no longer holds offset " +
                                   std::to_string(topic.next_offset) +
                                   ": its retention passed it, or the topic was made anew",
                               "resync the table; give the topic a longer retention");
    }
    return client->Error(code, "reading topic " + name);
}

TopicEvent TableReader::Impl::Stop(const std::string& name, TablePositions::Topic& topic, absl::Status status) {
    // Stopped, because after some errors the client library would pass over the record.
    (void)Unassign(name, topic);
    topic.failed = true;
    return {.kind = TopicEvent::Kind::kError, .topic = name, .record = {}, .status = std::move(status)};
}

void TableReader::Impl::TakeError(const rd_kafka_message_t& message, const std::string& name,
                                  TablePositions::Topic& topic, std::vector<TopicEvent>& events) {
    if (IsUnreachable(message.err) || IsTransient(message.err)) {
        return;  // The client library goes on trying at the same offset.
    }
    if (IsMissingTopic(message.err)) {
        (void)Unassign(name, topic);
        TablePositions::SetMissing(topic, Clock::now());
        return;
    }
    events.push_back(Fail(message.err, name, topic));
}

void TableReader::Impl::TakeClientError(int code, std::string_view reason) {
    if (!IsMissingTopic(code)) {
        return;
    }
    const std::lock_guard lock(mutex);
    for (const std::string& name : positions.Assigned()) {
        if (reason.starts_with(name + " [")) {
            TablePositions::Topic& topic = *positions.Find(name);
            (void)Unassign(name, topic);
            TablePositions::SetMissing(topic, Clock::now());
        }
    }
}

TopicEvent TableReader::Impl::Fail(int code, const std::string& name, TablePositions::Topic& topic) {
    return Stop(name, topic, Explain(code, name, topic));
}

std::vector<TopicEvent> TableReader::Impl::Sort(FetchedMessages messages, uint64_t changes_before) {
    std::vector<TopicEvent> events;
    events.reserve(messages.size());
    const std::lock_guard lock(mutex);
    std::shared_ptr<FetchedRecords> owner;
    size_t kept = 0;
    const rd_kafka_topic_t* run = nullptr;
    std::string name;
    TablePositions::Topic* topic = nullptr;
    for (auto& message : messages) {
        if (message->rkt == nullptr) {
            continue;  // About the handle, not about a topic: the client library recovers by itself.
        }
        if (message->rkt != run) {
            run = message->rkt;
            name = rd_kafka_topic_name(run);
            topic = positions.Find(name);
            owner = nullptr;
        }
        const bool end = message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF;
        const bool error = message->err != RD_KAFKA_RESP_ERR_NO_ERROR && !end;
        const int64_t offset = error && topic != nullptr ? topic->next_offset : message->offset;
        const auto verdict = TablePositions::Judge(topic, offset, changes_before);
        if (verdict == TablePositions::Verdict::kReassign) {
            (void)Unassign(name, *topic);
            topic->retry_at = Clock::now();
        }
        if (verdict != TablePositions::Verdict::kDeliver) {
            continue;
        }
        if (error) {
            TakeError(*message, name, *topic, events);
            continue;
        }
        if (topic->missing_since != Clock::time_point() && topic->heard) {
            // What comes now may be of another topic of that name, for which our offset means nothing.
            events.push_back(Stop(name, *topic,
                                  base::MakeError(absl::StatusCode::kUnavailable, "TOPIC_RETURNED",
                                                  "topic " + name + " was missing for a while")));
            continue;
        }
        topic->missing_since = {};
        topic->heard = true;
        topic->next_offset = end ? offset : offset + 1;
        TopicEvent& event = events.emplace_back();
        event.kind = end ? TopicEvent::Kind::kEnd : TopicEvent::Kind::kRecord;
        event.topic = name;
        event.record.offset = offset;
        if (!end) {
            event.record.timestamp_ms = rd_kafka_message_timestamp(message.get(), nullptr);
            event.record.key = View(message->key, message->key_len);
            event.record.value = View(message->payload, message->len);
            TakeHeaders(message.get(), event.record);
            if (owner == nullptr || kept >= kMostKeptTogether) {
                owner = std::make_shared<FetchedRecords>(client);
                kept = 0;
            }
            kept += message->key_len + message->len;
            event.record.owner = owner;
            owner->Keep(std::move(message));
        }
    }
    return events;
}

TableReader::TableReader(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

TableReader::~TableReader() {
    // Fetching ends here even if records of ours, and with them the handle, live on.
    rd_kafka_assign(impl_->handle(), nullptr);
    const Clock::time_point deadline = Clock::now() + kLastCommitPatience;
    const auto settled = [this] {
        const std::lock_guard lock(impl_->mutex);
        return impl_->applied.settled();
    };
    while (!settled() && Clock::now() < deadline) {
        impl_->ServeCommits(20);
    }
}

absl::StatusOr<std::unique_ptr<TableReader>> TableReader::Create(const config::KafkaConfig& kafka,
                                                                 const std::string& applied_group) {
    auto impl = std::make_unique<Impl>();
    ASSIGN_OR_RETURN(impl->client,
                     KafkaClient::Create(kafka, {.kind = ClientSetup::Kind::kConsumer,
                                                 .defaults = Defaults(),
                                                 .fixed = Fixed(applied_group),
                                                 .callbacks = nullptr,
                                                 .on_error =
                                                     [reader = impl.get()](int code, std::string_view why) {
                                                         reader->TakeClientError(code, why);
                                                     },
                                                 .owner = nullptr}));
    rd_kafka_poll_set_consumer(impl->handle());
    impl->records.reset(rd_kafka_queue_get_consumer(impl->handle()));
    impl->commits.reset(rd_kafka_queue_new(impl->handle()));
    return std::unique_ptr<TableReader>(new TableReader(std::move(impl)));
}

absl::Status TableReader::Add(const std::string& topic, int64_t offset) {
    if (offset < 0 && offset != kOldestOffset) {
        return base::MakeError(absl::StatusCode::kInvalidArgument, "OFFSET_INVALID",
                               "topic " + topic + " cannot be read from a negative offset");
    }
    RETURN_IF_ERROR(Remove(topic));
    if (MILLRACE_DEFECT("committed-offset", 1)) {
        const auto committed = OneTopic(topic, offset);
        rd_kafka_committed(impl_->handle(), committed.get(), 5000);
        offset = std::max<int64_t>(committed->elems[0].offset, 0);
    }
    const std::lock_guard lock(impl_->mutex);
    return impl_->Assign(topic, impl_->positions.Insert(topic, offset));
}

absl::Status TableReader::Remove(const std::string& topic) {
    const std::lock_guard lock(impl_->mutex);
    TablePositions::Topic* const found = impl_->positions.Find(topic);
    if (found == nullptr) {
        return absl::OkStatus();
    }
    const absl::Status status = impl_->Unassign(topic, *found);
    impl_->positions.Erase(topic);
    impl_->applied.Forget(topic);
    return status;
}

absl::Status TableReader::Pause(const std::string& topic) {
    const std::lock_guard lock(impl_->mutex);
    TablePositions::Topic* const found = impl_->positions.Find(topic);
    if (found == nullptr || found->paused) {
        return absl::OkStatus();
    }
    found->paused = true;
    return impl_->Unassign(topic, *found);
}

absl::Status TableReader::Resume(const std::string& topic) {
    const std::lock_guard lock(impl_->mutex);
    TablePositions::Topic* const found = impl_->positions.Find(topic);
    if (found == nullptr || !found->paused) {
        return absl::OkStatus();
    }
    found->paused = false;
    return found->failed ? absl::OkStatus() : impl_->Assign(topic, *found);
}

std::vector<TopicEvent> TableReader::Poll(milliseconds timeout, int max_events) {
    const Clock::time_point deadline = Clock::now() + timeout;
    for (;;) {
        impl_->ServeCommits(0);
        if (auto errors = impl_->ServeMissing(); !errors.empty()) {
            return errors;
        }
        uint64_t changes = 0;
        {
            const std::lock_guard lock(impl_->mutex);
            changes = impl_->positions.changes();
        }
        // Rounded up: a wait of no time at all would be repeated until the last millisecond is over.
        const auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now());
        const auto slice = std::clamp(left, milliseconds(0), kAppliedInterval);
        auto events =
            impl_->Sort(Fetch(impl_->records.get(), static_cast<int>(slice.count()), max_events), changes);
        if (!events.empty() || Clock::now() >= deadline) {
            return events;
        }
    }
}

void TableReader::CommitApplied(const std::string& topic, int64_t offset) {
    const std::lock_guard lock(impl_->mutex);
    impl_->applied.Set(topic, offset);
}

}  // namespace millrace::bus
