#include "connectors/postgres/source_fixture.h"

namespace millrace::postgres {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

class PreflightTest : public SourceTest {
 protected:
    PreflightTest() : role_(base::Concat("mr_role_", stream_.substr(5))) {
        std::replace(role_.begin(), role_.end(), '-', '_');
        Sql("CREATE ROLE " + role_ + " LOGIN PASSWORD 'right'");
    }
    ~PreflightTest() override {
        Sql("REASSIGN OWNED BY " + role_ + " TO CURRENT_USER");
        Sql("DROP OWNED BY " + role_);
        Sql("DROP ROLE " + role_);
    }

    /// Findings of the role, or of the superuser.
    sdk::Findings Check(const sdk::TableSelection& selection, bool superuser = false) {
        return NewSource(superuser ? database_.parameters() : RoleParameters())->Preflight(selection);
    }
    [[nodiscard]] base::PqParameters RoleParameters() const {
        base::PqParameters parameters = database_.parameters();
        parameters.keywords["user"] = role_;
        parameters.password = base::Secret("right");
        return parameters;
    }
    static std::vector<sdk::Finding> Only(const sdk::Findings& findings, const std::string& code,
                                          sdk::Severity severity) {
        std::vector<sdk::Finding> found;
        for (const sdk::Finding& finding : findings) {
            if (finding.code == code && finding.severity == severity) {
                found.push_back(finding);
            }
        }
        return found;
    }
    static std::vector<sdk::Finding> Critical(const sdk::Findings& findings, const std::string& code) {
        return Only(findings, code, sdk::Severity::kCritical);
    }

