#include "connectors/sdk/finding.h"

#include <algorithm>
#include <utility>

#include "base/status.h"
#include "base/text.h"

namespace millrace::sdk {

Finding FindingFromStatus(const absl::Status& status, std::string subject) {
    Finding finding;
    finding.code = base::ReasonOf(status);
    finding.severity = status.ok() ? Severity::kOk : Severity::kCritical;
    finding.message = std::string(status.message());
    finding.remedy = base::RemedyOf(status);
    finding.subject = std::move(subject);
    return finding;
}

bool HasCritical(const Findings& findings) {
    return std::any_of(findings.begin(), findings.end(),
                       [](const Finding& finding) { return finding.severity == Severity::kCritical; });
}

absl::Status StatusFromFindings(const Findings& findings) {
    std::string reason;
    std::string message;
    std::string remedy;
    for (const Finding& finding : findings) {
        if (finding.severity != Severity::kCritical) {
            continue;
        }
        if (reason.empty()) {
            reason = finding.code;
        }
        base::Append(message, message.empty() ? "" : "; ", finding.message);
        if (!finding.remedy.empty()) {
            base::Append(remedy, remedy.empty() ? "" : " ", finding.remedy);
        }
    }
    if (!HasCritical(findings)) {
        return absl::OkStatus();
    }
    return base::MakeError(absl::StatusCode::kFailedPrecondition, reason, message, remedy);
}

}  // namespace millrace::sdk
