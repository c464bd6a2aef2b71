#include "base/pq.h"

#include <gtest/gtest.h>
#include <libpq-fe.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>

#include "base/status.h"
#include "base/text.h"

namespace millrace::base {
namespace {

// The superuser's connection of MILLRACE_TEST_PG.
PqParameters TestServer() {
    const char* url = std::getenv("MILLRACE_TEST_PG");
    if (url == nullptr) {
        ADD_FAILURE() << "MILLRACE_TEST_PG is not set: give the URL of a superuser's database";
        return {};
    }
    PqParameters parameters;
    PQconninfoOption* options = ::PQconninfoParse(url, nullptr);
    if (options == nullptr) {
        ADD_FAILURE() << "MILLRACE_TEST_PG is no connection URL";
        return parameters;
    }
    for (const PQconninfoOption* option = options; option->keyword != nullptr; ++option) {
        if (option->val == nullptr) {
            continue;
        }
        if (std::string_view(option->keyword) == "password") {
            parameters.password = Secret(std::string(option->val));
        } else {
            parameters.keywords[option->keyword] = option->val;
        }
    }
    ::PQconninfoFree(options);
    return parameters;
}

class PqTest : public testing::Test {
 protected:
    void SetUp() override {
        auto connection = PqConnection::Connect(TestServer());
        ASSERT_TRUE(connection.ok()) << connection.status();
        connection_ = std::move(connection).value();
    }

    PqResult Run(const std::string& sql) {
        auto result = connection_->Execute(sql);
        EXPECT_TRUE(result.ok()) << sql << ": " << result.status();
        return result.ok() ? *result : PqResult(nullptr);
    }

