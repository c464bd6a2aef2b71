#include "control-plane/api/forward.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/status.h"

namespace millrace::api {
namespace {

constexpr char kFindingsUrl[] = "millrace.dev/findings";

absl::Status ErrorOf(const v1::CommandResult& result) {
    const bool known =
        result.code() > 0 && result.code() <= static_cast<int>(absl::StatusCode::kUnauthenticated);
    const auto code = known ? static_cast<absl::StatusCode>(result.code()) : absl::StatusCode::kUnknown;
    const std::string message =
        result.message().empty() ? "The data plane could not do it." : result.message();
    return base::MakeError(code, result.reason(), message, result.remedy());
}

void AppendSentence(std::string& text, const std::string& sentence) {
    if (sentence.empty()) {
        return;
    }
    absl::StrAppend(&text, text.empty() ? "" : " ", sentence, sentence.back() == '.' ? "" : ".");
}

}  // namespace

absl::Duration CommandTime(absl::Time client_deadline) {
    return std::clamp(client_deadline - absl::Now(), absl::Milliseconds(100), kMaxCommandTime);
}

void Ask(session::Hub& hub, const std::string& plane, session::Choice choice, v1::Command command,
         absl::Time client_deadline, Done<v1::CommandResult> done) {
    hub.Dispatch(plane, choice, std::move(command), CommandTime(client_deadline),
                 [done = std::move(done)](absl::StatusOr<v1::CommandResult> result) {
                     if (result.ok() && result->code() != 0) {
                         done(ErrorOf(*result));
                     } else {
                         done(std::move(result));
                     }
                 });
}

absl::Status StatusOf(const google::protobuf::RepeatedPtrField<v1::Finding>& findings) {
    v1::CheckConnectorResponse sorted;
    *sorted.mutable_findings() = findings;
    std::stable_sort(sorted.mutable_findings()->begin(), sorted.mutable_findings()->end(),
                     [](const v1::Finding& a, const v1::Finding& b) { return a.severity() > b.severity(); });
    std::string message;
    std::string remedy;
    std::string reason;
    for (const v1::Finding& finding : sorted.findings()) {
        if (finding.severity() == v1::Finding::SEVERITY_CRITICAL) {
            reason = reason.empty() ? finding.code() : reason;
            AppendSentence(message, finding.message());
            AppendSentence(remedy, finding.remedy());
        }
    }
    if (message.empty() && reason.empty()) {
        return absl::OkStatus();
    }
    absl::Status status = base::MakeError(absl::StatusCode::kFailedPrecondition, reason, message, remedy);
    status.SetPayload(kFindingsUrl, absl::Cord(sorted.SerializeAsString()));
    return status;
}

std::string FindingsOf(const absl::Status& status, size_t max_bytes) {
    const auto payload = status.GetPayload(kFindingsUrl);
    v1::CheckConnectorResponse findings;
    if (!payload || !findings.ParseFromString(std::string(*payload))) {
        return "";
    }
    while (findings.ByteSizeLong() > max_bytes) {
        findings.mutable_findings()->RemoveLast();
    }
    return findings.SerializeAsString();
}

}  // namespace millrace::api