    std::string role_;
};

TEST_F(PreflightTest, AGoodDatabasePassesAndSaysWhatWasChecked) {
    Sql("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE log (line text)");
    const sdk::Findings findings = Check({.tables = {"*.*"}, .exclude = {}}, true);
    EXPECT_FALSE(sdk::HasCritical(findings)) << sdk::StatusFromFindings(findings);
    for (const char* code :
         {"CONNECTION", "PG_VERSION", "IS_STANDBY", "WAL_LEVEL", "SLOTS_FREE", "SENDERS_FREE",
          "ROLE_REPLICATION", "TBL_MISSING", "TBL_SELECT", "SCHEMA_USAGE", "RLS_ON", "PUB_CREATE_RIGHT"}) {
        EXPECT_THAT(Only(findings, code, sdk::Severity::kOk), SizeIs(1)) << code;
    }
    EXPECT_THAT(Only(findings, "TBL_KEYLESS", sdk::Severity::kInfo)[0].message, HasSubstr("public.log"));
    EXPECT_EQ(Sql("SELECT count(*) FROM pg_publication"), "0") << "checking changes nothing";
}

TEST_F(PreflightTest, EverythingThatTheRoleLacksIsNamedAtOnce) {
    Sql("CREATE SCHEMA s; CREATE TABLE s.a (id int PRIMARY KEY); CREATE TABLE s.b (id int PRIMARY KEY)");
    const sdk::Findings findings = Check({.tables = {"s.*"}, .exclude = {}});
    ASSERT_THAT(Critical(findings, "ROLE_REPLICATION"), SizeIs(1));
    EXPECT_EQ(Critical(findings, "ROLE_REPLICATION")[0].remedy,
              "Run ALTER ROLE \"" + role_ + "\" REPLICATION;");
    ASSERT_THAT(Critical(findings, "SCHEMA_USAGE"), SizeIs(1));
    EXPECT_EQ(Critical(findings, "SCHEMA_USAGE")[0].remedy,
              "Run GRANT USAGE ON SCHEMA \"s\" TO \"" + role_ + "\";");
    ASSERT_THAT(Critical(findings, "TBL_SELECT"), SizeIs(1));
    EXPECT_EQ(Critical(findings, "TBL_SELECT")[0].remedy,
              "Run GRANT SELECT ON \"s\".\"a\", \"s\".\"b\" TO \"" + role_ + "\";");
    ASSERT_THAT(Critical(findings, "PUB_CREATE_RIGHT"), SizeIs(1));

    // Doing what the remedies say is enough.
    for (const sdk::Finding& finding : findings) {
        if (finding.severity == sdk::Severity::kCritical) {
            const size_t run = finding.remedy.find(finding.code == "PUB_CREATE_RIGHT" ? "run: " : "Run ");
            Sql(finding.remedy.substr(run + (finding.code == "PUB_CREATE_RIGHT" ? 5 : 4)));
        }
    }
    const sdk::Findings again = Check({.tables = {"s.*"}, .exclude = {}});
    EXPECT_FALSE(sdk::HasCritical(again)) << sdk::StatusFromFindings(again);
    std::unique_ptr<sdk::Source> source = NewSource(RoleParameters());
    const auto tables = source->ListTables({.tables = {"s.*"}, .exclude = {}});
    ASSERT_TRUE(tables.ok());
    EXPECT_TRUE(source->Prepare(*tables).ok()) << "the owner's publication is adopted";
    const auto begun = source->BeginCopy(true);
    ASSERT_TRUE(begun.ok()) << base::Describe(begun.status());
    EXPECT_TRUE(source->Start(*begun).ok());
}

TEST_F(PreflightTest, MissingTablesAndOtherKindsAreNamed) {
    Sql("CREATE TABLE t (id int PRIMARY KEY); CREATE VIEW v AS SELECT 1; CREATE UNLOGGED TABLE u (id int "
        "PRIMARY KEY); "
        "CREATE TABLE p (id int) PARTITION BY LIST (id); CREATE TABLE p1 PARTITION OF p DEFAULT");
    const sdk::Findings findings = Check(
        {.tables = {"public.gone", "none.*", "public.v", "public.u", "public.p1", "public.t"}, .exclude = {}},
        true);
    const auto missing = Critical(findings, "TBL_MISSING");
    ASSERT_THAT(missing, SizeIs(2));
    EXPECT_EQ(missing[0].message, "no table matches none.*");
    EXPECT_EQ(missing[1].message, "table public.gone does not exist");
    const auto kinds = Critical(findings, "TBL_KIND");
    ASSERT_THAT(kinds, SizeIs(3));
    std::string all;
    for (const sdk::Finding& kind : kinds) {
        all += kind.message + "\n";
    }
    EXPECT_THAT(all, HasSubstr("public.v cannot be replicated: it is a view"));
    EXPECT_THAT(all, HasSubstr("public.p1 cannot be replicated: it is a partition"));
    EXPECT_THAT(all, HasSubstr("public.u is not replicated: an unlogged table"));
}

TEST_F(PreflightTest, PoliciesThatHideRowsAreCritical) {
    Sql("CREATE TABLE t (id int PRIMARY KEY); ALTER TABLE t ENABLE ROW LEVEL SECURITY; GRANT SELECT ON t "
        "TO " +
        role_);
    EXPECT_THAT(Critical(Check({.tables = {"*.*"}, .exclude = {}}), "RLS_ON"), SizeIs(1));
    EXPECT_THAT(Critical(Check({.tables = {"*.*"}, .exclude = {}}, true), "RLS_ON"), SizeIs(0));
}

TEST_F(PreflightTest, AConnectionThatFailsIsAFinding) {
    base::PqParameters parameters = database_.parameters();
    parameters.keywords["dbname"] = "no_such_database";
    EXPECT_THAT(
        Critical(NewSource(parameters)->Preflight({.tables = {"*.*"}, .exclude = {}}), "DATABASE_MISSING"),
        SizeIs(1));
    parameters = database_.parameters();
    parameters.keywords["port"] = "1";
    const sdk::Findings refused = NewSource(parameters)->Preflight({.tables = {"*.*"}, .exclude = {}});
    ASSERT_THAT(refused, SizeIs(1));
    EXPECT_EQ(refused[0].code, "NET_TCP");
    EXPECT_FALSE(refused[0].remedy.empty());
}

TEST_F(PreflightTest, PrepareWithoutRightsSaysWhatTheOwnerMustRun) {
    Sql("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE k (x int)");
    std::unique_ptr<sdk::Source> source = NewSource(RoleParameters());
    const auto tables = source->ListTables({.tables = {"*.*"}, .exclude = {}});
    ASSERT_TRUE(tables.ok());
    const absl::Status refused = source->Prepare(*tables);
    EXPECT_EQ(refused.code(), absl::StatusCode::kPermissionDenied);
    EXPECT_EQ(base::ReasonOf(refused), "PUB_CREATE_RIGHT");
    EXPECT_THAT(base::RemedyOf(refused), HasSubstr("FOR TABLE ONLY \"public\".\"t\" WITH"));
    EXPECT_THAT(base::RemedyOf(refused),
                HasSubstr("FOR TABLE ONLY \"public\".\"k\" WITH (publish = 'insert, truncate'"));
}

TEST_F(PreflightTest, PublicationsFollowTheTables) {
    Sql("CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY); CREATE TABLE k (x int)");
    const std::string name = NamesFor(stream_).publication;
    const std::string members =
        "SELECT string_agg(pubname || '.' || tablename, ' ' ORDER BY 1, tablename) FROM "
        "pg_publication_tables";
    std::unique_ptr<sdk::Source> source = NewSource();
    const auto prepare = [&](const std::vector<std::string>& globs) {
        const auto tables = source->ListTables({.tables = globs, .exclude = {}});
        EXPECT_TRUE(tables.ok());
        const absl::Status prepared = source->Prepare(*tables);
        EXPECT_TRUE(prepared.ok()) << base::Describe(prepared);
    };
    prepare({"public.a", "public.k"});
    EXPECT_EQ(Sql(members), name + ".a " + name + "_append.k");
    const std::string version = Sql("SELECT min(xmin::text) || max(xmin::text) FROM pg_publication");
    prepare({"public.a", "public.k"});
    EXPECT_EQ(Sql("SELECT min(xmin::text) || max(xmin::text) FROM pg_publication"), version)
        << "nothing was touched";
    prepare({"public.b"});
    EXPECT_EQ(Sql(members), name + ".b");
    Sql("ALTER TABLE k ADD COLUMN id int PRIMARY KEY");
    prepare({"*.*"});
    EXPECT_EQ(Sql(members), name + ".a " + name + ".b " + name + ".k");
    Sql("ALTER PUBLICATION " + name + " SET (publish = 'insert')");
    prepare({"*.*"});
    EXPECT_EQ(Sql("SELECT pubupdate AND pubdelete AND pubviaroot FROM pg_publication WHERE pubname = '" +
                  name + "'"),
              "t");
    Sql("ALTER PUBLICATION " + name + " SET TABLE a WHERE (id > 3)");
    const auto tables = source->ListTables({.tables = {"public.a"}, .exclude = {}});
    EXPECT_EQ(base::ReasonOf(source->Prepare(*tables)), "PUB_FILTERED");
}

TEST_F(PreflightTest, KeysAreThoseThatIdentifyRowsAtEveryMoment) {
    Sql("CREATE TABLE a (x int, id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY DEFERRABLE); "
        "CREATE TABLE c (id int PRIMARY KEY, code text NOT NULL UNIQUE); ALTER TABLE c REPLICA IDENTITY "
        "USING INDEX "
        "c_code_key; CREATE TABLE d (id int); ALTER TABLE d REPLICA IDENTITY FULL; CREATE TABLE e (id int "
        "PRIMARY KEY); "
        "ALTER TABLE e REPLICA IDENTITY NOTHING; CREATE TABLE f (n int, id int PRIMARY KEY); ALTER TABLE f "
        "REPLICA "
        "IDENTITY FULL; CREATE TABLE g (id int GENERATED ALWAYS AS (1) STORED PRIMARY KEY)");
    const auto tables = NewSource()->ListTables({.tables = {"*.*"}, .exclude = {}});
    ASSERT_TRUE(tables.ok()) << base::Describe(tables.status());
    std::string shown;
    for (const sdk::SourceTable& table : *tables) {
        base::Append(shown, table.table, ":");
        for (const std::string& column : table.key) {
            base::Append(shown, column);
        }
        shown += " ";
    }
    EXPECT_EQ(shown, "a:id b: c:code d: e: f:id g: ");
}

}  // namespace
}  // namespace millrace::postgres
