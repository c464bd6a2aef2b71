#include "data-plane/bus/group_membership.h"

#include <librdkafka/rdkafka.h>

#include <utility>

#include "base/log.h"
#include "base/status.h"
#include "data-plane/bus/kafka_client.h"
#include "data-plane/bus/kafka_error.h"
#include "data-plane/bus/kafka_handle.h"

namespace millrace::bus {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

/// A broker that does not answer must not keep a worker from ending; the session then ends by itself.
constexpr milliseconds kLeavePatience{5000};
/// A pipeline that begins has no topics yet: the first ones are looked for more often than the client library does.
constexpr milliseconds kFirstLookInterval{200};
constexpr milliseconds kFirstLooks{20'000};
constexpr int kLookTimeoutMs = 100;

KafkaProperties Defaults(const std::string& member_name) {
    return {{"client.id", member_name},
            {"session.timeout.ms", "6000"},
            {"heartbeat.interval.ms", "1500"},
            {"topic.metadata.refresh.interval.ms", "2000"}};
}

KafkaProperties Fixed(const std::string& group) {
    return {{"group.id", group},
            {"partition.assignment.strategy", "cooperative-sticky"},
            {"enable.auto.commit", "false"},
            {"enable.auto.offset.store", "false"},
            {"enable.partition.eof", "false"},
            {"auto.offset.reset", "latest"},
            // Who polls this is alive for the group as long as its process is.
            {"max.poll.interval.ms", "3600000"}};
}

/// A table topic has one partition; whoever owns it owns the table.
std::vector<std::string> TopicsOf(const rd_kafka_topic_partition_list_t& partitions) {
    std::vector<std::string> topics;
    for (int i = 0; i < partitions.cnt; ++i) {
        if (partitions.elems[i].partition == 0) {
            topics.emplace_back(partitions.elems[i].topic);
        }
    }
    return topics;
}

}  // namespace

struct GroupMembership::Impl final {
    Listener* listener = nullptr;
    std::string group;
    std::unique_ptr<KafkaClient> client;
    /// First failure inside a callback; Poll returns it.
    absl::Status failure;
    bool ever_assigned = false;
    bool had_tables = false;
    Clock::time_point looks_end = Clock::now() + kFirstLooks;
    Clock::time_point next_look = Clock::now() + kFirstLookInterval;

    [[nodiscard]] rd_kafka_t* handle() const { return client->get(); }

    /// The broker knows the member, and it has not been assigned anything so far, not even nothing.
    [[nodiscard]] bool AwaitsFirstAssignment() const;
    /// Whoever asks for all topics lets the client library match its pattern anew.
    void LookForFirstTables();
    void Assigned(rd_kafka_topic_partition_list_t& partitions);
    void Revoked(rd_kafka_topic_partition_list_t& partitions);
    void Note(KafkaOwned<rd_kafka_error_s> error, const char* doing);
    absl::Status TakeMessage(const rd_kafka_message_t& message) const;

