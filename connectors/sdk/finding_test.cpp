#include "connectors/sdk/finding.h"

#include <gtest/gtest.h>

#include "base/status.h"

namespace millrace::sdk {
namespace {

TEST(Finding, KeepsReasonMessageAndRemedyOfAStatus) {
    const Finding finding = FindingFromStatus(
        base::MakeError(absl::StatusCode::kUnavailable, "NET_DNS", "host x does not resolve", "Check it."),
        "x");
    EXPECT_EQ(finding.code, "NET_DNS");
    EXPECT_EQ(finding.severity, Severity::kCritical);
    EXPECT_EQ(finding.message, "host x does not resolve");
    EXPECT_EQ(finding.remedy, "Check it.");
    EXPECT_EQ(finding.subject, "x");
}

TEST(Finding, OkStatusIsNoCriticalFinding) {
    EXPECT_FALSE(HasCritical({FindingFromStatus(absl::OkStatus())}));
}

TEST(Findings, OnlyCriticalOnesBecomeAStatus) {
    const Findings findings = {
        {.code = "SLOW", .severity = Severity::kWarning, .message = "slow disk", .remedy = "Buy one."},
        {.code = "WAL_LEVEL",
         .severity = Severity::kCritical,
         .message = "wal_level is replica",
         .remedy = "Set it."},
        {.code = "ROLE", .severity = Severity::kCritical, .message = "no privilege", .remedy = ""},
        {.code = "KEY", .severity = Severity::kCritical, .message = "no key", .remedy = "Add one."},
    };
    EXPECT_TRUE(HasCritical(findings));
    const absl::Status status = StatusFromFindings(findings);
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(base::ReasonOf(status), "WAL_LEVEL");
    EXPECT_EQ(base::Describe(status), "wal_level is replica; no privilege; no key. Set it. Add one.");
}

TEST(Findings, WarningsAloneAreOk) {
    const Findings warnings = {{.code = "SLOW", .severity = Severity::kWarning, .message = "slow disk"}};
    EXPECT_FALSE(HasCritical(warnings));
    EXPECT_TRUE(StatusFromFindings(warnings).ok());
    EXPECT_TRUE(StatusFromFindings({}).ok());
}

}  // namespace
}  // namespace millrace::sdk
