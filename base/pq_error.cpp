#include "base/pq_error.h"

#include <libpq-fe.h>

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_replace.h"
#include "base/status.h"
#include "base/text.h"

namespace millrace::base {
namespace {

absl::StatusCode CodeOf(std::string_view sqlstate) {
    static constexpr std::array<std::pair<std::string_view, absl::StatusCode>, 12> kByPrefix = {{
        {"25P03", absl::StatusCode::kUnavailable},
        {"55P03", absl::StatusCode::kAborted},
        {"42501", absl::StatusCode::kPermissionDenied},
        {"42P01", absl::StatusCode::kNotFound},
        {"57014", absl::StatusCode::kDeadlineExceeded},
        {"08", absl::StatusCode::kUnavailable},
        {"57P", absl::StatusCode::kUnavailable},
        {"40", absl::StatusCode::kAborted},
        {"53", absl::StatusCode::kResourceExhausted},
        {"28", absl::StatusCode::kUnauthenticated},
        {"3D", absl::StatusCode::kNotFound},
        {"3F", absl::StatusCode::kNotFound},
    }};
    for (const auto& [prefix, code] : kByPrefix) {
        if (sqlstate.starts_with(prefix)) {
            return code;
        }
    }
    return absl::StatusCode::kFailedPrecondition;
}

bool Has(std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
}

std::string_view TrimLeft(std::string_view text) {
    return text.substr(std::min(text.find_first_not_of(' '), text.size()));
}

// Classes whose messages quote values, and messages that a user's function wrote.
bool MayHoldValues(std::string_view sqlstate) {
    return sqlstate.starts_with("22") || sqlstate.starts_with("23") || sqlstate == "P0001";
}

std::string MessageFor(std::string_view sqlstate, std::string_view message) {
    if (sqlstate.starts_with("22")) {
        return Concat("a value does not fit its column or expression (SQLSTATE ", sqlstate, ")");
    }
    if (sqlstate.starts_with("23")) {
        return Concat("a row violates a constraint (SQLSTATE ", sqlstate, ")");
    }
    if (MayHoldValues(sqlstate)) {
        return Concat("a function or trigger raised an error (SQLSTATE ", sqlstate, ")");
    }
    return Concat(message, " (SQLSTATE ", sqlstate, ")");
}

std::string_view Field(const pg_result* result, int field) {
    const char* text = ::PQresultErrorField(result, field);
    return text == nullptr ? std::string_view() : std::string_view(text);
}

// Names of the objects that an error of class 22 or 23 is about; identifiers, never values.
std::string ObjectsOf(const pg_result* result) {
    std::string objects;
    const auto add = [&](std::string_view what, int field) {
        if (const std::string_view name = Field(result, field); !name.empty()) {
            Append(objects, objects.empty() ? "" : ", ", what, " ", name);
        }
    };
    add("schema", PG_DIAG_SCHEMA_NAME);
    add("table", PG_DIAG_TABLE_NAME);
    add("column", PG_DIAG_COLUMN_NAME);
    add("constraint", PG_DIAG_CONSTRAINT_NAME);
    add("type", PG_DIAG_DATATYPE_NAME);
    return objects;
}

// The first "…: XXXXX: …" of a message under PQERRORS_VERBOSE; the severity before it may be in any language.
std::string SqlStateIn(std::string_view text) {
    for (size_t at = text.find(": "); at != std::string_view::npos; at = text.find(": ", at + 2)) {
        const std::string_view rest = TrimLeft(text.substr(at + 1));
        if (rest.size() < 6 || rest[5] != ':') {
            continue;
        }
        bool all = true;
        bool digit = false;
        for (const char c : rest.substr(0, 5)) {
            const bool is_digit = c >= '0' && c <= '9';
            digit = digit || is_digit;
            all = all && (is_digit || (c >= 'A' && c <= 'Z'));
        }
        // "FATAL" and "PANIC" have the form, but every SQLSTATE has a digit.
        if (all && digit) {
            return std::string(rest.substr(0, 5));
        }
    }
    return "";
}

std::string Keyword(const PqParameters& parameters, const std::string& name, std::string_view otherwise) {
    const auto it = parameters.keywords.find(name);
    return it == parameters.keywords.end() || it->second.empty() ? std::string(otherwise) : it->second;
}

std::string UserAt(const PqParameters& parameters) {
    return Concat("user ", Keyword(parameters, "user", "(default)"), " at ",
                  pq_internal::Endpoint(parameters));
}

absl::Status ServerRefused(const PqParameters& parameters, const std::string& sqlstate,
                           std::string_view text) {
    using Code = absl::StatusCode;
    const std::string endpoint = pq_internal::Endpoint(parameters);
    const std::string database = Keyword(parameters, "dbname", Keyword(parameters, "user", "(default)"));
    if (sqlstate == "28P01") {
        return MakeError(Code::kUnauthenticated, "AUTH_FAILED",
                         Concat("the password was refused for ", UserAt(parameters)),
                         "Check user name and password.");
    }
    if (sqlstate == "28000" && Has(text, "pg_hba.conf")) {
        return MakeError(
            Code::kUnauthenticated, "AUTH_HBA",
            Concat("the server's pg_hba.conf does not admit ", UserAt(parameters), " to database ", database,
                   " from this machine"),
            "Add a line for this user, database and address to pg_hba.conf and run SELECT pg_reload_conf().");
    }
    if (sqlstate == "28000") {
        return MakeError(
            Code::kUnauthenticated, "AUTH_HBA", Concat("the server refused ", UserAt(parameters)),
            "Check that the role exists and may log in, and which method pg_hba.conf asks of it.");
    }
    if (sqlstate == "3D000") {
        return MakeError(Code::kNotFound, "DATABASE_MISSING",
                         Concat("database ", database, " does not exist at ", endpoint),
                         "Check the database's name or create it.");
    }
    if (sqlstate == "42501") {
        return MakeError(
            Code::kPermissionDenied, "SQLSTATE_42501",
            Concat("the server refused ", UserAt(parameters), " to database ", database),
            "Grant CONNECT on the database, and REPLICATION to the role if this connection replicates.");
    }
    if (sqlstate.starts_with("53")) {
        return MakeError(Code::kResourceExhausted, "SQLSTATE_" + sqlstate,
                         Concat("the server at ", endpoint, " has no connection or walsender left"),
                         "Close connections or raise max_connections and max_wal_senders.");
    }
    if (sqlstate.starts_with("57P")) {
        return MakeError(Code::kUnavailable, "SQLSTATE_" + sqlstate,
                         Concat("the server at ", endpoint, " is starting up or shutting down"),
                         "Wait until it accepts connections.");
    }
    return MakeError(CodeOf(sqlstate), "SQLSTATE_" + sqlstate,
                     Concat("the server at ", endpoint, " refused the connection (SQLSTATE ", sqlstate, ")"),
                     "Look at the server's log.");
}

bool IsTlsText(std::string_view text) {
    return Has(text, "SSL") || Has(text, "certificate") || Has(text, "TLS");
}

// libpq's own complaint as one line, without the password should it ever be quoted.
std::string OneLine(std::string_view text, const Secret& password) {
    std::string line(absl::StripAsciiWhitespace(ToAbsl(text)));
    if (!password.empty()) {
        line = absl::StrReplaceAll(line, {{password.Reveal(), "***"}});
    }
    return absl::StrReplaceAll(line, {{"\n", " "}, {"\t", " "}});
}

}  // namespace

absl::Status SqlStateToStatus(std::string_view sqlstate, std::string_view message) {
    return MakeError(CodeOf(sqlstate), Concat("SQLSTATE_", sqlstate), MessageFor(sqlstate, message));
}

namespace pq_internal {

std::string Endpoint(const PqParameters& parameters) {
    const std::string host = Keyword(parameters, "host", Keyword(parameters, "hostaddr", "(local socket)"));
    return Concat("host ", host, " port ", Keyword(parameters, "port", "5432"));
}

absl::Status ConnectFailure(const PqParameters& parameters, std::string_view text, bool timed_out) {
    using Code = absl::StatusCode;
    const std::string endpoint = Endpoint(parameters);
    if (timed_out) {
        return MakeError(Code::kUnavailable, "NET_TCP",
                         Concat("no answer from ", endpoint, " within the connect timeout"),
                         "Check host and port, and that no firewall drops the connection.");
    }
    if (const std::string sqlstate = SqlStateIn(text); !sqlstate.empty()) {
        return ServerRefused(parameters, sqlstate, text);
    }
    if (Has(text, "could not translate host name") || Has(text, "could not parse network")) {
        return MakeError(Code::kUnavailable, "NET_DNS", Concat("the name of ", endpoint, " does not resolve"),
                         "Check the host name, and that this machine's DNS knows it.");
    }
    if (Has(text, "no password supplied")) {
        return MakeError(
            Code::kUnauthenticated, "AUTH_FAILED",
            Concat("the server asks for a password of ", UserAt(parameters), " and none was given"),
            "Give the password.");
    }
    if (Has(text, "invalid") && (Has(text, " value: ") || Has(text, "option"))) {
        return MakeError(Code::kInvalidArgument, "OPTION_INVALID",
                         Concat("connection parameters refused: ", OneLine(text, parameters.password)),
                         "Correct the connection options.");
    }
    if (IsTlsText(text)) {
        return MakeError(
            Code::kFailedPrecondition, "NET_TLS",
            Concat("no encrypted connection to ", endpoint, ": ", OneLine(text, parameters.password)),
            "Check sslmode and sslrootcert against what the server offers.");
    }
    return MakeError(Code::kUnavailable, "NET_TCP",
                     Concat("cannot connect to ", endpoint, ": ", OneLine(text, parameters.password)),
                     "Check that the server runs, listens on that address and is not behind a firewall.");
}

absl::Status ResultFailure(const pg_result* result, const pg_conn* connection) {
    const std::string sqlstate(result == nullptr ? std::string_view() : Field(result, PG_DIAG_SQLSTATE));
    if (sqlstate.empty()) {
        if (::PQstatus(connection) == CONNECTION_BAD) {
            return MakeError(absl::StatusCode::kUnavailable, "CONNECTION_LOST",
                             "the connection to the server is gone",
                             "Check that the server runs; the connection is made again.");
        }
        return MakeError(absl::StatusCode::kInternal, "PROTOCOL", "the server's answer was not understood");
    }
    const absl::Status status = SqlStateToStatus(sqlstate, Field(result, PG_DIAG_MESSAGE_PRIMARY));
    std::string message(status.message());
    std::string_view hint;
    if (!MayHoldValues(sqlstate)) {
        hint = Field(result, PG_DIAG_MESSAGE_HINT);
    } else if (const std::string objects = ObjectsOf(result); !objects.empty()) {
        Append(message, " at ", objects);
    }
    return MakeError(status.code(), ReasonOf(status), message, hint);
}

}  // namespace pq_internal
}  // namespace millrace::base
