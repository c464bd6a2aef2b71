/// What the bus tests against a real Kafka share: topics that are removed again, records written in one go.
/// Not for: production code.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "data-plane/bus/producer.h"
#include "data-plane/bus/topic_admin.h"
#include "gtest/gtest.h"
#include "tests/support/kafka.h"

namespace millrace::bus {

using namespace std::chrono_literals;

#define MILLRACE_ASSERT_OK(expr)                    \
    do {                                            \
        const absl::Status ok_status_ = (expr);     \
        ASSERT_TRUE(ok_status_.ok()) << ok_status_; \
    } while (false)

class BusTest : public testing::Test {
 protected:
    void SetUp() override {
        ASSERT_FALSE(HasFailure()) << "no broker is named";
        auto admin = TopicAdmin::Create(kafka_);
        ASSERT_TRUE(admin.ok()) << admin.status();
        admin_ = *std::move(admin);
        MILLRACE_ASSERT_OK(admin_->Ping(10s));
    }
    void TearDown() override {
        if (admin_ == nullptr) {
            return;
        }
        EXPECT_TRUE(admin_->DeleteTopics(made_, 10s).ok());
        EXPECT_TRUE(admin_->DeleteGroups(groups_, 20s).ok());
    }

    std::string MakeTopic(std::map<std::string, std::string> properties = TableTopicProperties()) {
        return MakeTopicNamed(testing_support::FreeKafkaName("bus-test"), std::move(properties));
    }
    std::string MakeTopicNamed(const std::string& name,
                               std::map<std::string, std::string> properties = TableTopicProperties()) {
        const absl::Status status = admin_->CreateTopics({{name, std::move(properties)}}, 15s);
        EXPECT_TRUE(status.ok()) << status;
        made_.push_back(name);
        return name;
    }

    /// A producer that has not touched the broker.
    std::unique_ptr<TransactionalProducer> MakeProducer(
        const std::string& id, TransactionalProducer::WhileWaiting while_waiting = nullptr) {
        auto producer = TransactionalProducer::Create(kafka_, id, std::move(while_waiting));
        EXPECT_TRUE(producer.ok()) << producer.status();
        return *std::move(producer);
    }
    std::unique_ptr<TransactionalProducer> MakeReadyProducer() {
        auto producer = MakeProducer(testing_support::FreeKafkaName("bus-test-txn"));
        const absl::Status status = producer->Init();
        EXPECT_TRUE(status.ok()) << status;
        return producer;
    }

    static absl::Status WriteAll(TransactionalProducer& producer, const std::string& topic,
                                 const std::vector<std::pair<std::string, std::string>>& records) {
        absl::Status status = producer.Begin();
        for (const auto& [key, value] : records) {
            status.Update(producer.Produce(topic, key, value, 1'700'000'000'000));
        }
        status.Update(producer.Commit());
        return status;
    }

    int64_t EndOf(const std::string& topic) {
        auto ends = admin_->EndOffsets({topic}, 10s);
        // A broker that is busy may not lead a new partition yet.
        for (int i = 0; i < 100 && absl::IsUnavailable(ends.status()); ++i) {
            std::this_thread::sleep_for(50ms);
            ends = admin_->EndOffsets({topic}, 10s);
        }
        EXPECT_TRUE(ends.ok()) << ends.status();
        return ends.ok() ? ends->at(topic) : -1;
    }

    /// Transaction markers come to the log shortly after Commit.
    void AwaitEnd(const std::string& topic, int64_t expected) {
        for (int i = 0; i < 500 && EndOf(topic) < expected; ++i) {
            std::this_thread::sleep_for(10ms);
        }
        EXPECT_EQ(EndOf(topic), expected);
    }

    config::KafkaConfig kafka_ = testing_support::TestKafka();
    std::unique_ptr<TopicAdmin> admin_;
    std::vector<std::string> made_;
    std::vector<std::string> groups_;
};

}  // namespace millrace::bus