    static void OnRebalance(rd_kafka_t* handle, rd_kafka_resp_err_t code,
                            rd_kafka_topic_partition_list_t* partitions, void* opaque);
};

void GroupMembership::Impl::Note(KafkaOwned<rd_kafka_error_s> error, const char* doing) {
    if (error != nullptr) {
        failure.Update(client->Error(rd_kafka_error_code(error.get()), doing + (" of group " + group)));
    }
}

bool GroupMembership::Impl::AwaitsFirstAssignment() const {
    if (ever_assigned) {
        return false;
    }
    char* const member = rd_kafka_memberid(handle());
    const bool known = member != nullptr && *member != '\0';
    rd_kafka_mem_free(handle(), member);
    return known;
}

void GroupMembership::Impl::Assigned(rd_kafka_topic_partition_list_t& partitions) {
    ever_assigned = true;
    for (int i = 0; i < partitions.cnt; ++i) {
        partitions.elems[i].offset = RD_KAFKA_OFFSET_END;
    }
    Note(KafkaOwned<rd_kafka_error_s>(rd_kafka_incremental_assign(handle(), &partitions)), "taking tables");
    // At once, and for ever: records come by table_reader from the position in the destination.
    rd_kafka_pause_partitions(handle(), &partitions);
    if (auto topics = TopicsOf(partitions); !topics.empty()) {
        had_tables = true;
        listener->OnAssigned(topics);
    }
}

void GroupMembership::Impl::LookForFirstTables() {
    const Clock::time_point now = Clock::now();
    if (had_tables || now < next_look || now >= looks_end) {
        return;
    }
    next_look = now + kFirstLookInterval;
    const rd_kafka_metadata_t* metadata = nullptr;
    if (rd_kafka_metadata(handle(), /*all_topics=*/1, nullptr, &metadata, kLookTimeoutMs) ==
        RD_KAFKA_RESP_ERR_NO_ERROR) {
        rd_kafka_metadata_destroy(metadata);
    }
}

void GroupMembership::Impl::Revoked(rd_kafka_topic_partition_list_t& partitions) {
    if (auto topics = TopicsOf(partitions); !topics.empty()) {
        listener->OnRevoked(topics, rd_kafka_assignment_lost(handle()) != 0);
    }
    Note(KafkaOwned<rd_kafka_error_s>(rd_kafka_incremental_unassign(handle(), &partitions)),
         "giving tables back");
}

void GroupMembership::Impl::OnRebalance(rd_kafka_t* handle, rd_kafka_resp_err_t code,
                                        rd_kafka_topic_partition_list_t* partitions, void* opaque) {
    auto* self = static_cast<Impl*>(static_cast<ClientState*>(opaque)->owner());
    switch (code) {
        case RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS:
            self->Assigned(*partitions);
            break;
        case RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS:
            self->Revoked(*partitions);
            break;
        default:
            base::LogWarning("rebalance failed", {{"group", self->group}, {"error", rd_kafka_err2str(code)}});
            rd_kafka_assign(handle, nullptr);
            break;
    }
}

absl::Status GroupMembership::Impl::TakeMessage(const rd_kafka_message_t& message) const {
    const auto code = message.err;
    // A record that slipped in before the pause is dropped. A pattern that matches nothing yet is no error
    // either.
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR || IsUnreachable(code) || IsTransient(code) ||
        IsMissingTopic(code)) {
        return absl::OkStatus();
    }
    if (code == RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED) {
        base::LogWarning("the group was not served in time and took its tables back", {{"group", group}});
        return absl::OkStatus();  // The revocation comes by the callback; polling joins again.
    }
    return client->Error(code, "serving group " + group);
}

GroupMembership::GroupMembership(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

GroupMembership::~GroupMembership() {
    // A cooperative member that has chosen its assignor and was not assigned yet trips an assertion when librdkafka 2.0.2
    // destroys it, and takes the process down (confluentinc/librdkafka#4312). It leaves the group like any other.
    if (impl_->AwaitsFirstAssignment()) {
        impl_->client->LeaveBehind();
    }
    const KafkaOwned<rd_kafka_queue_s> queue(rd_kafka_queue_new(impl_->handle()));
    const KafkaOwned<rd_kafka_error_s> error(rd_kafka_consumer_close_queue(impl_->handle(), queue.get()));
    const Clock::time_point deadline = Clock::now() + kLeavePatience;
    while (error == nullptr && rd_kafka_consumer_closed(impl_->handle()) == 0 && Clock::now() < deadline) {
        rd_kafka_queue_poll_callback(queue.get(), 50);
    }
}

absl::StatusOr<std::unique_ptr<GroupMembership>> GroupMembership::Join(const config::KafkaConfig& kafka,
                                                                       const std::string& group,
                                                                       const std::string& pattern,
                                                                       const std::string& member_name,
                                                                       Listener& listener) {
    auto impl = std::make_unique<Impl>();
    impl->listener = &listener;
    impl->group = group;
    ASSIGN_OR_RETURN(impl->client, KafkaClient::Create(kafka, {.kind = ClientSetup::Kind::kConsumer,
                                                               .defaults = Defaults(member_name),
                                                               .fixed = Fixed(group),
                                                               .callbacks =
                                                                   [](rd_kafka_conf_t* conf) {
                                                                       rd_kafka_conf_set_rebalance_cb(
                                                                           conf, &Impl::OnRebalance);
                                                                   },
                                                               .on_error = nullptr,
                                                               .owner = impl.get()}));
    rd_kafka_poll_set_consumer(impl->handle());
    const KafkaOwned<rd_kafka_topic_partition_list_s> topics(rd_kafka_topic_partition_list_new(1));
    rd_kafka_topic_partition_list_add(topics.get(), pattern.c_str(), RD_KAFKA_PARTITION_UA);
    if (const auto code = rd_kafka_subscribe(impl->handle(), topics.get());
        code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return impl->client->Error(code, "joining group " + group);
    }
    return std::unique_ptr<GroupMembership>(new GroupMembership(std::move(impl)));
}

absl::Status GroupMembership::Poll(milliseconds timeout) {
    const KafkaOwned<rd_kafka_message_s> message(
        rd_kafka_consumer_poll(impl_->handle(), static_cast<int>(timeout.count())));
    impl_->LookForFirstTables();
    RETURN_IF_ERROR(std::exchange(impl_->failure, absl::OkStatus()));
    return message != nullptr ? impl_->TakeMessage(*message) : absl::OkStatus();
}

}  // namespace millrace::bus
