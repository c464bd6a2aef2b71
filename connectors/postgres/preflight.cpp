#include "connectors/postgres/preflight.h"

#include <memory>

#include "base/status.h"
#include "base/text.h"
#include "connectors/postgres/preflight_checks.h"

namespace millrace::postgres {

sdk::Findings RunPreflight(const base::PqParameters& parameters, const ObjectNames& names,
                           const sdk::TableSelection& selection) {
    sdk::Findings findings;
    const auto host = parameters.keywords.find("host");
    const std::string subject = host == parameters.keywords.end() ? "" : host->second;
    absl::StatusOr<std::unique_ptr<base::PqConnection>> session = ConnectSession(parameters);
    if (!session.ok()) {
        findings.push_back(sdk::FindingFromStatus(session.status(), subject));
        return findings;
    }
    // A catalogue query that waits this long waits for a lock that somebody must release first.
    if (const absl::Status limited = (*session)->Execute("SET statement_timeout = '8s'").status();
        !limited.ok()) {
        findings.push_back(sdk::FindingFromStatus(limited, subject));
        return findings;
    }
    AddOk(findings, "CONNECTION", "the server answers and admits the role", subject);
    CheckServer(**session, parameters, names, findings);
    CheckTables(**session, names, selection, findings);
    return findings;
}

}  // namespace millrace::postgres
