#include "data-plane/bus/kafka_client.h"

#include <librdkafka/rdkafka.h>

#include "base/status.h"
#include "data-plane/bus/kafka_error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace millrace::bus {
namespace {

using testing::HasSubstr;
using testing::Not;

absl::Status CreateWith(const KafkaProperties& properties) {
    config::KafkaConfig kafka;
    kafka.brokers = "127.0.0.1:1";
    kafka.properties = properties;
    return KafkaClient::Create(kafka, {.kind = ClientSetup::Kind::kConsumer,
                                       .defaults = {{"fetch.wait.max.ms", "50"}},
                                       .fixed = {{"isolation.level", "read_committed"}, {"group.id", "g"}},
                                       .callbacks = nullptr,
                                       .on_error = nullptr,
                                       .owner = nullptr})
        .status();
}

TEST(KafkaClient, PropertiesOfTheUserAreChecked) {
    EXPECT_TRUE(CreateWith({{"fetch.wait.max.ms", "10"}, {"client.rack", "a"}}).ok());
    const std::pair<std::string, std::string> refused[] = {{"isolation.level", "read_uncommitted"},
                                                           {"bootstrap.servers", "h:1"},
                                                           {"no.such.property", "s3cret"},
                                                           {"fetch.wait.max.ms", "s3cret"}};
    for (const auto& [name, value] : refused) {
        const absl::Status status = CreateWith({{name, value}});
        EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << name;
        EXPECT_EQ(base::ReasonOf(status), "KAFKA_PROPERTY");
        EXPECT_THAT(base::Describe(status), HasSubstr(name));
        EXPECT_THAT(base::Describe(status), Not(HasSubstr("s3cret")));
        EXPECT_FALSE(base::RemedyOf(status).empty());
    }
}

TEST(KafkaClient, BrokersMustBeNamed) {
    EXPECT_EQ(KafkaClient::Create({}, {}).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(KafkaClient, RefusedLoginIsToldApartFromSilence) {
    config::KafkaConfig kafka;
    kafka.brokers = "127.0.0.1:1";
    const auto client = KafkaClient::Create(kafka, {});
    ASSERT_TRUE(client.ok()) << client.status();
    (*client)->state().OnError(RD_KAFKA_RESP_ERR__TRANSPORT, "Connection refused");
    (*client)->state().OnError(RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, "1/1 brokers are down");
    const absl::Status silence = (*client)->Error(RD_KAFKA_RESP_ERR__TIMED_OUT, "reaching Kafka");
    EXPECT_EQ(silence.message(),
              "reaching Kafka: no Kafka broker answers at 127.0.0.1:1 (Connection refused)");
    (*client)->state().OnError(RD_KAFKA_RESP_ERR__AUTHENTICATION, "SASL PLAIN failed");
    const absl::Status refused = (*client)->Error(RD_KAFKA_RESP_ERR__TIMED_OUT, "reaching Kafka");
    EXPECT_EQ(refused.code(), absl::StatusCode::kUnauthenticated);
    EXPECT_EQ(base::ReasonOf(refused), "KAFKA_AUTHENTICATION");
}

TEST(KafkaError, CodesOfEachClass) {
    const auto reason = [](int code) { return base::ReasonOf(KafkaError(code, "doing", "h:1")); };
    EXPECT_EQ(reason(RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN), "KAFKA_UNREACHABLE");
    EXPECT_EQ(reason(RD_KAFKA_RESP_ERR__RESOLVE), "KAFKA_UNREACHABLE");
    EXPECT_EQ(reason(RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS), "KAFKA_BUSY");
    EXPECT_EQ(reason(RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED), "KAFKA_PERMISSION");
    EXPECT_EQ(reason(RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART), "TOPIC_MISSING");
    EXPECT_EQ(reason(RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE), "RECORD_TOO_LARGE");
    EXPECT_EQ(reason(RD_KAFKA_RESP_ERR_PRODUCER_FENCED), "FENCED");
    EXPECT_EQ(reason(RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR), "KAFKA_REFUSED");
}

}  // namespace
}  // namespace millrace::bus
