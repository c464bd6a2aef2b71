/// librdkafka's error codes as absl::Status. Private to this folder. Not for: deciding what to do about them.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace millrace::bus {

/// Nothing at the other end: refused, timed out, name unknown.
[[nodiscard]] bool IsUnreachable(int code);
/// The broker answers but cannot do it now: elections, coordinators that move or load.
[[nodiscard]] bool IsTransient(int code);
[[nodiscard]] bool IsAuthentication(int code);
[[nodiscard]] bool IsMissingTopic(int code);
/// Another producer with our transactional id has been initialised.
[[nodiscard]] bool IsFenced(int code);

/// `code` is an rd_kafka_resp_err_t; `doing` says what was tried on which object ("creating topic x");
/// `brokers` are those configured; `detail` is what the connection last complained about, or "". Unavailable
/// KAFKA_UNREACHABLE / KAFKA_BUSY: retry. Unauthenticated KAFKA_AUTHENTICATION, PermissionDenied
/// KAFKA_PERMISSION, NotFound TOPIC_MISSING, InvalidArgument RECORD_TOO_LARGE, Aborted FENCED,
/// FailedPrecondition KAFKA_REFUSED for the rest that a person must look at.
absl::Status KafkaError(int code, std::string_view doing, std::string_view brokers,
                        std::string_view detail = {});

}  // namespace millrace::bus
