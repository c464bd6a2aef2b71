/// The Kafka that tests run against (MILLRACE_TEST_KAFKA = host:port) and names that are free on it.
/// Not for: starting brokers.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <string>

#include "data-plane/config/pipeline_config.h"

namespace millrace::testing_support {

/// Fails the test when no server is named: a missing server is never a skip.
inline config::KafkaConfig TestKafka() {
    config::KafkaConfig kafka;
    const char* address = std::getenv("MILLRACE_TEST_KAFKA");
    EXPECT_NE(address, nullptr) << "set MILLRACE_TEST_KAFKA to host:port of a Kafka broker";
    kafka.brokers = address != nullptr ? address : "127.0.0.1:1";
    return kafka;
}

/// "<stem>-<unique>": usable as pipeline id, topic, group or transactional id.
inline std::string FreeKafkaName(const std::string& stem) {
    static std::atomic<int> counter{0};
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return stem + "-" + std::to_string(std::chrono::duration_cast<std::chrono::microseconds>(now).count()) +
           "-" + std::to_string(getpid()) + "-" + std::to_string(counter++);
}

}  // namespace millrace::testing_support
