#include "data-plane/bus/producer.h"

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <string>
#include <unordered_map>
#include <utility>

#include "base/failpoint.h"
#include "base/status.h"
#include "data-plane/bus/kafka_client.h"
#include "data-plane/bus/kafka_error.h"
#include "data-plane/bus/kafka_handle.h"
#include "data-plane/bus/record_limits.h"

namespace millrace::bus {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

/// How long librdkafka may block before WhileWaiting gets its turn.
constexpr int kSettleMs = 3000;
constexpr int kSliceMs = 300;
/// A full queue empties within milliseconds; longer naps would cost throughput.
constexpr int kQueueNapMs = 5;
constexpr milliseconds kWhileWaitingInterval{200};
/// After this a blocked call returns Unavailable, so that its caller can be seen to be stuck.
constexpr milliseconds kPatience{60'000};
constexpr int kProducesBetweenPolls = 256;

KafkaProperties Defaults() {
    return {
        {"client.id", "millrace-publisher"},
        {"linger.ms", "5"},
        {"compression.codec", "lz4"},
        {"message.max.bytes", std::to_string(kDefaultMessageBytes)},
        {"queue.buffering.max.kbytes", "32768"},
        {"queue.buffering.max.messages", "100000"},
        {"transaction.timeout.ms", "60000"},
        {"topic.metadata.propagation.max.ms", "10000"},
        // A topic that was deleted must not come back by being written to.
        {"allow.auto.create.topics", "false"},
        {"topic.metadata.refresh.fast.interval.ms", "50"},
        {"retry.backoff.ms", "50"},
    };
}

KafkaProperties Fixed(const std::string& transactional_id) {
    return {
        {"transactional.id", transactional_id},
        {"enable.idempotence", "true"},
        {"acks", "all"},
        // A commit is woken by the reports of its last records; without them it waits for the next of its 10
        // ms ticks.
        {"delivery.report.only.error", "false"},
    };
}

}  // namespace

struct TransactionalProducer::Impl final {
    struct KnownTopic final {
        KafkaOwned<rd_kafka_topic_s> handle;
        /// Of the last record that Kafka has confirmed.
        int64_t last_offset = -1;
    };

    std::string id;
    WhileWaiting while_waiting;
    std::unique_ptr<KafkaClient> client;
    /// Looked up here, because librdkafka searches its own list for every record.
    std::unordered_map<std::string, KnownTopic> topics;
    bool in_transaction = false;
    int produces_until_poll = kProducesBetweenPolls;
    /// First record of this transaction that could not be delivered.
    int delivery_code = 0;
    std::string delivery_topic;
    std::string recreated_topic;

    [[nodiscard]] rd_kafka_t* handle() const { return client->get(); }

    /// Runs `step` (a call of at most kSliceMs that can be repeated) until it is done, cannot be, or patience
    /// ends.
    template <typename Step>
    absl::Status Persist(std::string_view doing, Step step);
    absl::Status FromError(const rd_kafka_error_t& error, std::string_view doing) const;
    absl::Status TransactionAborted(const std::string& why, std::string_view doing) const;
    absl::StatusOr<rd_kafka_topic_t*> Topic(const std::string& name);
    absl::Status AwaitRoom(Clock::time_point since, Clock::time_point& last_turn);

    static void OnDelivery(rd_kafka_t* handle, const rd_kafka_message_t* message, void* opaque);
};

void TransactionalProducer::Impl::OnDelivery(rd_kafka_t* /*handle*/, const rd_kafka_message_t* message,
                                             void* opaque) {
    auto* self = static_cast<Impl*>(static_cast<ClientState*>(opaque)->owner());
    // Records purged by an abort, or by the first failure, say nothing of their own.
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        auto& topic = *static_cast<KnownTopic*>(rd_kafka_topic_opaque(message->rkt));
        if (message->offset >= 0 && message->offset <= topic.last_offset && self->recreated_topic.empty()) {
            self->recreated_topic = rd_kafka_topic_name(message->rkt);
        }
        topic.last_offset = std::max(topic.last_offset, message->offset);
        return;
    }
    const bool consequence =
        message->err == RD_KAFKA_RESP_ERR__PURGE_QUEUE || message->err == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT;
    if (!consequence && self->delivery_code == 0) {
        self->delivery_code = message->err;
        self->delivery_topic = rd_kafka_topic_name(message->rkt);
    }
}

absl::Status TransactionalProducer::Impl::TransactionAborted(const std::string& why,
                                                             std::string_view doing) const {
    if (delivery_code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE ||
        delivery_code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED) {
        return client->Error(delivery_code, "producing to topic " + delivery_topic);
    }
    std::string message = std::string(doing) + ": " + why;
    if (delivery_code != 0) {
        message += "; topic " + delivery_topic + ": " +
                   rd_kafka_err2str(static_cast<rd_kafka_resp_err_t>(delivery_code));
    }
    return base::MakeError(absl::StatusCode::kAborted, "TXN_ABORTED", message);
}

