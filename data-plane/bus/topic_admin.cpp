#include "data-plane/bus/topic_admin.h"

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <functional>
#include <set>
#include <thread>
#include <utility>

#include "base/status.h"
#include "data-plane/bus/kafka_client.h"
#include "data-plane/bus/kafka_error.h"
#include "data-plane/bus/kafka_handle.h"

namespace millrace::bus {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

/// A controller refuses a request that would write some thousand records.
constexpr std::size_t kTopicsAtOnce = 500;
constexpr milliseconds kRetryPause{50};
constexpr char kMessageLimit[] = "max.message.bytes";
constexpr char kReplicaFetch[] = "replica.fetch.max.bytes";
/// Of a batch around its records.
constexpr int64_t kFrameBytes = 65'536;

/// What is left of a caller's timeout.
class Deadline final {
 public:
    explicit Deadline(milliseconds timeout) : at_(Clock::now() + timeout) {}
    [[nodiscard]] milliseconds left() const {
        return std::max(milliseconds(0), std::chrono::duration_cast<milliseconds>(at_ - Clock::now()));
    }
    /// For calls that take 0 as "do not wait at all".
    [[nodiscard]] int left_ms() const { return static_cast<int>(std::max<int64_t>(1, left().count())); }
    [[nodiscard]] bool passed() const { return left() <= milliseconds(0); }

 private:
    Clock::time_point at_;
};

KafkaOwned<rd_kafka_topic_partition_list_s> Partitions(const std::vector<std::string>& topics,
                                                       int64_t offset) {
    KafkaOwned<rd_kafka_topic_partition_list_s> list(
        rd_kafka_topic_partition_list_new(static_cast<int>(topics.size())));
    for (const std::string& topic : topics) {
        rd_kafka_topic_partition_list_add(list.get(), topic.c_str(), 0)->offset = offset;
    }
    return list;
}

/// A C array of objects of the admin interface, with the function that frees one.
template <typename T>
class AdminArray final {
 public:
    explicit AdminArray(void (*destroy)(T*)) : destroy_(destroy) {}
    ~AdminArray() { std::for_each(items_.begin(), items_.end(), destroy_); }
    AdminArray(const AdminArray&) = delete;
    AdminArray& operator=(const AdminArray&) = delete;
    void Add(T* item) { items_.push_back(item); }
    [[nodiscard]] T** data() { return items_.data(); }
    [[nodiscard]] std::size_t size() const { return items_.size(); }

 private:
    void (*destroy_)(T*);
    std::vector<T*> items_;
};

bool IsLed(const rd_kafka_metadata_topic_t& topic) {
    return topic.err == RD_KAFKA_RESP_ERR_NO_ERROR && topic.partition_cnt > 0 &&
           std::all_of(topic.partitions, topic.partitions + topic.partition_cnt,
                       [](const auto& partition) { return partition.leader >= 0; });
}

}  // namespace

std::map<std::string, std::string> TableTopicProperties(int64_t message_bytes) {
    return {{"cleanup.policy", "delete"},
            {"retention.ms", "604800000"},
            {kMessageLimit, std::to_string(message_bytes + kFrameBytes)},
            // Retention counts from arrival: changes that waited long in the source's log must not expire on
            // arrival, and a source clock that runs ahead must not make the broker refuse them.
            {"message.timestamp.type", "LogAppendTime"}};
}

std::map<std::string, std::string> CompactedTopicProperties(int64_t message_bytes) {
    return {{"cleanup.policy", "compact"},
            {kMessageLimit, std::to_string(message_bytes + kFrameBytes)},
            {"message.timestamp.type", "LogAppendTime"},
            // Position records come several times a second: small segments let the cleaner keep a reader's
            // work short.
            {"segment.bytes", "16777216"},
            {"min.cleanable.dirty.ratio", "0.1"}};
}

struct TopicAdmin::Impl final {
    int replication_factor = 1;
    std::unique_ptr<KafkaClient> client;

    [[nodiscard]] rd_kafka_t* handle() const { return client->get(); }

    /// The error of a call, after the connection errors that explain it were heard.
    absl::Status Error(int code, std::string_view doing) const {
        rd_kafka_poll(handle(), 0);
        return client->Error(code, doing);
    }

