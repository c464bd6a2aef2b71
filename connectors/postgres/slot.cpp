#include "connectors/postgres/slot.h"

#include <libpq-fe.h>
#include <poll.h>

#include <algorithm>
#include <thread>

#include "base/status.h"
#include "base/text.h"
#include "connectors/postgres/lsn.h"

namespace millrace::postgres {
namespace {

using Clock = std::chrono::steady_clock;

std::string SlotQuery(int server_version) {
    // What says that a slot is dead was added version by version.
    std::string lost = server_version >= 130000 ? "coalesce(s.wal_status, '') = 'lost'" : "false";
    if (server_version >= 160000) {
        lost += " OR coalesce(s.conflicting, false)";
    }
    if (server_version >= 170000) {
        lost += " OR s.invalidation_reason IS NOT NULL";
    }
    return base::Concat(
        "SELECT s.active, ", lost,
        ", s.confirmed_flush_lsn, s.restart_lsn, s.database IS NOT DISTINCT FROM current_database() "
        "AND s.plugin IS NOT DISTINCT FROM 'pgoutput', s.database, s.plugin "
        "FROM pg_replication_slots s WHERE s.slot_name = $1");
}

std::string CreateCommand(const std::string& slot, bool temporary, int server_version) {
    return base::Concat("CREATE_REPLICATION_SLOT ", base::QuoteIdentifier(slot),
                        temporary ? " TEMPORARY" : "", " LOGICAL pgoutput ",
                        server_version >= 150000 ? "(SNAPSHOT 'export')" : "EXPORT_SNAPSHOT");
}

// False when the answer is not there by `deadline`.
bool WaitForAnswer(PGconn* connection, Clock::time_point deadline) {
    while (::PQisBusy(connection) != 0) {
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
        if (left <= 0) {
            return false;
        }
        pollfd socket{.fd = ::PQsocket(connection), .events = POLLIN, .revents = 0};
        ::poll(&socket, 1, static_cast<int>(std::min<int64_t>(left, 1000)));
        if (::PQconsumeInput(connection) == 0) {
            // The broken connection is what PQgetResult will report.
            return true;
        }
    }
    return true;
}

absl::Status CreationError(const PGresult* result, const base::PqConnection& connection,
                           const std::string& slot) {
    const std::string what = base::Concat("creating replication slot ", slot);
    const char* sqlstate = result == nullptr ? nullptr : ::PQresultErrorField(result, PG_DIAG_SQLSTATE);
    if (sqlstate == nullptr) {
        return connection.LastError(what);
    }
    const std::string_view message = ::PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    if (message.find("wal_level") != std::string_view::npos) {
        return base::MakeError(absl::StatusCode::kFailedPrecondition, "WAL_LEVEL",
                               base::Concat(what, ": ", message),
                               "Run ALTER SYSTEM SET wal_level = 'logical'; and restart the server.");
    }
    const absl::Status status = base::SqlStateToStatus(sqlstate, message);
    const char* hint = ::PQresultErrorField(result, PG_DIAG_MESSAGE_HINT);
    return base::MakeError(status.code(), base::ReasonOf(status), base::Concat(what, ": ", message),
                           hint == nullptr ? "" : hint);
}

}  // namespace

absl::Status SlotActiveError(const std::string& slot) {
    return base::MakeError(absl::StatusCode::kAborted, "SLOT_ACTIVE",
                           base::Concat("another receiver holds replication slot ", slot),
                           "It is taken over as soon as the other receiver lets it go.");
}

absl::Status SlotLostError(const std::string& slot) {
    return base::MakeError(
        absl::StatusCode::kFailedPrecondition, "SLOT_LOST",
        base::Concat("the server has invalidated replication slot ", slot,
                     ": log that it still needed is gone"),
        "Copy the tables anew with `millrace pipeline resync`, and raise max_slot_wal_keep_size so that it does not happen again.");
}

absl::StatusOr<std::optional<SlotState>> ReadSlot(base::PqConnection& session, const std::string& slot) {
    ASSIGN_OR_RETURN(const base::PqResult result,
                     session.ExecuteParams(SlotQuery(session.server_version()), {slot}));
    if (result.rows() == 0) {
        return std::nullopt;
    }
    if (!result.GetBool(0, 4)) {
        return base::MakeError(
            absl::StatusCode::kFailedPrecondition, "SLOT_TAKEN",
            base::Concat("replication slot ", slot, " exists already, for database ", result.Get(0, 5),
                         " and plugin ", result.Get(0, 6)),
            base::Concat("Give the pipeline another name, or run SELECT pg_drop_replication_slot(",
                         base::QuoteLiteral(slot), ") if nothing uses that slot."));
    }
    return SlotState{.active = result.GetBool(0, 0),
                     .lost = result.GetBool(0, 1),
                     .confirmed = ParseLsn(result.Get(0, 2)).value_or(0),
                     .restart = ParseLsn(result.Get(0, 3)).value_or(0)};
}

absl::StatusOr<CreatedSlot> CreateSlot(base::PqConnection& replication, const std::string& slot,
                                       bool temporary, std::chrono::milliseconds patience) {
    PGconn* connection = replication.raw();
    const std::string command = CreateCommand(slot, temporary, replication.server_version());
    if (::PQsendQuery(connection, command.c_str()) != 1) {
        return replication.LastError(base::Concat("creating replication slot ", slot));
    }
    const bool answered = WaitForAnswer(connection, Clock::now() + patience);
    if (!answered) {
        replication.Cancel();
    }
    PGresult* raw = ::PQgetResult(connection);
    const base::PqResult result(raw);
    const bool created = ::PQresultStatus(raw) == PGRES_TUPLES_OK && result.rows() == 1;
    absl::Status failure = created ? absl::OkStatus() : CreationError(raw, replication, slot);
    while (PGresult* more = ::PQgetResult(connection)) {
        ::PQclear(more);
    }
    if (!created && !answered) {
        return base::MakeError(
            absl::StatusCode::kAborted, "SLOT_WAITING",
            base::Concat("replication slot ", slot, " could not be created within ", patience.count() / 1000,
                         " seconds, because transactions that were running before have not ended"),
            "Find them with SELECT pid, usename, xact_start FROM pg_stat_activity ORDER BY xact_start, and "
            "end them.");
    }
    RETURN_IF_ERROR(failure);
    const auto point = ParseLsn(result.Get(0, 1));
    if (!point) {
        return base::MakeError(absl::StatusCode::kInternal, "PROTOCOL",
                               "the server gave no consistent point");
    }
    return CreatedSlot{.consistent_point = *point, .snapshot = std::string(result.Get(0, 2))};
}

absl::Status DropSlot(base::PqConnection& session, const std::string& slot,
                      std::chrono::milliseconds patience) {
    const Clock::time_point deadline = Clock::now() + patience;
    while (true) {
        ASSIGN_OR_RETURN(const std::optional<SlotState> state, ReadSlot(session, slot));
        if (!state) {
            return absl::OkStatus();
        }
        if (!state->active) {
            const absl::Status dropped =
                session.ExecuteParams("SELECT pg_drop_replication_slot($1)", {slot}).status();
            // 55006: somebody was faster; 42704: somebody else dropped it.
            if (base::ReasonOf(dropped) != "SQLSTATE_55006" && base::ReasonOf(dropped) != "SQLSTATE_42704") {
                return base::Annotate(dropped, base::Concat("dropping replication slot ", slot));
            }
        }
        if (Clock::now() >= deadline) {
            return SlotActiveError(slot);
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
}

}  // namespace millrace::postgres
