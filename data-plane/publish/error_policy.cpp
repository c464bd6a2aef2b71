#include "data-plane/publish/error_policy.h"

#include <array>
#include <string>
#include <string_view>

#include "base/status.h"

namespace millrace::publish {
namespace {

struct Rule final {
    std::string_view reason;
    /// Only where the error came from a record of one table.
    bool of_table = false;
    Remediation remediation;
};

/// First that fits; the code decides where none does.
constexpr std::array kRules{
    Rule{"SLOT_ACTIVE", false, Remediation::kStandBy},
    Rule{"COPY_ELSEWHERE", false, Remediation::kStandBy},
    Rule{"FENCED", false, Remediation::kStandBy},
    Rule{"RECORD_TOO_LARGE", true, Remediation::kHoldTable},
    Rule{kTopicRecreatedReason, true, Remediation::kHoldTable},
    Rule{"KAFKA_PERMISSION", true, Remediation::kHoldTable},
    // The next session looks whether the topic is gone, or a broker only did not know of it.
    Rule{kTopicMissingReason, true, Remediation::kRetry},
};

}  // namespace

Remediation Decide(const absl::Status& status, bool of_table) {
    const std::string reason = base::ReasonOf(status);
    for (const Rule& rule : kRules) {
        if (rule.reason == reason && (of_table || !rule.of_table)) {
            return rule.remediation;
        }
    }
    switch (status.code()) {
        case absl::StatusCode::kFailedPrecondition:
        case absl::StatusCode::kPermissionDenied:
        case absl::StatusCode::kUnauthenticated:
        case absl::StatusCode::kInvalidArgument:
        case absl::StatusCode::kNotFound:
        case absl::StatusCode::kDataLoss:
            return Remediation::kBlock;
        default:
            return Remediation::kRetry;
    }
}

}  // namespace millrace::publish