    /// Runs an admin request to its end; `submit` gets the options and the queue.
    absl::StatusOr<KafkaOwned<rd_kafka_op_s>> Run(
        rd_kafka_admin_op_t op, milliseconds timeout, std::string_view doing,
        const std::function<void(const rd_kafka_AdminOptions_t*, rd_kafka_queue_t*)>& submit) const {
        KafkaOwned<rd_kafka_AdminOptions_s> options(rd_kafka_AdminOptions_new(handle(), op));
        const int request_ms = static_cast<int>(std::clamp<int64_t>(timeout.count(), 1, 3'600'000));
        char unused[1];
        rd_kafka_AdminOptions_set_request_timeout(options.get(), request_ms, unused, sizeof(unused));
        KafkaOwned<rd_kafka_queue_s> queue(rd_kafka_queue_new(handle()));
        submit(options.get(), queue.get());
        // The request times out by itself; the margin only guards against never hearing of it.
        KafkaOwned<rd_kafka_op_s> event(rd_kafka_queue_poll(queue.get(), request_ms + 2000));
        if (event == nullptr) {
            return Error(RD_KAFKA_RESP_ERR__TIMED_OUT, doing);
        }
        if (const auto code = rd_kafka_event_error(event.get()); code != RD_KAFKA_RESP_ERR_NO_ERROR) {
            return Error(code, doing);
        }
        return event;
    }

    absl::StatusOr<KafkaOwned<const rd_kafka_metadata_t>> Metadata(const Deadline& deadline,
                                                                   std::string_view doing) const {
        const rd_kafka_metadata_t* metadata = nullptr;
        if (const auto code = rd_kafka_metadata(handle(), 1, nullptr, &metadata, deadline.left_ms());
            code != RD_KAFKA_RESP_ERR_NO_ERROR) {
            return Error(code, doing);
        }
        return KafkaOwned<const rd_kafka_metadata_t>(metadata);
    }

    /// Those that no broker leads yet.
    absl::StatusOr<std::vector<TopicSpec>> MissingTopics(const std::vector<TopicSpec>& topics,
                                                         const Deadline& deadline) const;
    absl::Status SubmitTopics(const std::vector<TopicSpec>& topics, const Deadline& deadline) const;
    absl::Status AwaitLeaders(const std::vector<TopicSpec>& topics, const Deadline& deadline) const;
    absl::Status DeleteSome(const std::vector<std::string>& topics, milliseconds timeout) const;
    absl::Status TryDeleteGroups(std::set<std::string>& groups, const Deadline& deadline) const;
    /// Value of one setting of each resource that exists and has it as a number.
    absl::StatusOr<std::map<std::string, int64_t>> Setting(rd_kafka_ResourceType_t type,
                                                           const std::vector<std::string>& names,
                                                           std::string_view setting,
                                                           const Deadline& deadline) const;
};

absl::StatusOr<std::vector<TopicSpec>> TopicAdmin::Impl::MissingTopics(const std::vector<TopicSpec>& topics,
                                                                       const Deadline& deadline) const {
    ASSIGN_OR_RETURN(const auto metadata, Metadata(deadline, "looking for topics"));
    std::set<std::string_view> led;
    for (int i = 0; i < metadata->topic_cnt; ++i) {
        if (IsLed(metadata->topics[i])) {
            led.insert(metadata->topics[i].topic);
        }
    }
    std::vector<TopicSpec> missing;
    std::copy_if(topics.begin(), topics.end(), std::back_inserter(missing),
                 [&](const TopicSpec& topic) { return !led.contains(topic.name); });
    return missing;
}

absl::StatusOr<std::map<std::string, int64_t>> TopicAdmin::Impl::Setting(
    rd_kafka_ResourceType_t type, const std::vector<std::string>& names, std::string_view setting,
    const Deadline& deadline) const {
    AdminArray<rd_kafka_ConfigResource_t> requests(&rd_kafka_ConfigResource_destroy);
    for (const std::string& name : names) {
        requests.Add(rd_kafka_ConfigResource_new(type, name.c_str()));
    }
    const std::string doing = "asking for " + std::string(setting);
    ASSIGN_OR_RETURN(
        auto event,
        Run(RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, deadline.left(), doing, [&](const auto* options, auto* queue) {
            rd_kafka_DescribeConfigs(handle(), requests.data(), requests.size(), options, queue);
        }));
    std::size_t count = 0;
    const auto** resources =
        rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(event.get()), &count);
    std::map<std::string, int64_t> values;
    for (std::size_t i = 0; i < count; ++i) {
        if (const auto code = rd_kafka_ConfigResource_error(resources[i]); IsMissingTopic(code)) {
            continue;
        } else if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
            return Error(code, doing + " of " + rd_kafka_ConfigResource_name(resources[i]));
        }
        std::size_t entries = 0;
        const auto** entry = rd_kafka_ConfigResource_configs(resources[i], &entries);
        for (std::size_t e = 0; e < entries; ++e) {
            const char* const text = rd_kafka_ConfigEntry_value(entry[e]);
            int64_t value = 0;
            if (text != nullptr && setting == rd_kafka_ConfigEntry_name(entry[e]) &&
                std::from_chars(text, text + std::strlen(text), value).ec == std::errc()) {
                values[rd_kafka_ConfigResource_name(resources[i])] = value;
            }
        }
    }
    return values;
}

