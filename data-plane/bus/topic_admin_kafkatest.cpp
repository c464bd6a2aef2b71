#include "data-plane/bus/topic_admin.h"

#include "base/status.h"
#include "data-plane/bus/bus_fixture.h"
#include "gmock/gmock.h"

namespace millrace::bus {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class TopicAdminTest : public BusTest {};

TEST_F(TopicAdminTest, CreatesListsAndDeletes) {
    const std::string stem = testing_support::FreeKafkaName("bus-admin");
    const std::vector<TopicSpec> topics = {{stem + ".b", TableTopicProperties()},
                                           {stem + ".a", CompactedTopicProperties()}};
    MILLRACE_ASSERT_OK(admin_->CreateTopics(topics, 15s));
    EXPECT_TRUE(admin_->CreateTopics(topics, 15s).ok()) << "those that exist are left as they are";
    EXPECT_THAT(*admin_->ListTopics(stem + ".", 10s), ElementsAre(stem + ".a", stem + ".b"));
    EXPECT_EQ(EndOf(stem + ".a"), 0);
    MILLRACE_ASSERT_OK(admin_->DeleteTopics({stem + ".a", stem + ".b", stem + ".never"}, 15s));
    for (int i = 0; i < 50 && !admin_->ListTopics(stem, 10s)->empty(); ++i) {
        std::this_thread::sleep_for(50ms);
    }
    EXPECT_THAT(*admin_->ListTopics(stem, 10s), IsEmpty());
}

TEST_F(TopicAdminTest, MoreTopicsThanOneRequestMayName) {
    const std::string stem = testing_support::FreeKafkaName("bus-many");
    std::vector<TopicSpec> topics;
    std::vector<std::string> names;
    for (int i = 0; i < 1600; ++i) {
        names.push_back(stem + "." + std::to_string(i));
        topics.push_back({names.back(), TableTopicProperties()});
    }
    MILLRACE_ASSERT_OK(admin_->CreateTopics(topics, 60s));
    EXPECT_EQ(admin_->ListTopics(stem + ".", 20s)->size(), 1600U);
    const auto before = std::chrono::steady_clock::now();
    MILLRACE_ASSERT_OK(admin_->CreateTopics(topics, 60s));
    EXPECT_LT(std::chrono::steady_clock::now() - before, 10s) << "what exists is not asked for again";
    MILLRACE_ASSERT_OK(admin_->DeleteTopics(names, 60s));
}

TEST_F(TopicAdminTest, RefusedTopicSaysWhich) {
    kafka_.replication_factor = 5;
    const auto admin = TopicAdmin::Create(kafka_);
    const std::string name = testing_support::FreeKafkaName("bus-admin");
    const absl::Status status = (*admin)->CreateTopics({{name, {}}}, 10s);
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(name));
}

TEST_F(TopicAdminTest, RecordLimitsOfTopicsAndBrokersAreTold) {
    const std::string ours = MakeTopic();
    const std::string narrow = MakeTopic({{"max.message.bytes", "100000"}});
    const auto limits = admin_->MessageLimits({ours, narrow, "bus-admin-never"}, 10s);
    ASSERT_TRUE(limits.ok()) << limits.status();
    EXPECT_EQ(limits->size(), 2U) << "a missing topic has none";
    EXPECT_GE(limits->at(ours), MaxMessageBytes(kafka_));
    EXPECT_EQ(limits->at(narrow), 100'000);
    const auto fetch = admin_->ReplicaFetchLimits(10s);
    ASSERT_TRUE(fetch.ok()) << fetch.status();
    ASSERT_EQ(fetch->size(), 1U);
    EXPECT_GT(fetch->begin()->second, 0);
}

TEST_F(TopicAdminTest, ASmallerLimitComesFromTheKafkaProperties) {
    kafka_.properties["message.max.bytes"] = "500000";
    EXPECT_EQ(MaxMessageBytes(kafka_), 500'000);
    EXPECT_EQ(PartBytes(kafka_), 250'000);
    kafka_.properties["message.max.bytes"] = "many";
    EXPECT_EQ(MaxMessageBytes(kafka_), kDefaultMessageBytes) << "the client refuses it by name";
}

TEST_F(TopicAdminTest, EndOfMissingTopicIsNotFound) {
    const std::string there = MakeTopic();
    const std::string missing = testing_support::FreeKafkaName("bus-missing");
    const auto ends = admin_->EndOffsets({there, missing}, 10s);
    EXPECT_EQ(ends.status().code(), absl::StatusCode::kNotFound) << ends.status();
    EXPECT_THAT(std::string(ends.status().message()), HasSubstr(missing));
}

TEST_F(TopicAdminTest, EndCoversWhatIsCommittedAtOnce) {
    const std::string topic = MakeTopic();
    auto producer = MakeReadyProducer();
    for (int64_t round = 0; round < 20; ++round) {
        MILLRACE_ASSERT_OK(WriteAll(*producer, topic, {{"a", "1"}, {"b", "2"}}));
        EXPECT_GE(EndOf(topic), round * 3 + 2) << "the two records, though the marker may not be there yet";
    }
    AwaitEnd(topic, 60);
}

TEST_F(TopicAdminTest, NoBrokerIsUnreachable) {
    config::KafkaConfig nowhere;
    nowhere.brokers = "127.0.0.1:1";
    const auto admin = TopicAdmin::Create(nowhere);
    const auto before = std::chrono::steady_clock::now();
    const absl::Status status = (*admin)->Ping(1s);
    EXPECT_LT(std::chrono::steady_clock::now() - before, 3s);
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(base::ReasonOf(status), "KAFKA_UNREACHABLE");
    EXPECT_THAT(std::string(status.message()), HasSubstr("no Kafka broker answers at 127.0.0.1:1"));
    EXPECT_THAT(std::string(status.message()), HasSubstr("Connection refused"));
    EXPECT_FALSE(base::RemedyOf(status).empty());
    for (const absl::Status& other :
         {(*admin)->CreateTopics({{"t", {}}}, 500ms), (*admin)->DeleteTopics({"t"}, 500ms),
          (*admin)->DeleteGroups({"g"}, 500ms), (*admin)->ListTopics("t", 500ms).status(),
          (*admin)->EndOffsets({"t"}, 500ms).status(),
          (*admin)->CommittedOffsets("g", {"t"}, 500ms).status()}) {
        EXPECT_EQ(base::ReasonOf(other), "KAFKA_UNREACHABLE") << other;
    }
}

TEST_F(TopicAdminTest, GroupWithoutOffsetsIsEmpty) {
    const std::string topic = MakeTopic();
    const auto offsets = admin_->CommittedOffsets(testing_support::FreeKafkaName("bus-group"), {topic}, 10s);
    ASSERT_TRUE(offsets.ok()) << offsets.status();
    EXPECT_THAT(*offsets, IsEmpty());
    EXPECT_TRUE(admin_->DeleteGroups({testing_support::FreeKafkaName("bus-group")}, 10s).ok());
}

}  // namespace
}  // namespace millrace::bus
