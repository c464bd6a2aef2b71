// topic-admin BROKERS create|delete TOPIC: what an operator may do to a topic behind our back. Returns once it is done.
#include <chrono>
#include <cstdio>
#include <string>
#include <thread>

#include "base/status.h"
#include "data-plane/bus/topic_admin.h"

namespace {

constexpr std::chrono::seconds kTimeout{30};

absl::Status Run(const std::string& brokers, const std::string& verb, const std::string& topic) {
    millrace::config::KafkaConfig kafka;
    kafka.brokers = brokers;
    ASSIGN_OR_RETURN(const auto admin, millrace::bus::TopicAdmin::Create(kafka));
    if (verb == "create") {
        return admin->CreateTopics({{topic, millrace::bus::TableTopicProperties()}}, kTimeout);
    }
    RETURN_IF_ERROR(admin->DeleteTopics({topic}, kTimeout));
    const auto deadline = std::chrono::steady_clock::now() + kTimeout;
    while (std::chrono::steady_clock::now() < deadline) {
        ASSIGN_OR_RETURN(const auto left, admin->ListTopics(topic, kTimeout));
        if (left.empty() || left.front() != topic) {
            return absl::OkStatus();
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    return absl::DeadlineExceededError("the topic is still there");
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 4) {
        std::fputs("usage: topic-admin BROKERS create|delete TOPIC\n", stderr);
        return 2;
    }
    const absl::Status status = Run(argv[1], argv[2], argv[3]);
    if (!status.ok()) {
        std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
    }
    return status.ok() ? 0 : 1;
}
