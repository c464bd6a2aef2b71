/// Result of a check, with what was seen and exactly what to do. Not for: errors of the change path (base/status.h).
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace millrace::sdk {

enum class Severity { kOk = 1, kInfo = 2, kWarning = 3, kCritical = 4 };

struct Finding final {
    std::string code{};
    Severity severity = Severity::kOk;
    /// One sentence: what was found, on which object.
    std::string message{};
    /// What to type or change; "" when nothing is to be done.
    std::string remedy{};
    /// Table, setting or host concerned.
    std::string subject{};
};

using Findings = std::vector<Finding>;

/// A failed connection or call as a critical finding: code = reason, remedy kept.
Finding FindingFromStatus(const absl::Status& status, std::string subject = {});

[[nodiscard]] bool HasCritical(const Findings& findings);

/// All critical findings as one FailedPrecondition (reason = first code), messages and remedies joined.
absl::Status StatusFromFindings(const Findings& findings);

}  // namespace millrace::sdk
