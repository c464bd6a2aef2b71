#include "data-plane/bus/kafka_error.h"

#include <librdkafka/rdkafka.h>

#include "base/status.h"

namespace millrace::bus {
namespace {

using absl::StatusCode;
using base::MakeError;

bool IsPermission(int code) {
    switch (code) {
        case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
        case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
        case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
        case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
        case RD_KAFKA_RESP_ERR_DELEGATION_TOKEN_AUTHORIZATION_FAILED:
            return true;
        default:
            return false;
    }
}

bool IsTooLarge(int code) {
    return code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE || code == RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE ||
           code == RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE;
}

std::string Sentence(std::string_view doing, int code) {
    return std::string(doing) + ": Kafka says: " + rd_kafka_err2str(static_cast<rd_kafka_resp_err_t>(code));
}

}  // namespace

bool IsUnreachable(int code) {
    switch (code) {
        case RD_KAFKA_RESP_ERR__TRANSPORT:
        case RD_KAFKA_RESP_ERR__TIMED_OUT:
        case RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE:
        case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
        case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
        case RD_KAFKA_RESP_ERR__RESOLVE:
            return true;
        default:
            return false;
    }
}

bool IsTransient(int code) {
    switch (code) {
        case RD_KAFKA_RESP_ERR__WAIT_COORD:
        case RD_KAFKA_RESP_ERR__WAIT_CACHE:
        case RD_KAFKA_RESP_ERR__IN_PROGRESS:
        case RD_KAFKA_RESP_ERR__RETRY:
        case RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT:
        case RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE:
        case RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE:
        case RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE:
        case RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION:
        case RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION:
        case RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS:
        case RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE:
        case RD_KAFKA_RESP_ERR_NOT_COORDINATOR:
        case RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS:
        case RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND:
        case RD_KAFKA_RESP_ERR_NOT_CONTROLLER:
        case RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS:
        case RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR:
            return true;
        default:
            return false;
    }
}

bool IsAuthentication(int code) {
    return code == RD_KAFKA_RESP_ERR__AUTHENTICATION ||
           code == RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED || code == RD_KAFKA_RESP_ERR__SSL ||
           code == RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM ||
           code == RD_KAFKA_RESP_ERR_ILLEGAL_SASL_STATE;
}

bool IsMissingTopic(int code) {
    return code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || code == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
           code == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION;
}

bool IsFenced(int code) {
    return code == RD_KAFKA_RESP_ERR__FENCED || code == RD_KAFKA_RESP_ERR_PRODUCER_FENCED ||
           code == RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH;
}

absl::Status KafkaError(int code, std::string_view doing, std::string_view brokers, std::string_view detail) {
    if (IsUnreachable(code)) {
        std::string message = std::string(doing) + ": no Kafka broker answers at " + std::string(brokers);
        if (!detail.empty()) {
            message += " (" + std::string(detail) + ")";
        }
        return MakeError(StatusCode::kUnavailable, "KAFKA_UNREACHABLE", message,
                         "start Kafka, or correct the broker address that the worker was given");
    }
    if (IsTransient(code)) {
        return MakeError(StatusCode::kUnavailable, "KAFKA_BUSY", Sentence(doing, code));
    }
    if (IsAuthentication(code)) {
        return MakeError(
            StatusCode::kUnauthenticated, "KAFKA_AUTHENTICATION",
            std::string(doing) + ": Kafka at " + std::string(brokers) +
                " refuses the login or the TLS handshake",
            "correct security.protocol and the sasl.* and ssl.* properties that the worker was given");
    }
    if (IsPermission(code)) {
        return MakeError(StatusCode::kPermissionDenied, "KAFKA_PERMISSION", Sentence(doing, code),
                         "grant the worker's Kafka user the access lists listed under Access in docs/operations.md");
    }
    if (IsMissingTopic(code)) {
        return MakeError(StatusCode::kNotFound, "TOPIC_MISSING", Sentence(doing, code));
    }
    if (IsTooLarge(code)) {
        return MakeError(StatusCode::kInvalidArgument, "RECORD_TOO_LARGE",
                         std::string(doing) + ": a record exceeds the size that the topic takes",
                         "raise max.message.bytes of the topic, or exclude the table");
    }
    if (IsFenced(code)) {
        return MakeError(StatusCode::kAborted, "FENCED",
                         std::string(doing) + ": another producer has taken the transactional id over");
    }
    return MakeError(StatusCode::kFailedPrecondition, "KAFKA_REFUSED", Sentence(doing, code),
                     "see the message and the broker's log");
}

}  // namespace millrace::bus
