#include "connectors/postgres/destination_error.h"

#include <array>

#include "absl/strings/match.h"
#include "base/pq.h"
#include "base/status.h"
#include "base/text.h"
#include "connectors/postgres/refused_search.h"

namespace millrace::postgres {
namespace {

constexpr std::string_view kSqlState = "SQLSTATE_";

// What the server's message names after `words`.
std::string NameAfter(std::string_view words, std::string_view message) {
    const size_t start = message.find(words) + words.size();
    return std::string(message.substr(start, message.rfind(" (SQLSTATE") - start));
}

std::string GrantRemedy(std::string_view message, const Whereabouts& where) {
    struct Grant final {
        std::string_view object;
        std::string_view statement;
    };
    static constexpr std::array<Grant, 5> kGrants = {{
        {"permission denied to create temporary tables", "GRANT TEMPORARY ON DATABASE "},
        {"permission denied for database ", "GRANT CREATE ON DATABASE "},
        {"permission denied for schema ", "GRANT USAGE, CREATE ON SCHEMA "},
        {"permission denied for table ", "GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON TABLE "},
        {"must be owner of table ", "ALTER TABLE "},
    }};
    const std::string role = base::QuoteIdentifier(where.role);
    for (const Grant& grant : kGrants) {
        if (!absl::StrContains(base::ToAbsl(message), base::ToAbsl(grant.object))) {
            continue;
        }
        const bool owner = grant.statement == "ALTER TABLE ";
        const bool database = absl::EndsWith(base::ToAbsl(grant.statement), "DATABASE ");
        const std::string object = database ? where.database : NameAfter(grant.object, message);
        return base::Concat("Run as the owner in the destination: ", grant.statement,
                            base::QuoteIdentifier(object), owner ? " OWNER TO " : " TO ", role, ";");
    }
    return base::Concat("Give role ", role, " the right to create and write in the destination.");
}

}  // namespace

absl::Status DestinationError(const absl::Status& status, const Whereabouts& where, std::string_view column,
                              bool reading_values) {
    const std::string reason = base::ReasonOf(status);
    if (!absl::StartsWith(reason, base::ToAbsl(kSqlState))) {
        return status;
    }
    const std::string_view sqlstate = std::string_view(reason).substr(kSqlState.size());
    const std::string_view message = base::ToStd(status.message());
    using Code = absl::StatusCode;
    if (sqlstate == "55P03") {
        return base::MakeError(
            Code::kUnavailable, "TABLE_LOCKED",
            "another session holds a lock on the table for longer than we wait",
            "Look for long transactions in pg_stat_activity; it is tried again by itself.");
    }
    if (sqlstate == "25006") {
        return base::MakeError(Code::kUnavailable, "READ_ONLY", "the server accepts no writes at the moment",
                               "Point the destination at the primary server, or lift default_transaction_read_only there.");
    }
    if (sqlstate == "25P03") {
        return base::MakeError(Code::kUnavailable, "STALLED",
                               "the server ended a transaction that this worker did not go on with",
                               "It is tried again by itself; find what stopped the worker for so long.");
    }
    if (sqlstate == "57014") {
        return base::MakeError(Code::kUnavailable, "CANCELLED", "the statement was cancelled at the server",
                               "It is tried again by itself.");
    }
    if (sqlstate == "42501") {
        return base::MakeError(Code::kPermissionDenied, "PERMISSION_DENIED", message,
                               GrantRemedy(message, where));
    }
    if (sqlstate.substr(0, 2) == "22" || ((reading_values || !column.empty()) && IsValueState(sqlstate))) {
        return base::MakeError(Code::kFailedPrecondition, "VALUE_REJECTED",
                               column.empty()
                                   ? base::Concat("the destination refuses a value (SQLSTATE ", sqlstate, ")")
                                   : base::Concat("the destination refuses a value of column \"", column,
                                                  "\" (SQLSTATE ", sqlstate, ")"),
                               "Give the destination's column a type that holds the source's values.");
    }
    if (sqlstate == "23505") {
        return base::MakeError(
            Code::kFailedPrecondition, "KEY_CONFLICT", message,
            "Drop unique constraints that the source's table does not have, or empty the table "
            "if rows were written to it by others.");
    }
    if (sqlstate == "0A000" && absl::StrContains(base::ToAbsl(message), "foreign key")) {
        return base::MakeError(Code::kFailedPrecondition, "CONSTRAINT_VIOLATED", message,
                               "Drop the foreign keys that refer to the table in the destination: tables are written one by "
                               "one there.");
    }
    // A row without a partition breaks no constraint that has a name.
    if (sqlstate == "23514" && !absl::StrContains(base::ToAbsl(message), ", constraint ")) {
        return base::MakeError(Code::kFailedPrecondition, "CONSTRAINT_VIOLATED", message,
                               "Make a partition for these rows in the destination, or a default partition.");
    }
    if (sqlstate == "P0001") {
        return base::MakeError(Code::kFailedPrecondition, "TRIGGER_FAILED", message,
                               "Look at the triggers of the table in the destination: one of them refuses a row.");
    }
    if (sqlstate.substr(0, 2) == "23") {
        return base::MakeError(Code::kFailedPrecondition, "CONSTRAINT_VIOLATED", message,
                               "Drop constraints of the destination's table that are not its primary key.");
    }
    return status;
}

}  // namespace millrace::postgres
