#include <gtest/gtest.h>
#include <libpq-fe.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "connectors/postgres/destination_test_kit.h"
#include "connectors/sdk/testing/batch_builder.h"

// Locks, rights, lost connections, constraints, and the time that a small batch takes.

namespace millrace::postgres {
namespace {

using sdk::testing::BatchBuilder;
using sdk::testing::kUnchanged;
using sdk::testing::MakeColumn;
using sdk::testing::MakeSchema;

class DestinationFaults : public ::testing::Test {
 protected:
    static void ExpectOk(const absl::StatusOr<sdk::ApplyResult>& result) {
        EXPECT_TRUE(result.ok()) << base::Describe(result.status());
    }
    [[nodiscard]] std::string Count() { return *database_.Query("SELECT count(*) FROM shop.orders")[0][0]; }
    void EndOtherSessions() {
        database_.Execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND "
            "pid <> "
            "pg_backend_pid()");
        // Until the server has closed them all.
        while (database_
                   .Query("SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> "
                          "pg_backend_pid() AND backend_type = 'client backend'")
                   .size() > 0) {
        }
    }

    testing_support::PostgresDatabase database_;
    std::unique_ptr<sdk::Destination> destination_ = OpenDestination(database_.parameters());
    const sdk::SchemaPtr schema_ = MakeSchema(
        "orders", {MakeColumn("id", "bigint", 1), MakeColumn("v", "text"), MakeColumn("w", "text")});
};

TEST_F(DestinationFaults, ALockedTableGivesTheConnectionBackAndIsRepeated) {
    const auto writer = OpenWriter(*destination_, *schema_);
    ExpectOk(writer->Apply(BatchBuilder(schema_).Full({"1", "a", "x"}).Build(0, 1)));
    database_.Execute("BEGIN; LOCK TABLE shop.orders IN ACCESS EXCLUSIVE MODE");
    const sdk::Batch batch = BatchBuilder(schema_).Full({"2", "a", "x"}).Build(1, 2);
    const auto refused = writer->Apply(batch);
    EXPECT_TRUE(absl::IsUnavailable(refused.status())) << refused.status();
    EXPECT_EQ(base::ReasonOf(refused.status()), "TABLE_LOCKED");
    database_.Execute("ROLLBACK");
    ExpectOk(writer->Apply(batch));
    EXPECT_EQ(Count(), "2");
}

// What a worker leaves behind that is stopped, or cut off without a word, while it sends rows: for the server its session
// is busy, and no timeout of a server ends it.
TEST_F(DestinationFaults, AWriterThatStallsInTheMiddleOfACopyLosesItsTable) {
    const auto writer = OpenWriter(*destination_, *schema_);
    ExpectOk(writer->Apply(BatchBuilder(schema_).Full({"1", "a", "x"}).Build(0, 1)));
    auto stalled = base::PqConnection::Connect(database_.parameters());
    ASSERT_TRUE(stalled.ok()) << stalled.status();
    ASSERT_TRUE((*stalled)->Execute("BEGIN; UPDATE _millrace.checkpoints SET next_offset = 2").ok());
    PGresult* const copying = ::PQexec((*stalled)->raw(), "COPY shop.orders FROM STDIN");
    ASSERT_EQ(::PQresultStatus(copying), PGRES_COPY_IN);
    ::PQclear(copying);
    ASSERT_EQ(::PQputCopyData((*stalled)->raw(), "2\tb\ty\n", 6), 1);
    ASSERT_EQ(::PQflush((*stalled)->raw()), 0);
    const auto newer = OpenWriter(*destination_, *schema_);
    ExpectOk(newer->Apply(BatchBuilder(schema_).Full({"2", "c", "z"}).Build(1, 2)));
    EXPECT_EQ(database_.Query("SELECT v FROM shop.orders WHERE id = 2"),
              (std::vector<std::vector<std::optional<std::string>>>{{"c"}}));
    ::PQputCopyEnd((*stalled)->raw(), nullptr);
    EXPECT_EQ(Count(), "2");
}

TEST_F(DestinationFaults, SessionsThatTheServerClosedAreReplacedUnnoticed) {
    const auto writer = OpenWriter(*destination_, *schema_);
    ExpectOk(writer->Apply(BatchBuilder(schema_).Full({"1", "a", "x"}).Build(0, 1)));
    EndOtherSessions();
    ExpectOk(writer->Apply(BatchBuilder(schema_).Partial({"1", "b", kUnchanged}).Build(1, 2)));
    EXPECT_EQ(database_.Query("SELECT v, w FROM shop.orders"),
              (std::vector<std::vector<std::optional<std::string>>>{{"b", "x"}}));
}

TEST_F(DestinationFaults, ASessionThatDiesUnderABatchIsUnavailableAndTheBatchCanBeRepeated) {
    const auto writer = OpenWriter(*destination_, *schema_);
    ExpectOk(writer->Apply(BatchBuilder(schema_).Full({"1", "a", "x"}).Build(0, 1)));
    // The batch ends its own session in its middle.
    database_.Execute(
        "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM "
        "pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$");
    database_.Execute("CREATE TRIGGER die BEFORE INSERT ON shop.orders FOR EACH ROW EXECUTE FUNCTION die()");
    const sdk::Batch batch = BatchBuilder(schema_).Full({"2", "a", "x"}).Gone({"1"}).Build(1, 2);
    const auto lost = writer->Apply(batch);
    EXPECT_TRUE(absl::IsUnavailable(lost.status())) << lost.status();
    EXPECT_EQ(Count(), "1");
    database_.Execute("DROP TRIGGER die ON shop.orders");
    const auto repeated = writer->Apply(batch);
    ExpectOk(repeated);
    EXPECT_FALSE(repeated->already_applied);
    EXPECT_EQ(Count(), "1");
}

TEST_F(DestinationFaults, ACommitWhoseAnswerWasLostIsRecognised) {
    const auto writer = OpenWriter(*destination_, *schema_);
    ExpectOk(writer->Apply(BatchBuilder(schema_).Full({"1", "a", "x"}).Build(0, 1)));
    // As the table stands after such a commit: the row is there and the checkpoint has moved without the
    // writer knowing.
    database_.Execute("INSERT INTO shop.orders VALUES (2, 'b', 'y')");
    database_.Execute("UPDATE _millrace.checkpoints SET next_offset = 2");
    const auto repeated = writer->Apply(BatchBuilder(schema_).Full({"2", "b", "y"}).Build(1, 2));
    ExpectOk(repeated);
    EXPECT_TRUE(repeated->already_applied);
    const auto next = writer->Apply(BatchBuilder(schema_).Full({"3", "c", "z"}).Build(2, 3));
    ExpectOk(next);
    EXPECT_FALSE(next->already_applied);
    EXPECT_EQ(Count(), "3");
}

TEST_F(DestinationFaults, AUniqueConstraintOfTheUsersHoldsTheTable) {
    const auto writer = OpenWriter(*destination_, *schema_);
    ExpectOk(writer->Apply(BatchBuilder(schema_).Full({"1", "a", "x"}).Build(0, 1)));
    database_.Execute("ALTER TABLE shop.orders ADD UNIQUE (v)");
    const auto refused = writer->Apply(BatchBuilder(schema_).Full({"2", "a", "x"}).Build(1, 2));
    EXPECT_EQ(base::ReasonOf(refused.status()), "KEY_CONFLICT") << refused.status();
    EXPECT_EQ(base::Describe(refused.status()).find("(a)"), std::string::npos) << "a row value in an error";
}

TEST_F(DestinationFaults, RolesWithoutRightsLearnWhatToGrant) {
    const std::string role = database_.name() + "_role";
    database_.Execute("CREATE ROLE " + role + " LOGIN");
    base::PqParameters parameters = database_.parameters();
    parameters.keywords["user"] = role;
    const auto poor = OpenDestination(parameters);
    const sdk::StreamId stream{.pipeline = "p", .pipeline_uid = "uid", .topic = "t"};
    const sdk::Findings findings = poor->Preflight(stream, {{"shop", "orders"}});
    const auto found = std::find_if(findings.begin(), findings.end(), [](const sdk::Finding& finding) {
        return finding.severity == sdk::Severity::kCritical;
    });
    ASSERT_NE(found, findings.end());
    EXPECT_EQ(found->code, "DST_WRITE");
    EXPECT_EQ(found->remedy, "Run as the owner in the destination: GRANT CREATE ON DATABASE \"" +
                                 database_.name() + "\" TO \"" + role + "\";");
    database_.Execute("GRANT CREATE ON DATABASE " + database_.name() + " TO " + role);
    EXPECT_FALSE(sdk::HasCritical(poor->Preflight(stream, {{"shop", "orders"}})));
    // Schemas made beforehand need no right on the database.
    database_.Execute("REVOKE CREATE ON DATABASE " + database_.name() + " FROM " + role);
    database_.Execute("CREATE SCHEMA shop AUTHORIZATION " + role +
                      "; CREATE SCHEMA _millrace AUTHORIZATION " + role);
    EXPECT_FALSE(sdk::HasCritical(poor->Preflight(stream, {{"shop", "orders"}})));
    const auto writer = OpenWriter(*poor, *schema_);
    ExpectOk(writer->Apply(BatchBuilder(schema_).Full({"1", "a", "x"}).Build(0, 1)));
    EXPECT_FALSE(sdk::HasCritical(poor->Preflight(stream, {{"shop", "orders"}})));
    EndOtherSessions();
    database_.Execute("DROP OWNED BY " + role + "; DROP ROLE " + role);
}

TEST_F(DestinationFaults, AServerThatCannotBeReachedIsAFinding) {
    base::PqParameters parameters = database_.parameters();
    parameters.keywords["port"] = "1";
    const sdk::Findings findings =
        OpenDestination(parameters)->Preflight({.pipeline = "p", .pipeline_uid = "u", .topic = "t"}, {});
    ASSERT_EQ(findings.size(), 1U);
    EXPECT_EQ(findings[0].code, "NET_TCP");
    EXPECT_NE(findings[0].remedy, "");
    parameters = database_.parameters();
    parameters.keywords["dbname"] = "no_such_database";
    const sdk::Findings missing =
        OpenDestination(parameters)->Preflight({.pipeline = "p", .pipeline_uid = "u", .topic = "t"}, {});
    ASSERT_EQ(missing.size(), 1U);
    EXPECT_EQ(missing[0].code, "DATABASE_MISSING");
}

TEST_F(DestinationFaults, MoreShapesThanASessionKeeps) {
    for (int shape = 0; shape < 40; ++shape) {
        std::vector<sdk::Column> columns = {MakeColumn("id", "bigint", 1)};
        for (int i = 0; i <= shape; ++i) {
            columns.push_back(MakeColumn("c" + std::to_string(i), "integer"));
        }
        const auto schema = MakeSchema("t" + std::to_string(shape), columns);
        const auto writer = OpenWriter(*destination_, *schema);
        sdk::testing::TestRow row = {"1"};
        row.resize(columns.size(), kUnchanged);
        for (int64_t round = 0; round < 2; ++round) {
            ExpectOk(writer->Apply(BatchBuilder(schema).Partial(row).Build(round, round + 1)));
        }
    }
    const auto stages =
        database_.Query("SELECT count(*) FROM pg_class WHERE relname LIKE '\\_millrace\\_stage%'");
    EXPECT_LE(std::stoi(*stages[0][0]), 32);
}

TEST_F(DestinationFaults, ASmallBatchTakesMilliseconds) {
    const auto writer = OpenWriter(*destination_, *schema_);
    std::vector<double> literal;
    std::vector<double> staged;
    for (int64_t i = 0; i < 100; ++i) {
        const std::string id = std::to_string(i % 20);
        const bool partial = i % 2 == 1;
        BatchBuilder batch(schema_);
        if (partial) {
            batch.Partial({id, "b", kUnchanged});
        } else {
            batch.Full({id, "a", "x"});
        }
        const sdk::Batch sealed = batch.Build(i, i + 1);
        const auto start = std::chrono::steady_clock::now();
        ExpectOk(writer->Apply(sealed));
        const std::chrono::duration<double, std::milli> spent = std::chrono::steady_clock::now() - start;
        (partial ? staged : literal).push_back(spent.count());
    }
    std::sort(literal.begin(), literal.end());
    std::sort(staged.begin(), staged.end());
    RecordProperty("literal_p50_us", static_cast<int>(literal[literal.size() / 2] * 1000));
    RecordProperty("staged_p50_us", static_cast<int>(staged[staged.size() / 2] * 1000));
    // Far above what it takes on an idle machine; a round trip per row or a plan gone wrong would still be
    // seen.
    EXPECT_LT(literal[literal.size() / 2], 100);
    EXPECT_LT(staged[staged.size() / 2], 200);
}

}  // namespace
}  // namespace millrace::postgres
