#include "data-plane/apply/error_policy.h"

#include <gtest/gtest.h>

#include "base/status.h"

namespace millrace::apply {
namespace {

using absl::StatusCode;

struct Case final {
    StatusCode code;
    const char* reason;
    Remediation remediation;
};

class ErrorPolicy : public testing::TestWithParam<Case> {};

TEST_P(ErrorPolicy, Decides) {
    const Case& c = GetParam();
    EXPECT_EQ(Decide(base::MakeError(c.code, c.reason, "something failed")), c.remediation);
}

INSTANTIATE_TEST_SUITE_P(
    Table, ErrorPolicy,
    testing::Values(Case{StatusCode::kUnavailable, "CONNECTION", Remediation::kRetry},
                    Case{StatusCode::kDeadlineExceeded, "TIMEOUT", Remediation::kRetry},
                    Case{StatusCode::kAborted, "SERIALIZATION", Remediation::kRetry},
                    Case{StatusCode::kCancelled, "CANCELLED", Remediation::kRetry},
                    Case{StatusCode::kAborted, "FENCED", Remediation::kTakeOverAgain},
                    Case{StatusCode::kResourceExhausted, "MEMORY", Remediation::kSmallerBatch},
                    Case{StatusCode::kFailedPrecondition, "COLUMN_TYPE", Remediation::kHold},
                    Case{StatusCode::kPermissionDenied, "PRIVILEGE", Remediation::kHold},
                    Case{StatusCode::kUnauthenticated, "PASSWORD", Remediation::kHold},
                    Case{StatusCode::kInvalidArgument, "OPTION_INVALID", Remediation::kHold},
                    Case{StatusCode::kNotFound, "DATABASE", Remediation::kHold},
                    Case{StatusCode::kInternal, "BUG", Remediation::kHold},
                    Case{StatusCode::kUnknown, "WHAT", Remediation::kHold},
                    Case{StatusCode::kDataLoss, "MALFORMED", Remediation::kFail},
                    Case{StatusCode::kOutOfRange, "OFFSET_GONE", Remediation::kFail},
                    Case{StatusCode::kUnavailable, "OFFSET_GONE", Remediation::kFail}));

TEST(ErrorPolicyWithoutReason, TheCodeDecides) {
    EXPECT_EQ(Decide(absl::UnavailableError("gone")), Remediation::kRetry);
    EXPECT_EQ(Decide(absl::DataLossError("bad")), Remediation::kFail);
}

}  // namespace
}  // namespace millrace::apply
