#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "base/status.h"
#include "base/text.h"
#include "connectors/postgres/preflight_checks.h"
#include "connectors/postgres/slot.h"

namespace millrace::postgres {
namespace {

using sdk::Severity;

constexpr int kOldestVersion = 120000;
constexpr int64_t kMegabytesOfOneGigabyte = 1024;

// One row; settings that a version lacks are NULL.
constexpr std::string_view kServerQuery = R"(
SELECT (SELECT setting FROM pg_settings WHERE name = 'wal_level'),
       (SELECT setting FROM pg_settings WHERE name = 'max_replication_slots'),
       (SELECT count(*) FROM pg_replication_slots),
       (SELECT setting FROM pg_settings WHERE name = 'max_wal_senders'),
       (SELECT count(*) FROM pg_stat_replication),
       pg_is_in_recovery(),
       (SELECT setting FROM pg_settings WHERE name = 'max_slot_wal_keep_size'),
       r.rolname, r.rolsuper OR r.rolreplication OR EXISTS (SELECT FROM pg_roles m WHERE m.rolname = 'rds_replication'
                                                            AND pg_has_role(m.oid, 'USAGE')),
       (SELECT setting FROM pg_settings WHERE name = 'server_version')
FROM pg_roles r WHERE r.rolname = current_user)";

constexpr std::string_view kOldTransactionQuery = R"(
SELECT 'the transaction of process ' || pid, extract(epoch FROM now() - xact_start)::bigint / 60,
       'SELECT pg_terminate_backend(' || pid || ')'
FROM pg_stat_activity WHERE xact_start < now() - interval '5 minutes' AND backend_type = 'client backend'
UNION ALL
SELECT 'prepared transaction ' || quote_literal(gid), extract(epoch FROM now() - prepared)::bigint / 60,
       'ROLLBACK PREPARED ' || quote_literal(gid)
FROM pg_prepared_xacts WHERE prepared < now() - interval '5 minutes'
ORDER BY 2 DESC LIMIT 1)";

struct Server final {
    int version = 0;
    std::string version_text;
    std::string wal_level;
    int64_t slots = 0;
    int64_t slots_used = 0;
    int64_t senders = 0;
    int64_t senders_used = 0;
    bool standby = false;
    std::optional<int64_t> slot_wal_megabytes;
    std::string role;
    bool replication = false;
};

absl::StatusOr<Server> ReadServer(base::PqConnection& session) {
    ASSIGN_OR_RETURN(const base::PqResult result, session.Execute(std::string(kServerQuery)));
    if (result.rows() != 1) {
        return base::MakeError(absl::StatusCode::kInternal, "PROTOCOL",
                               "the server does not know the session's role");
    }
    Server server;
    server.version = session.server_version();
    server.wal_level = result.Get(0, 0);
    server.slots = result.GetInt(0, 1);
    server.slots_used = result.GetInt(0, 2);
    server.senders = result.GetInt(0, 3);
    server.senders_used = result.GetInt(0, 4);
    server.standby = result.GetBool(0, 5);
    if (!result.IsNull(0, 6)) {
        server.slot_wal_megabytes = result.GetInt(0, 6);
    }
    server.role = result.Get(0, 7);
    server.replication = result.GetBool(0, 8);
    server.version_text = result.Get(0, 9);
    return server;
}

void CheckKind(const Server& server, sdk::Findings& findings) {
    if (server.version < kOldestVersion) {
        AddFinding(findings, "PG_VERSION", Severity::kCritical,
                   base::Concat("the server runs PostgreSQL ", server.version_text, ", which is too old"),
                   "Upgrade the server to PostgreSQL 12 or newer.");
    } else {
        AddOk(findings, "PG_VERSION", base::Concat("the server runs PostgreSQL ", server.version_text));
    }
    if (server.standby) {
        AddFinding(findings, "IS_STANDBY", Severity::kCritical,
                   "the server is a standby and cannot hold publications", "Give the host of the primary.");
    } else {
        AddOk(findings, "IS_STANDBY", "the server is a primary");
    }
    if (server.wal_level != "logical") {
        AddFinding(
            findings, "WAL_LEVEL", Severity::kCritical,
            base::Concat("wal_level is ", server.wal_level, ", but changes can be read only under logical"),
            "Run ALTER SYSTEM SET wal_level = 'logical'; and restart the server.", "wal_level");
    } else {
        AddOk(findings, "WAL_LEVEL", "wal_level is logical", "wal_level");
    }
}

