#include "base/pq_error.h"

#include <gtest/gtest.h>

#include "base/status.h"

namespace millrace::base {
namespace {

using Code = absl::StatusCode;

TEST(SqlState, ClassesBecomeCanonicalCodes) {
    const std::pair<const char*, Code> kCases[] = {
        {"08006", Code::kUnavailable},
        {"57P01", Code::kUnavailable},
        {"57P03", Code::kUnavailable},
        {"40001", Code::kAborted},
        {"40P01", Code::kAborted},
        {"55P03", Code::kAborted},
        {"53300", Code::kResourceExhausted},
        {"28P01", Code::kUnauthenticated},
        {"28000", Code::kUnauthenticated},
        {"42501", Code::kPermissionDenied},
        {"3D000", Code::kNotFound},
        {"3F000", Code::kNotFound},
        {"42P01", Code::kNotFound},
        {"42703", Code::kFailedPrecondition},
        {"57014", Code::kDeadlineExceeded},
        {"25P03", Code::kUnavailable},
        {"22003", Code::kFailedPrecondition},
        {"XX000", Code::kFailedPrecondition},
        {"55006", Code::kFailedPrecondition},
    };
    for (const auto& [sqlstate, code] : kCases) {
        const absl::Status status = SqlStateToStatus(sqlstate, "m");
        EXPECT_EQ(status.code(), code) << sqlstate;
        EXPECT_EQ(ReasonOf(status), std::string("SQLSTATE_") + sqlstate);
    }
}

TEST(SqlState, MessagesThatMayHoldRowValuesAreLeftOut) {
    for (const char* sqlstate : {"22003", "22P02", "23505", "23502", "P0001"}) {
        const std::string text = Describe(SqlStateToStatus(sqlstate, "value 4711-secret is wrong"));
        EXPECT_EQ(text.find("4711"), std::string::npos) << text;
        EXPECT_NE(text.find(sqlstate), std::string::npos) << text;
    }
    EXPECT_NE(Describe(SqlStateToStatus("42P01", "relation \"x\" does not exist")).find("relation \"x\""),
              std::string::npos);
}

PqParameters Parameters() {
    PqParameters parameters;
    parameters.keywords = {{"host", "db.example"}, {"port", "5433"}, {"user", "cdc"}, {"dbname", "shop"}};
    parameters.password = Secret(std::string("s3cr3t"));
    return parameters;
}

struct ConnectCase final {
    const char* text;
    const char* reason;
    Code code;
};

TEST(ConnectFailure, NamesTheReasonInAnyLanguage) {
    const ConnectCase kCases[] = {
        {"connection to server at \"db\" failed: FATAL:  28P01: password authentication failed\nLOCATION:  x",
         "AUTH_FAILED", Code::kUnauthenticated},
        {"connection to server at \"db\" failed: FATALE:  28P01: autenticazione fallita\n", "AUTH_FAILED",
         Code::kUnauthenticated},
        {"connection to server at \"db\" failed: FATAL:  28000: no pg_hba.conf entry for host \"1.2.3.4\", "
         "no encryption",
         "AUTH_HBA", Code::kUnauthenticated},
        {"connection failed: FATAL:  28000: role \"cdc\" does not exist", "AUTH_HBA", Code::kUnauthenticated},
        {"connection failed: FATAL:  3D000: database \"shop\" does not exist", "DATABASE_MISSING",
         Code::kNotFound},
        {"connection failed: FATAL:  53300: too many clients", "SQLSTATE_53300", Code::kResourceExhausted},
        {"connection failed: FATAL:  57P03: the database system is starting up", "SQLSTATE_57P03",
         Code::kUnavailable},
        {"could not translate host name \"db.example\" to address: Name or service not known\n", "NET_DNS",
         Code::kUnavailable},
        {"connection to server at \"::1\", port 5433 failed: Connection refused\n\tIs the server running?",
         "NET_TCP", Code::kUnavailable},
        {"connection failed: server does not support SSL, but SSL was required\n", "NET_TLS",
         Code::kFailedPrecondition},
        {"connection failed: SSL error: certificate verify failed\n", "NET_TLS", Code::kFailedPrecondition},
        {"connection failed: fe_sendauth: no password supplied\n", "AUTH_FAILED", Code::kUnauthenticated},
        {"invalid sslmode value: \"maybe\"\n", "OPTION_INVALID", Code::kInvalidArgument},
        {"invalid connection option \"hosst\"\n", "OPTION_INVALID", Code::kInvalidArgument},
    };
    for (const ConnectCase& c : kCases) {
        const absl::Status status = pq_internal::ConnectFailure(Parameters(), c.text, false);
        EXPECT_EQ(ReasonOf(status), c.reason) << c.text;
        EXPECT_EQ(status.code(), c.code) << c.text;
        EXPECT_FALSE(RemedyOf(status).empty()) << c.text;
        EXPECT_EQ(Describe(status).find('\n'), std::string::npos) << c.text;
    }
}

TEST(ConnectFailure, SaysWhereAndAsWhom) {
    const std::string text =
        Describe(pq_internal::ConnectFailure(Parameters(), "FATAL:  28P01: refused", false));
    EXPECT_NE(text.find("host db.example port 5433"), std::string::npos) << text;
    EXPECT_NE(text.find("cdc"), std::string::npos) << text;
    EXPECT_EQ(ReasonOf(pq_internal::ConnectFailure(Parameters(), "", true)), "NET_TCP");
}

TEST(ConnectFailure, NeverShowsThePassword) {
    for (const char* text :
         {"invalid connection option \"s3cr3t\"", "odd failure about s3cr3t", "SSL s3cr3t"}) {
        const std::string shown = Describe(pq_internal::ConnectFailure(Parameters(), text, false));
        EXPECT_EQ(shown.find("s3cr3t"), std::string::npos) << shown;
    }
}

TEST(Quote, DoublesQuotesAndEscapesBackslashes) {
    EXPECT_EQ(QuoteIdentifier("plain"), "\"plain\"");
    EXPECT_EQ(QuoteIdentifier("od\"d"), "\"od\"\"d\"");
    EXPECT_EQ(QuoteLiteral("it's"), "'it''s'");
    EXPECT_EQ(QuoteLiteral("a\\b'c"), "E'a\\\\b''c'");
}

}  // namespace
}  // namespace millrace::base