absl::Status TransactionalProducer::Impl::FromError(const rd_kafka_error_t& error,
                                                    std::string_view doing) const {
    const auto code = rd_kafka_error_code(&error);
    if (rd_kafka_error_is_fatal(&error) != 0 || code == RD_KAFKA_RESP_ERR__FATAL) {
        char reason[512] = "";
        const auto cause = rd_kafka_fatal_error(handle(), reason, sizeof(reason));
        if (IsFenced(cause) || IsFenced(code)) {
            return client->Error(RD_KAFKA_RESP_ERR__FENCED, doing);
        }
        return base::MakeError(absl::StatusCode::kInternal, "KAFKA_FATAL",
                               std::string(doing) + ": " + reason);
    }
    const bool refused = code == RD_KAFKA_RESP_ERR__STATE && in_transaction;
    if (rd_kafka_error_txn_requires_abort(&error) != 0 || code == RD_KAFKA_RESP_ERR__INCONSISTENT ||
        refused) {
        return TransactionAborted(rd_kafka_error_string(&error), doing);
    }
    if (code == RD_KAFKA_RESP_ERR__STATE) {
        return base::MakeError(absl::StatusCode::kFailedPrecondition, "KAFKA_STATE",
                               std::string(doing) + ": " + rd_kafka_error_string(&error));
    }
    return client->Error(code, doing);
}

template <typename Step>
absl::Status TransactionalProducer::Impl::Persist(std::string_view doing, Step step) {
    const Clock::time_point since = Clock::now();
    for (;;) {
        const KafkaOwned<rd_kafka_error_s> error(step());
        rd_kafka_poll(handle(), 0);
        if (error == nullptr) {
            return absl::OkStatus();
        }
        const auto code = rd_kafka_error_code(error.get());
        const bool again =
            rd_kafka_error_is_retriable(error.get()) != 0 || IsUnreachable(code) || IsTransient(code);
        const bool hopeless =
            rd_kafka_error_is_fatal(error.get()) != 0 || rd_kafka_error_txn_requires_abort(error.get()) != 0;
        if (!again || hopeless) {
            return FromError(*error, doing);
        }
        RETURN_IF_ERROR(while_waiting());
        if (Clock::now() - since >= kPatience) {
            return client->Error(code, doing);
        }
        if (!IsUnreachable(code)) {
            rd_kafka_poll(handle(), kQueueNapMs);  // Some refusals come back at once.
        }
    }
}

absl::StatusOr<rd_kafka_topic_t*> TransactionalProducer::Impl::Topic(const std::string& name) {
    KnownTopic& topic = topics[name];
    if (topic.handle == nullptr) {
        rd_kafka_topic_conf_t* const conf = rd_kafka_default_topic_conf_dup(handle());
        rd_kafka_topic_conf_set_opaque(conf, &topic);
        topic.handle.reset(rd_kafka_topic_new(handle(), name.c_str(), conf));
        if (topic.handle == nullptr) {
            rd_kafka_topic_conf_destroy(conf);
            topics.erase(name);
            return client->Error(rd_kafka_last_error(), "producing to topic " + name);
        }
    }
    return topic.handle.get();
}

absl::Status TransactionalProducer::Impl::AwaitRoom(Clock::time_point since, Clock::time_point& last_turn) {
    rd_kafka_poll(handle(), kQueueNapMs);
    const Clock::time_point now = Clock::now();
    if (now - last_turn >= kWhileWaitingInterval) {
        last_turn = now;
        RETURN_IF_ERROR(while_waiting());
    }
    return now - since < kPatience
               ? absl::OkStatus()
               : client->Error(RD_KAFKA_RESP_ERR__TIMED_OUT, "producing records of " + id);
}

TransactionalProducer::TransactionalProducer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
// A handle that is destroyed while a partition's registration with the transaction is under way trips an
// assertion in librdkafka 2.0.2 and takes the process down: let registrations end, then abort.
TransactionalProducer::~TransactionalProducer() {
    if (impl_ == nullptr || !impl_->in_transaction) {
        return;
    }
    rd_kafka_flush(impl_->handle(), kSettleMs);
    const KafkaOwned<rd_kafka_error_s> error(rd_kafka_abort_transaction(impl_->handle(), kSettleMs));
}

absl::StatusOr<std::unique_ptr<TransactionalProducer>> TransactionalProducer::Create(
    const config::KafkaConfig& kafka, const std::string& transactional_id, WhileWaiting while_waiting) {
    auto impl = std::make_unique<Impl>();
    impl->id = transactional_id;
    impl->while_waiting = while_waiting ? std::move(while_waiting) : [] { return absl::OkStatus(); };
    ASSIGN_OR_RETURN(
        impl->client,
        KafkaClient::Create(
            kafka,
            {.kind = ClientSetup::Kind::kProducer,
             .defaults = Defaults(),
             .fixed = Fixed(transactional_id),
             .callbacks = [](rd_kafka_conf_t* conf) { rd_kafka_conf_set_dr_msg_cb(conf, &Impl::OnDelivery); },
             .on_error = nullptr,
             .owner = impl.get()}));
    return std::unique_ptr<TransactionalProducer>(new TransactionalProducer(std::move(impl)));
}