void CheckCapacity(const Server& server, bool slot_exists, bool slot_active, sdk::Findings& findings) {
    const int64_t slots_needed = slot_exists ? 0 : 1;
    if (server.slots - server.slots_used < slots_needed) {
        AddFinding(findings, "SLOTS_FREE", Severity::kCritical,
                   base::Concat("all ", server.slots, " replication slots are taken"),
                   base::Concat("Run ALTER SYSTEM SET max_replication_slots = ", server.slots + 4,
                                "; and restart the server, or drop a slot that nothing uses."),
                   "max_replication_slots");
    } else {
        AddOk(findings, "SLOTS_FREE",
              base::Concat(server.slots_used, " of ", server.slots, " replication slots are taken"),
              "max_replication_slots");
    }
    const int64_t senders_needed = slot_active ? 0 : 1;
    if (server.senders - server.senders_used < senders_needed) {
        AddFinding(findings, "SENDERS_FREE", Severity::kCritical,
                   base::Concat("all ", server.senders, " WAL senders are busy"),
                   base::Concat("Run ALTER SYSTEM SET max_wal_senders = ", server.senders + 4,
                                "; and restart the server."),
                   "max_wal_senders");
    } else {
        AddOk(findings, "SENDERS_FREE",
              base::Concat(server.senders_used, " of ", server.senders, " WAL senders are busy"),
              "max_wal_senders");
    }
}

void CheckRetention(const Server& server, sdk::Findings& findings) {
    if (!server.slot_wal_megabytes || *server.slot_wal_megabytes < 0) {
        AddFinding(
            findings, "SLOT_WAL_LIMIT", Severity::kWarning,
            "nothing limits the log that the server keeps while the pipeline does not read",
            server.slot_wal_megabytes
                ? "Run ALTER SYSTEM SET max_slot_wal_keep_size to less than the free disk space; then SELECT "
                  "pg_reload_conf()."
                : "Watch the disk of the server: before PostgreSQL 13 there is no limit to set.",
            "max_slot_wal_keep_size");
    } else if (*server.slot_wal_megabytes < kMegabytesOfOneGigabyte) {
        AddFinding(findings, "SLOT_WAL_LIMIT", Severity::kWarning,
                   base::Concat("the server keeps only ", *server.slot_wal_megabytes,
                                " MB of log for a pipeline that does not read"),
                   "Run ALTER SYSTEM SET max_slot_wal_keep_size = '10GB'; then SELECT pg_reload_conf().",
                   "max_slot_wal_keep_size");
    } else {
        AddOk(findings, "SLOT_WAL_LIMIT",
              base::Concat("the server keeps up to ", *server.slot_wal_megabytes,
                           " MB of log for the pipeline"),
              "max_slot_wal_keep_size");
    }
}

void CheckRole(const Server& server, const base::PqParameters& parameters, sdk::Findings& findings) {
    if (!server.replication) {
        AddFinding(findings, "ROLE_REPLICATION", Severity::kCritical,
                   base::Concat("role ", server.role, " may not replicate"),
                   base::Concat("Run ALTER ROLE ", base::QuoteIdentifier(server.role), " REPLICATION;"),
                   server.role);
        return;
    }
    absl::StatusOr<std::unique_ptr<base::PqConnection>> replication = ConnectReplication(parameters);
    const absl::Status identified =
        replication.ok() ? (*replication)->Execute("IDENTIFY_SYSTEM").status() : replication.status();
    if (!identified.ok()) {
        sdk::Finding finding = sdk::FindingFromStatus(identified, server.role);
        finding.message = base::Concat("a replication connection failed: ", finding.message);
        if (finding.remedy.empty()) {
            finding.remedy = "Connect to the server itself; a connection pooler cannot replicate.";
        }
        findings.push_back(std::move(finding));
        return;
    }
    AddOk(findings, "ROLE_REPLICATION", base::Concat("role ", server.role, " may replicate"), server.role);
}

void CheckOldTransactions(base::PqConnection& session, sdk::Findings& findings) {
    const absl::StatusOr<base::PqResult> result = session.Execute(std::string(kOldTransactionQuery));
    if (!result.ok()) {
        findings.push_back(sdk::FindingFromStatus(result.status()));
    } else if (result->rows() > 0) {
        AddFinding(findings, "LONG_TXN", Severity::kWarning,
                   base::Concat(result->Get(0, 0), " has been open for ", result->Get(0, 1),
                                " minutes; a new replication slot waits for its end"),
                   base::Concat("Let it end, or run ", result->Get(0, 2), ";"));
    } else {
        AddOk(findings, "LONG_TXN", "no transaction has been open for long");
    }
}

}  // namespace

void CheckServer(base::PqConnection& session, const base::PqParameters& parameters, const ObjectNames& names,
                 sdk::Findings& findings) {
    const absl::StatusOr<Server> server = ReadServer(session);
    if (!server.ok()) {
        findings.push_back(sdk::FindingFromStatus(server.status()));
        return;
    }
    CheckKind(*server, findings);
    const absl::StatusOr<std::optional<SlotState>> slot = ReadSlot(session, names.slot);
    if (!slot.ok()) {
        findings.push_back(sdk::FindingFromStatus(slot.status(), names.slot));
    }
    const bool exists = slot.ok() && slot->has_value();
    CheckCapacity(*server, exists, exists && (*slot)->active, findings);
    CheckRetention(*server, findings);
    CheckRole(*server, parameters, findings);
    CheckOldTransactions(session, findings);
}

}  // namespace millrace::postgres
