#include "data-plane/publish/error_policy.h"

#include <gtest/gtest.h>

#include "base/status.h"

namespace millrace::publish {
namespace {

using absl::StatusCode;

Remediation Of(StatusCode code, const char* reason, bool of_table = false) {
    return Decide(base::MakeError(code, reason, "x"), of_table);
}

TEST(PublishErrorPolicy, StandsByForAnotherPublisher) {
    for (const char* reason : {"SLOT_ACTIVE", "COPY_ELSEWHERE", "FENCED"}) {
        EXPECT_EQ(Of(StatusCode::kAborted, reason), Remediation::kStandBy) << reason;
    }
}

TEST(PublishErrorPolicy, HoldsTheTableWhoseRecordsCannotBeProduced) {
    EXPECT_EQ(Of(StatusCode::kInvalidArgument, "RECORD_TOO_LARGE", true), Remediation::kHoldTable);
    EXPECT_EQ(Of(StatusCode::kFailedPrecondition, kTopicRecreatedReason, true), Remediation::kHoldTable);
    EXPECT_EQ(Of(StatusCode::kPermissionDenied, "KAFKA_PERMISSION", true), Remediation::kHoldTable);
}

TEST(PublishErrorPolicy, BlocksWhereNoTableIsToBlame) {
    EXPECT_EQ(Of(StatusCode::kInvalidArgument, "RECORD_TOO_LARGE"), Remediation::kBlock);
    EXPECT_EQ(Of(StatusCode::kPermissionDenied, "KAFKA_PERMISSION"), Remediation::kBlock);
    EXPECT_EQ(Of(StatusCode::kFailedPrecondition, kSourceBehindReason, true), Remediation::kBlock);
    EXPECT_EQ(Of(StatusCode::kFailedPrecondition, "SLOT_LOST"), Remediation::kBlock);
    EXPECT_EQ(Of(StatusCode::kUnauthenticated, "AUTH_PASSWORD"), Remediation::kBlock);
}

TEST(PublishErrorPolicy, RetriesWhatPasses) {
    EXPECT_EQ(Of(StatusCode::kNotFound, kTopicMissingReason, true), Remediation::kRetry);
    EXPECT_EQ(Of(StatusCode::kUnavailable, "KAFKA_UNREACHABLE", true), Remediation::kRetry);
    EXPECT_EQ(Of(StatusCode::kAborted, "TXN_ABORTED", true), Remediation::kRetry);
    EXPECT_EQ(Of(StatusCode::kInternal, "KAFKA_FATAL"), Remediation::kRetry);
}

}  // namespace
}  // namespace millrace::publish
