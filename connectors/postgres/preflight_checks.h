/// The checks behind preflight.h, by subject. Not for: callers outside the preflight.
#pragma once

#include <string>
#include <string_view>

#include "base/pq.h"
#include "connectors/postgres/session.h"
#include "connectors/sdk/finding.h"
#include "connectors/sdk/source.h"

namespace millrace::postgres {

/// Version, settings, capacity, long transactions, the role and its replication connection.
void CheckServer(base::PqConnection& session, const base::PqParameters& parameters, const ObjectNames& names,
                 sdk::Findings& findings);

/// Selection, kinds, keys and rights of tables, and the publications they need.
void CheckTables(base::PqConnection& session, const ObjectNames& names, const sdk::TableSelection& selection,
                 sdk::Findings& findings);

inline void AddOk(sdk::Findings& findings, std::string_view code, std::string message,
                  std::string subject = {}) {
    findings.push_back({.code = std::string(code),
                        .severity = sdk::Severity::kOk,
                        .message = std::move(message),
                        .remedy = {},
                        .subject = std::move(subject)});
}

inline void AddFinding(sdk::Findings& findings, std::string_view code, sdk::Severity severity,
                       std::string message, std::string remedy, std::string subject = {}) {
    findings.push_back({.code = std::string(code),
                        .severity = severity,
                        .message = std::move(message),
                        .remedy = std::move(remedy),
                        .subject = std::move(subject)});
}

}  // namespace millrace::postgres