absl::Status TopicAdmin::Impl::SubmitTopics(const std::vector<TopicSpec>& topics,
                                            const Deadline& deadline) const {
    AdminArray<rd_kafka_NewTopic_t> requests(&rd_kafka_NewTopic_destroy);
    for (const TopicSpec& topic : topics) {
        char reason[256] = "";
        rd_kafka_NewTopic_t* request =
            rd_kafka_NewTopic_new(topic.name.c_str(), 1, replication_factor, reason, sizeof(reason));
        if (request == nullptr) {
            return base::MakeError(absl::StatusCode::kInvalidArgument, "TOPIC_INVALID",
                                   "topic " + topic.name + " cannot be made: " + reason);
        }
        requests.Add(request);
        for (const auto& [name, value] : topic.properties) {
            rd_kafka_NewTopic_set_config(request, name.c_str(), value.c_str());
        }
    }
    ASSIGN_OR_RETURN(auto event, Run(RD_KAFKA_ADMIN_OP_CREATETOPICS, deadline.left(), "creating topics",
                                     [&](const auto* options, auto* queue) {
                                         rd_kafka_CreateTopics(handle(), requests.data(), requests.size(),
                                                               options, queue);
                                     }));
    std::size_t count = 0;
    const auto** results =
        rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event.get()), &count);
    for (std::size_t i = 0; i < count; ++i) {
        const auto code = rd_kafka_topic_result_error(results[i]);
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR || code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) {
            continue;
        }
        std::string doing = std::string("creating topic ") + rd_kafka_topic_result_name(results[i]);
        if (const char* detail = rd_kafka_topic_result_error_string(results[i]); detail != nullptr) {
            doing += std::string(" (") + detail + ")";
        }
        return Error(code, doing);
    }
    return absl::OkStatus();
}

absl::Status TopicAdmin::Impl::AwaitLeaders(const std::vector<TopicSpec>& topics,
                                            const Deadline& deadline) const {
    std::set<std::string> waiting;
    for (const TopicSpec& topic : topics) {
        waiting.insert(topic.name);
    }
    for (;;) {
        ASSIGN_OR_RETURN(const auto metadata, Metadata(deadline, "waiting for the leaders of new topics"));
        for (int i = 0; i < metadata->topic_cnt; ++i) {
            if (IsLed(metadata->topics[i])) {
                waiting.erase(metadata->topics[i].topic);
            }
        }
        if (waiting.empty()) {
            return absl::OkStatus();
        }
        if (deadline.passed()) {
            return base::MakeError(absl::StatusCode::kUnavailable, "KAFKA_BUSY",
                                   "topic " + *waiting.begin() + " has no leader yet");
        }
        std::this_thread::sleep_for(kRetryPause);
    }
}

absl::Status TopicAdmin::Impl::TryDeleteGroups(std::set<std::string>& groups,
                                               const Deadline& deadline) const {
    AdminArray<rd_kafka_DeleteGroup_t> requests(&rd_kafka_DeleteGroup_destroy);
    for (const std::string& group : groups) {
        requests.Add(rd_kafka_DeleteGroup_new(group.c_str()));
    }
    ASSIGN_OR_RETURN(auto event, Run(RD_KAFKA_ADMIN_OP_DELETEGROUPS, deadline.left(),
                                     "deleting consumer groups", [&](const auto* options, auto* queue) {
                                         rd_kafka_DeleteGroups(handle(), requests.data(), requests.size(),
                                                               options, queue);
                                     }));
    std::size_t count = 0;
    const auto** results =
        rd_kafka_DeleteGroups_result_groups(rd_kafka_event_DeleteGroups_result(event.get()), &count);
    absl::Status status;
    for (std::size_t i = 0; i < count; ++i) {
        const rd_kafka_error_t* error = rd_kafka_group_result_error(results[i]);
        const std::string group = rd_kafka_group_result_name(results[i]);
        const auto code = error == nullptr ? RD_KAFKA_RESP_ERR_NO_ERROR : rd_kafka_error_code(error);
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR || code == RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND) {
            groups.erase(group);
        } else if (code == RD_KAFKA_RESP_ERR_NON_EMPTY_GROUP) {
            // A member that died is counted until its session ends: worth waiting for.
            status = base::MakeError(absl::StatusCode::kUnavailable, "GROUP_IN_USE",
                                     "consumer group " + group + " still has members",
                                     "stop them, then try again");
        } else {
            status.Update(Error(code, "deleting consumer group " + group));
        }
    }
    return status;
}

