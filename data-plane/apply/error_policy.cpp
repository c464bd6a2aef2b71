#include "data-plane/apply/error_policy.h"

#include "base/status.h"

namespace millrace::apply {

Remediation Decide(const absl::Status& status) {
    const std::string reason = base::ReasonOf(status);
    if (reason == kFencedReason) {
        return Remediation::kTakeOverAgain;
    }
    // Looking again could find a topic that was made anew and has grown past our offset by then.
    if (reason == kOffsetGoneReason) {
        return Remediation::kFail;
    }
    switch (status.code()) {
        case absl::StatusCode::kUnavailable:
        case absl::StatusCode::kDeadlineExceeded:
        case absl::StatusCode::kAborted:
        case absl::StatusCode::kCancelled:
            return Remediation::kRetry;
        case absl::StatusCode::kResourceExhausted:
            return Remediation::kSmallerBatch;
        case absl::StatusCode::kDataLoss:
        case absl::StatusCode::kOutOfRange:
            return Remediation::kFail;
        default:
            return Remediation::kHold;
    }
}

}  // namespace millrace::apply
