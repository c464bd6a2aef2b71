#include "connectors/postgres/session.h"

#include <cstdint>
#include <string_view>

#include "absl/strings/str_format.h"
#include "base/status.h"
#include "base/text.h"

namespace millrace::postgres {
namespace {

// search_path decides how names of types and of regclass values are written.
constexpr std::string_view kFormats =
    "-c datestyle=ISO -c intervalstyle=postgres -c extra_float_digits=3 -c timezone=UTC -c bytea_output=hex "
    "-c client_encoding=UTF8 -c search_path=pg_catalog -c lc_monetary=C -c statement_timeout=0 -c "
    "lock_timeout=0 "
    // Queries of the catalogue are cheaper to run than to compile.
    "-c idle_in_transaction_session_timeout=0 -c row_security=off -c jit=off";

constexpr size_t kLongestStem = 44;

uint32_t Hash(std::string_view text) {
    uint32_t hash = 2166136261U;
    for (const char c : text) {
        hash = (hash ^ static_cast<uint8_t>(c)) * 16777619U;
    }
    return hash;
}

std::string Stem(const std::string& stream) {
    std::string stem;
    for (const char c : stream) {
        const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        stem.push_back(plain ? c : '_');
    }
    if (stem.size() > kLongestStem) {
        stem.resize(kLongestStem - 9);
        absl::StrAppendFormat(&stem, "_%08x", Hash(stream));
    }
    return stem;
}

// Startup options that a server does not know would refuse the connection, so newer limits are lifted
// afterwards.
absl::StatusOr<std::unique_ptr<base::PqConnection>> ConnectWithoutLimits(
    const base::PqParameters& parameters) {
    ASSIGN_OR_RETURN(std::unique_ptr<base::PqConnection> session, base::PqConnection::Connect(parameters));
    if (session->server_version() >= 140000) {
        RETURN_IF_ERROR(session->Execute("SET idle_session_timeout = 0").status());
    }
    if (session->server_version() >= 170000) {
        RETURN_IF_ERROR(session->Execute("SET transaction_timeout = 0").status());
    }
    return session;
}

}  // namespace

ObjectNames NamesFor(const std::string& stream) {
    const std::string name = base::Concat("millrace_", Stem(stream));
    return {.slot = name,
            .copy_slot = base::Concat(name, "_copy"),
            .publication = name,
            .append_publication = base::Concat(name, "_append")};
}

absl::StatusOr<std::unique_ptr<base::PqConnection>> ConnectSession(const base::PqParameters& parameters) {
    base::PqParameters session = parameters;
    session.keywords["options"] = std::string(kFormats);
    return ConnectWithoutLimits(session);
}

absl::StatusOr<std::unique_ptr<base::PqConnection>> ConnectReplication(const base::PqParameters& parameters) {
    base::PqParameters session = parameters;
    session.keywords["options"] = std::string(kFormats);
    session.keywords["replication"] = "database";
    return ConnectWithoutLimits(session);
}

std::string ArrayLiteral(const std::vector<std::string>& elements) {
    std::string literal = "{";
    for (const std::string& element : elements) {
        base::Append(literal, literal.size() > 1 ? ",\"" : "\"");
        for (const char c : element) {
            if (c == '"' || c == '\\') {
                literal.push_back('\\');
            }
            literal.push_back(c);
        }
        literal.push_back('"');
    }
    literal.push_back('}');
    return literal;
}

}  // namespace millrace::postgres