    std::unique_ptr<PqConnection> connection_;
};

TEST_F(PqTest, ReadsCellsOfEveryKind) {
    const PqResult result = Run("SELECT 42, NULL::int, true, 'té', ''");
    ASSERT_EQ(result.rows(), 1);
    ASSERT_EQ(result.columns(), 5);
    EXPECT_EQ(result.GetInt(0, 0), 42);
    EXPECT_TRUE(result.IsNull(0, 1));
    EXPECT_EQ(result.Get(0, 1), "");
    EXPECT_TRUE(result.GetBool(0, 2));
    EXPECT_EQ(result.Get(0, 3), "té");
    EXPECT_FALSE(result.IsNull(0, 4));
    EXPECT_GE(connection_->server_version(), 120000);
    EXPECT_TRUE(connection_->healthy());
}

TEST_F(PqTest, ParametersAreTextAndNull) {
    const auto result = connection_->ExecuteParams("SELECT $1::text, $2::int, $3::text IS NULL",
                                                   {"a'b\\c", "7", std::nullopt});
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->Get(0, 0), "a'b\\c");
    EXPECT_EQ(result->GetInt(0, 1), 7);
    EXPECT_TRUE(result->GetBool(0, 2));
    EXPECT_EQ(connection_->ExecuteParams("SELECT $1::text", {std::string("a\0b", 3)}).status().code(),
              absl::StatusCode::kInvalidArgument);
}

TEST_F(PqTest, QuotingSurvivesTheServer) {
    const std::string odd = "a'b\\c\"d";
    const PqResult result = Run("SELECT " + QuoteLiteral(odd) + " AS " + QuoteIdentifier(odd));
    EXPECT_EQ(result.Get(0, 0), odd);
}

TEST_F(PqTest, AffectedRowsAreCounted) {
    Run("CREATE TEMP TABLE t (id int PRIMARY KEY, note text)");
    EXPECT_EQ(Run("INSERT INTO t SELECT g, 'x' FROM generate_series(1, 5) g").affected(), 5);
    EXPECT_EQ(Run("DELETE FROM t WHERE id > 3").affected(), 2);
}

TEST_F(PqTest, ConstraintErrorsNameTheObjectsAndNoValue) {
    Run("CREATE TEMP TABLE planted (id int PRIMARY KEY, note varchar(3))");
    Run("INSERT INTO planted VALUES (47110815, 'a')");
    const absl::Status duplicate =
        connection_->Execute("INSERT INTO planted VALUES (47110815, 'b')").status();
    EXPECT_EQ(duplicate.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(ReasonOf(duplicate), "SQLSTATE_23505");
    EXPECT_NE(Describe(duplicate).find("planted_pkey"), std::string::npos) << duplicate;
    EXPECT_EQ(Describe(duplicate).find("47110815"), std::string::npos) << duplicate;
    const absl::Status cast = connection_->Execute("SELECT 'planted-value'::int").status();
    EXPECT_EQ(ReasonOf(cast), "SQLSTATE_22P02");
    EXPECT_EQ(Describe(cast).find("planted-value"), std::string::npos) << cast;
    const absl::Status raised =
        connection_
            ->Execute("DO $$ BEGIN RAISE EXCEPTION 'planted-value' USING HINT = 'planted-hint'; END $$")
            .status();
    EXPECT_EQ(Describe(raised).find("planted"), std::string::npos) << raised;
}

TEST_F(PqTest, OtherErrorsCarryMessageAndHint) {
    const absl::Status missing = connection_->Execute("SELECT * FROM no_such_table").status();
    EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
    EXPECT_NE(Describe(missing).find("no_such_table"), std::string::npos);
    Run("CREATE TEMP TABLE t (amount int)");
    const absl::Status column = connection_->Execute("SELECT amout FROM t").status();
    EXPECT_EQ(ReasonOf(column), "SQLSTATE_42703");
    EXPECT_NE(RemedyOf(column).find("amount"), std::string::npos) << column;
}

TEST_F(PqTest, NoticesAreNotPrinted) {
    testing::internal::CaptureStderr();
    Run("DO $$ BEGIN RAISE WARNING 'planted'; END $$");
    EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST_F(PqTest, CopyInAndOutRoundTrip) {
    Run("CREATE TEMP TABLE t (id int, note text)");
    const std::string large(3'000'000, 'x');
    const auto written = connection_->CopyIn("COPY t FROM STDIN", [&](PqConnection::CopyWriter& out) {
        RETURN_IF_ERROR(out.Put("1\ta\n2\t"));
        return out.Put(large + "\n");
    });
    ASSERT_TRUE(written.ok()) << written.status();
    EXPECT_EQ(*written, 2);
    std::vector<std::string> rows;
    ASSERT_TRUE(connection_
                    ->CopyOut("COPY (SELECT * FROM t ORDER BY id) TO STDOUT",
                              [&](std::string_view row) {
                                  rows.emplace_back(row);
                                  return absl::OkStatus();
                              })
                    .ok());
    ASSERT_EQ(rows.size(), 2U);
    EXPECT_EQ(rows[0], "1\ta\n");
    EXPECT_EQ(rows[1], "2\t" + large + "\n");
}

TEST_F(PqTest, CopyInGivenUpWritesNothing) {
    Run("CREATE TEMP TABLE t (id int)");
    const auto given_up = connection_->CopyIn("COPY t FROM STDIN", [](PqConnection::CopyWriter& out) {
        RETURN_IF_ERROR(out.Put("1\n"));
        return MakeError(absl::StatusCode::kCancelled, "STOPPED", "stopped");
    });
    EXPECT_EQ(ReasonOf(given_up.status()), "STOPPED");
    EXPECT_EQ(Run("SELECT count(*) FROM t").GetInt(0, 0), 0);
}

TEST_F(PqTest, CopyInOfBadDataIsRefusedWithoutShowingIt) {
    Run("CREATE TEMP TABLE t (id int)");
    const auto refused = connection_->CopyIn(
        "COPY t FROM STDIN", [](PqConnection::CopyWriter& out) { return out.Put("planted-value\n"); });
    EXPECT_EQ(ReasonOf(refused.status()), "SQLSTATE_22P02");
    EXPECT_EQ(Describe(refused.status()).find("planted"), std::string::npos);
    EXPECT_EQ(Run("SELECT 1").GetInt(0, 0), 1);
}

TEST_F(PqTest, CopyOutStopsWhenTheReaderDoes) {
    int seen = 0;
    const auto before = std::chrono::steady_clock::now();
    const absl::Status stopped = connection_->CopyOut(
        "COPY (SELECT generate_series(1, 1000000000)) TO STDOUT", [&](std::string_view /*row*/) {
            return ++seen < 10 ? absl::OkStatus()
                               : MakeError(absl::StatusCode::kCancelled, "STOPPED", "stopped");
        });
    EXPECT_EQ(ReasonOf(stopped), "STOPPED");
    EXPECT_EQ(seen, 10);
    EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(20));
    EXPECT_EQ(Run("SELECT 1").GetInt(0, 0), 1);
}

TEST_F(PqTest, CopyOfSomethingElseIsRefused) {
    EXPECT_FALSE(
        connection_->CopyIn("SELECT 1", [](PqConnection::CopyWriter&) { return absl::OkStatus(); }).ok());
    EXPECT_FALSE(
        connection_
            ->CopyOut("COPY no_such_table TO STDOUT", [](std::string_view) { return absl::OkStatus(); })
            .ok());
    EXPECT_EQ(Run("SELECT 1").GetInt(0, 0), 1);
}

TEST_F(PqTest, CancelFromAnotherThreadEndsAQuery) {
    std::thread canceller([this] {
        auto watcher = PqConnection::Connect(TestServer());
        ASSERT_TRUE(watcher.ok());
        const std::string active = Concat(
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND wait_event = 'PgSleep' AND pid "
            "= ",
            ::PQbackendPID(connection_->raw()));
        while ((*watcher)->Execute(active)->GetInt(0, 0) == 0) {
        }
        connection_->Cancel();
    });
    const auto slept = connection_->Execute("SELECT pg_sleep(60)");
    canceller.join();
    EXPECT_EQ(slept.status().code(), absl::StatusCode::kDeadlineExceeded);
    EXPECT_EQ(Run("SELECT 1").GetInt(0, 0), 1);
}

TEST_F(PqTest, KilledConnectionIsUnavailable) {
    auto other = PqConnection::Connect(TestServer());
    ASSERT_TRUE(other.ok());
    Run(Concat("SELECT pg_terminate_backend(", ::PQbackendPID((*other)->raw()), ", 5000)"));
    const absl::Status first = (*other)->Execute("SELECT 1").status();
    EXPECT_EQ(first.code(), absl::StatusCode::kUnavailable) << first;
    const absl::Status second = (*other)->Execute("SELECT 1").status();
    EXPECT_EQ(second.code(), absl::StatusCode::kUnavailable) << second;
    EXPECT_FALSE((*other)->healthy());
    EXPECT_EQ((*other)->LastError("reading").code(), absl::StatusCode::kUnavailable);
}

TEST_F(PqTest, ReplicationConnectionsSpeakTheirCommands) {
    PqParameters parameters = TestServer();
    parameters.keywords["replication"] = "database";
    auto replication = PqConnection::Connect(parameters);
    ASSERT_TRUE(replication.ok()) << replication.status();
    const auto system = (*replication)->Execute("IDENTIFY_SYSTEM");
    ASSERT_TRUE(system.ok()) << system.status();
    EXPECT_EQ(system->columns(), 4);
    EXPECT_FALSE(system->IsNull(0, 3));
}

TEST_F(PqTest, MissingDatabaseIsNamed) {
    PqParameters parameters = TestServer();
    parameters.keywords["dbname"] = "no_such_database";
    const absl::Status status = PqConnection::Connect(parameters).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
    EXPECT_EQ(ReasonOf(status), "DATABASE_MISSING");
    EXPECT_NE(Describe(status).find("no_such_database"), std::string::npos);
}

TEST_F(PqTest, UnknownRoleIsUnauthenticated) {
    PqParameters parameters = TestServer();
    parameters.keywords["user"] = "no_such_role";
    const absl::Status status = PqConnection::Connect(parameters).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated) << status;
}

TEST_F(PqTest, HostThatDoesNotResolveIsNamed) {
    PqParameters parameters = TestServer();
    parameters.keywords["host"] = "no-such-host.invalid";
    const absl::Status status = PqConnection::Connect(parameters).status();
    EXPECT_EQ(ReasonOf(status), "NET_DNS") << status;
    EXPECT_NE(Describe(status).find("no-such-host.invalid"), std::string::npos);
}

TEST_F(PqTest, EncryptionThatTheServerLacksIsNamed) {
    if (Run("SHOW ssl").Get(0, 0) == "on") {
        Run("SELECT 1");
        PqParameters untrusted = TestServer();
        untrusted.keywords["sslmode"] = "verify-full";
        untrusted.keywords["sslrootcert"] = "/no/such/certificate";
        EXPECT_EQ(ReasonOf(PqConnection::Connect(untrusted).status()), "NET_TLS");
        return;
    }
    PqParameters parameters = TestServer();
    parameters.keywords["sslmode"] = "require";
    const absl::Status status = PqConnection::Connect(parameters).status();
    EXPECT_EQ(ReasonOf(status), "NET_TLS") << status;
}

// A loopback socket that accepts and never says a word, or, not listening, refuses.
class DumbServer final {
 public:
    explicit DumbServer(bool listens) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
        if (listens) {
            EXPECT_EQ(::listen(fd_, 8), 0);
        }
        socklen_t size = sizeof(address);
        EXPECT_EQ(::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size), 0);
        port_ = ntohs(address.sin_port);
    }
    ~DumbServer() { ::close(fd_); }
    DumbServer(const DumbServer&) = delete;
    DumbServer& operator=(const DumbServer&) = delete;

    [[nodiscard]] PqParameters Parameters() const {
        PqParameters parameters;
        parameters.keywords = {{"host", "127.0.0.1"},
                               {"port", std::to_string(port_)},
                               {"user", "u"},
                               {"dbname", "d"},
                               {"connect_timeout", "1"}};
        return parameters;
    }

 private:
    int fd_;
    uint16_t port_ = 0;
};

TEST(PqConnect, SilentServerEndsWithTheTimeout) {
    const DumbServer server(true);
    const auto before = std::chrono::steady_clock::now();
    const absl::Status status = PqConnection::Connect(server.Parameters()).status();
    const auto took = std::chrono::steady_clock::now() - before;
    EXPECT_EQ(ReasonOf(status), "NET_TCP") << status;
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
    EXPECT_GE(took, std::chrono::milliseconds(900));
    EXPECT_LT(took, std::chrono::seconds(5));
}

TEST(PqConnect, ClosedPortIsRefusedAtOnce) {
    const DumbServer server(false);
    const absl::Status status = PqConnection::Connect(server.Parameters()).status();
    EXPECT_EQ(ReasonOf(status), "NET_TCP") << status;
    EXPECT_FALSE(RemedyOf(status).empty());
}

TEST(PqConnect, UnknownParameterIsInvalid) {
    PqParameters parameters;
    parameters.keywords = {{"hosst", "x"}};
    EXPECT_EQ(ReasonOf(PqConnection::Connect(parameters).status()), "OPTION_INVALID");
}

}  // namespace
}  // namespace millrace::base