TopicAdmin::TopicAdmin(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TopicAdmin::~TopicAdmin() = default;

absl::StatusOr<std::unique_ptr<TopicAdmin>> TopicAdmin::Create(const config::KafkaConfig& kafka) {
    auto impl = std::make_unique<Impl>();
    impl->replication_factor = kafka.replication_factor;
    // A consumer handle, because a producer could not ask for high watermarks.
    ASSIGN_OR_RETURN(impl->client,
                     KafkaClient::Create(kafka, {.kind = ClientSetup::Kind::kConsumer,
                                                 .defaults = {{"client.id", "millrace-admin"}},
                                                 .fixed = {{"isolation.level", "read_uncommitted"}},
                                                 .callbacks = nullptr,
                                                 .on_error = nullptr,
                                                 .owner = nullptr}));
    return std::unique_ptr<TopicAdmin>(new TopicAdmin(std::move(impl)));
}

absl::Status TopicAdmin::Ping(milliseconds timeout) {
    return impl_->Metadata(Deadline(timeout), "reaching Kafka").status();
}

absl::Status TopicAdmin::CreateTopics(const std::vector<TopicSpec>& topics, milliseconds timeout) {
    if (topics.empty()) {
        return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const std::vector<TopicSpec> missing, impl_->MissingTopics(topics, Deadline(timeout)));
    for (size_t begin = 0; begin < missing.size(); begin += kTopicsAtOnce) {
        const auto first = missing.begin() + static_cast<ptrdiff_t>(begin);
        const std::vector<TopicSpec> some(
            first, first + static_cast<ptrdiff_t>(std::min(kTopicsAtOnce, missing.size() - begin)));
        const Deadline deadline(timeout);
        RETURN_IF_ERROR(impl_->SubmitTopics(some, deadline));
        RETURN_IF_ERROR(impl_->AwaitLeaders(some, deadline));
    }
    return absl::OkStatus();
}

absl::Status TopicAdmin::DeleteTopics(const std::vector<std::string>& topics, milliseconds timeout) {
    for (size_t begin = 0; begin < topics.size(); begin += kTopicsAtOnce) {
        const auto first = topics.begin() + static_cast<ptrdiff_t>(begin);
        RETURN_IF_ERROR(impl_->DeleteSome(
            {first, first + static_cast<ptrdiff_t>(std::min(kTopicsAtOnce, topics.size() - begin))}, timeout));
    }
    return absl::OkStatus();
}

absl::Status TopicAdmin::Impl::DeleteSome(const std::vector<std::string>& topics, milliseconds timeout) const {
    AdminArray<rd_kafka_DeleteTopic_t> requests(&rd_kafka_DeleteTopic_destroy);
    for (const std::string& topic : topics) {
        requests.Add(rd_kafka_DeleteTopic_new(topic.c_str()));
    }
    ASSIGN_OR_RETURN(auto event, Run(RD_KAFKA_ADMIN_OP_DELETETOPICS, timeout, "deleting topics",
                                     [&](const auto* options, auto* queue) {
                                         rd_kafka_DeleteTopics(handle(), requests.data(), requests.size(),
                                                               options, queue);
                                     }));
    std::size_t count = 0;
    const auto** results =
        rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event.get()), &count);
    for (std::size_t i = 0; i < count; ++i) {
        const auto code = rd_kafka_topic_result_error(results[i]);
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR && code != RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) {
            return Error(code, std::string("deleting topic ") + rd_kafka_topic_result_name(results[i]));
        }
    }
    return absl::OkStatus();
}