absl::Status TransactionalProducer::Init() {
    MILLRACE_FAILPOINT("bus.before_init_transactions");
    return impl_->Persist("initialising transactions of " + impl_->id,
                          [this] { return rd_kafka_init_transactions(impl_->handle(), kSliceMs); });
}

absl::Status TransactionalProducer::Begin() {
    MILLRACE_FAILPOINT("bus.before_begin");
    RETURN_IF_ERROR(impl_->Persist("beginning a transaction of " + impl_->id,
                                   [this] { return rd_kafka_begin_transaction(impl_->handle()); }));
    MILLRACE_FAILPOINT("bus.after_begin");
    impl_->in_transaction = true;
    impl_->delivery_code = 0;
    impl_->delivery_topic.clear();
    return absl::OkStatus();
}

absl::Status TransactionalProducer::Produce(const std::string& topic, std::string_view key,
                                            std::string_view value, int64_t timestamp_ms,
                                            std::span<const RecordHeader> headers) {
    ASSIGN_OR_RETURN(rd_kafka_topic_t* const target, impl_->Topic(topic));
    if (--impl_->produces_until_poll <= 0) {
        impl_->produces_until_poll = kProducesBetweenPolls;
        rd_kafka_poll(impl_->handle(), 0);
    }
    rd_kafka_vu_t parts[6 + kMaxHeaders];
    parts[0].vtype = RD_KAFKA_VTYPE_RKT;
    parts[0].u.rkt = target;
    parts[1].vtype = RD_KAFKA_VTYPE_PARTITION;
    parts[1].u.i32 = 0;
    parts[2].vtype = RD_KAFKA_VTYPE_MSGFLAGS;
    parts[2].u.i = RD_KAFKA_MSG_F_COPY;
    parts[3].vtype = RD_KAFKA_VTYPE_KEY;
    // No key at all for append-only tables; no value at all would be a tombstone.
    parts[3].u.mem = {.ptr = key.empty() ? nullptr : const_cast<char*>(key.data()), .size = key.size()};
    parts[4].vtype = RD_KAFKA_VTYPE_VALUE;
    parts[4].u.mem = {.ptr = const_cast<char*>(value.empty() ? "" : value.data()), .size = value.size()};
    parts[5].vtype = RD_KAFKA_VTYPE_TIMESTAMP;
    parts[5].u.i64 = timestamp_ms;
    std::size_t count = 6;
    for (const RecordHeader& header : headers.first(std::min(headers.size(), kMaxHeaders))) {
        parts[count].vtype = RD_KAFKA_VTYPE_HEADER;
        // Names are literals: their ends are marked.
        parts[count].u.header = {.name = header.name.data(),
                                 .val = header.value.data(),
                                 .size = static_cast<ssize_t>(header.value.size())};
        ++count;
    }

    const Clock::time_point since = Clock::now();
    Clock::time_point last_turn = since;
    for (;;) {
        const KafkaOwned<rd_kafka_error_s> error(rd_kafka_produceva(impl_->handle(), parts, count));
        if (error == nullptr) {
            return absl::OkStatus();
        }
        const auto code = rd_kafka_error_code(error.get());
        if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL) {
            RETURN_IF_ERROR(impl_->AwaitRoom(since, last_turn));
            continue;
        }
        rd_kafka_poll(impl_->handle(), 0);
        if (IsMissingTopic(code)) {
            return impl_->TransactionAborted(rd_kafka_err2str(code), "producing to topic " + topic);
        }
        return impl_->FromError(*error, "producing to topic " + topic);
    }
}

absl::Status TransactionalProducer::Commit() {
    MILLRACE_FAILPOINT("bus.before_commit");
    const absl::Status status = impl_->Persist("committing a transaction of " + impl_->id, [this] {
        return rd_kafka_commit_transaction(impl_->handle(), kSliceMs);
    });
    if (status.ok()) {
        impl_->in_transaction = false;
    }
    return status;
}

absl::Status TransactionalProducer::Abort() {
    if (!impl_->in_transaction) {
        return absl::OkStatus();
    }
    const absl::Status status = impl_->Persist("aborting a transaction of " + impl_->id, [this] {
        return rd_kafka_abort_transaction(impl_->handle(), kSliceMs);
    });
    if (status.ok()) {
        impl_->in_transaction = false;
    }
    return status;
}

const std::string& TransactionalProducer::failed_topic() const {
    return impl_->delivery_topic;
}

const std::string& TransactionalProducer::recreated_topic() const {
    return impl_->recreated_topic;
}

bool TransactionalProducer::in_transaction() const {
    return impl_->in_transaction;
}

}  // namespace millrace::bus