absl::Status TopicAdmin::DeleteGroups(const std::vector<std::string>& groups, milliseconds timeout) {
    const Deadline deadline(timeout);
    std::set<std::string> left(groups.begin(), groups.end());
    absl::Status status;
    while (!left.empty()) {
        status = impl_->TryDeleteGroups(left, deadline);
        if (status.ok() || status.code() != absl::StatusCode::kUnavailable || deadline.passed()) {
            return status;
        }
        std::this_thread::sleep_for(4 * kRetryPause);
    }
    return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> TopicAdmin::ListTopics(const std::string& name_prefix,
                                                                milliseconds timeout) {
    ASSIGN_OR_RETURN(const auto metadata, impl_->Metadata(Deadline(timeout), "listing topics"));
    std::vector<std::string> names;
    for (int i = 0; i < metadata->topic_cnt; ++i) {
        if (std::string name = metadata->topics[i].topic; name.starts_with(name_prefix)) {
            names.push_back(std::move(name));
        }
    }
    std::sort(names.begin(), names.end());
    return names;
}

absl::StatusOr<std::map<std::string, int64_t>> TopicAdmin::MessageLimits(
    const std::vector<std::string>& topics, milliseconds timeout) {
    if (topics.empty()) {
        return std::map<std::string, int64_t>{};
    }
    return impl_->Setting(RD_KAFKA_RESOURCE_TOPIC, topics, kMessageLimit, Deadline(timeout));
}

absl::StatusOr<std::map<std::string, int64_t>> TopicAdmin::ReplicaFetchLimits(milliseconds timeout) {
    const Deadline deadline(timeout);
    std::map<std::string, int64_t> limits;
    std::vector<std::string> brokers;
    {
        ASSIGN_OR_RETURN(const auto metadata, impl_->Metadata(deadline, "listing brokers"));
        for (int i = 0; i < metadata->broker_cnt; ++i) {
            brokers.push_back(std::to_string(metadata->brokers[i].id));
        }
    }
    for (const std::string& broker : brokers) {
        // A broker answers for itself alone: one request each.
        ASSIGN_OR_RETURN(const auto of_one,
                         impl_->Setting(RD_KAFKA_RESOURCE_BROKER, {broker}, kReplicaFetch, deadline));
        limits.insert(of_one.begin(), of_one.end());
    }
    return limits;
}

absl::StatusOr<std::map<std::string, int64_t>> TopicAdmin::EndOffsets(const std::vector<std::string>& topics,
                                                                      milliseconds timeout) {
    std::map<std::string, int64_t> ends;
    if (topics.empty()) {
        return ends;
    }
    const Deadline deadline(timeout);
    // Timestamp -1 asks ListOffsets for the latest one: a single request for each broker.
    const auto list = Partitions(topics, RD_KAFKA_OFFSET_END);
    const auto code = rd_kafka_offsets_for_times(impl_->handle(), list.get(), deadline.left_ms());
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR && !IsMissingTopic(code)) {
        return impl_->Error(code, "asking for the ends of " + std::to_string(topics.size()) + " topics");
    }
    for (int i = 0; i < list->cnt; ++i) {
        const rd_kafka_topic_partition_t& partition = list->elems[i];
        if (partition.err != RD_KAFKA_RESP_ERR_NO_ERROR || partition.offset < 0) {
            const int why = partition.err != RD_KAFKA_RESP_ERR_NO_ERROR ? partition.err : code;
            return impl_->Error(why != 0 ? why : RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE,
                                std::string("asking for the end of topic ") + partition.topic);
        }
        ends[partition.topic] = partition.offset;
    }
    return ends;
}

absl::StatusOr<std::map<std::string, int64_t>> TopicAdmin::CommittedOffsets(
    const std::string& group, const std::vector<std::string>& topics, milliseconds timeout) {
    std::map<std::string, int64_t> offsets;
    if (topics.empty()) {
        return offsets;
    }
    AdminArray<rd_kafka_ListConsumerGroupOffsets_t> requests(&rd_kafka_ListConsumerGroupOffsets_destroy);
    requests.Add(rd_kafka_ListConsumerGroupOffsets_new(group.c_str(),
                                                       Partitions(topics, RD_KAFKA_OFFSET_INVALID).get()));
    const std::string doing = "asking for the offsets of consumer group " + group;
    ASSIGN_OR_RETURN(auto event, impl_->Run(RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS, timeout, doing,
                                            [&](const auto* options, auto* queue) {
                                                rd_kafka_ListConsumerGroupOffsets(
                                                    impl_->handle(), requests.data(), requests.size(),
                                                    options, queue);
                                            }));
    std::size_t count = 0;
    const auto** results = rd_kafka_ListConsumerGroupOffsets_result_groups(
        rd_kafka_event_ListConsumerGroupOffsets_result(event.get()), &count);
    for (std::size_t i = 0; i < count; ++i) {
        if (const rd_kafka_error_t* error = rd_kafka_group_result_error(results[i]); error != nullptr) {
            return impl_->Error(rd_kafka_error_code(error), doing);
        }
        const auto* list = rd_kafka_group_result_partitions(results[i]);
        for (int p = 0; list != nullptr && p < list->cnt; ++p) {
            const rd_kafka_topic_partition_t& partition = list->elems[p];
            if (partition.err == RD_KAFKA_RESP_ERR_NO_ERROR && partition.offset >= 0) {
                offsets[partition.topic] = partition.offset;
            }
        }
    }
    return offsets;
}

}  // namespace millrace::bus
