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
    const auto begun = source->BeginCopy(true, std::chrono::minutes(2));
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
        "IDENTITY FULL; CREATE TABLE g (id int GENERATED ALWAYS AS (1) STORED PRIMARY KEY, v int)");
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

// "table:key columns", in name order.
std::string KeysOf(const absl::StatusOr<std::vector<sdk::SourceTable>>& tables) {
    EXPECT_TRUE(tables.ok()) << base::Describe(tables.status());
    std::string shown;
    for (const sdk::SourceTable& table : *tables) {
        base::Append(shown, shown.empty() ? "" : " ", table.table, ":");
        for (const std::string& column : table.key) {
            base::Append(shown, column);
        }
    }
    return shown;
}

TEST_F(PreflightTest, APartitionedTableHasTheKeyThatAllItsPartitionsSend) {
    Sql("CREATE TABLE same (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE same_1 PARTITION OF same DEFAULT;"
        "CREATE TABLE mixed (id int PRIMARY KEY) PARTITION BY RANGE (id); ALTER TABLE mixed REPLICA IDENTITY FULL;"
        "CREATE TABLE mixed_1 PARTITION OF mixed DEFAULT;"
        "CREATE TABLE other (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE other_1 PARTITION OF other DEFAULT;"
        "ALTER TABLE other_1 REPLICA IDENTITY NOTHING;"
        "CREATE TABLE by_index (id int NOT NULL, code int NOT NULL) PARTITION BY RANGE (id);"
        "CREATE UNIQUE INDEX by_index_key ON by_index (id, code); CREATE UNIQUE INDEX by_index_id ON by_index (id);"
        "CREATE TABLE by_index_1 PARTITION OF by_index DEFAULT;"
        "ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_key;");
    const sdk::TableSelection all{.tables = {"*.*"}, .exclude = {}};
    EXPECT_EQ(KeysOf(NewSource()->ListTables(all)), "by_index: mixed:id other: same:id");
    Sql("ALTER TABLE by_index_1 REPLICA IDENTITY USING INDEX by_index_1_id_idx");
    EXPECT_EQ(KeysOf(NewSource()->ListTables(all)), "by_index: mixed:id other: same:id") << "another index's columns";
    Sql("ALTER TABLE by_index_1 REPLICA IDENTITY USING INDEX by_index_1_id_code_idx");
    EXPECT_EQ(KeysOf(NewSource()->ListTables(all)), "by_index:idcode mixed:id other: same:id");
}

TEST_F(PreflightTest, NamesOfKeyColumnsMayHoldAnything) {
    Sql("CREATE TABLE t (\"a\x1f,b\" int, \"Ã¼\"\"x\" text, PRIMARY KEY (\"a\x1f,b\", \"Ã¼\"\"x\"))");
    const auto tables = NewSource()->ListTables({.tables = {"*.*"}, .exclude = {}});
    ASSERT_TRUE(tables.ok());
    EXPECT_THAT(tables->front().key, ::testing::ElementsAre("a\x1f,b", "Ã¼\"x"));
}

TEST_F(PreflightTest, ATableWithoutColumnsIsLeftOutAndSaidSo) {
    Sql("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE bare (); CREATE TABLE g (x int GENERATED ALWAYS AS (1) STORED)");
    EXPECT_EQ(KeysOf(NewSource()->ListTables({.tables = {"*.*"}, .exclude = {}})), "t:id");
    const sdk::Findings findings = Check({.tables = {"public.*"}, .exclude = {}}, true);
    EXPECT_FALSE(sdk::HasCritical(findings));
    EXPECT_EQ(std::count_if(findings.begin(), findings.end(), [](const sdk::Finding& f) { return f.code == "TBL_KIND"; }), 2);
    EXPECT_TRUE(sdk::HasCritical(Check({.tables = {"public.bare"}, .exclude = {}}, true)));
}

TEST_F(PreflightTest, AUniqueIndexChosenAsKeyMustIdentifyRowsInTheStream) {
    Sql("CREATE TABLE t (id int PRIMARY KEY, code text NOT NULL, region text, v int);"
        "CREATE UNIQUE INDEX t_code ON t (code); CREATE UNIQUE INDEX t_region ON t (region); CREATE INDEX t_v ON t (v);"
        "CREATE UNIQUE INDEX t_half ON t (code) WHERE id > 0;"
        "CREATE TABLE p (id int NOT NULL, code int NOT NULL) PARTITION BY RANGE (id); CREATE UNIQUE INDEX p_key ON p (id, code);"
        "CREATE TABLE p_1 PARTITION OF p DEFAULT;");
    const auto selection = [](const std::string& table, const std::string& index) {
        return sdk::TableSelection{.tables = {"*.*"}, .exclude = {}, .keys = {{table, index}}};
    };
    const auto told = [&](const std::string& table, const std::string& index) {
        std::string text;
        for (const sdk::Finding& finding : Check(selection(table, index), true)) {
            if (finding.code == "KEY_UNUSABLE") {
                EXPECT_EQ(finding.severity, sdk::Severity::kCritical);
                base::Append(text, finding.message, " | ", finding.remedy);
            }
        }
        return text;
    };
    EXPECT_THAT(told("public.t", "no_such"), ::testing::HasSubstr("is no index of the table"));
    EXPECT_THAT(told("public.t", "t_v"), ::testing::HasSubstr("is not unique"));
    EXPECT_THAT(told("public.t", "t_region"), ::testing::HasSubstr("may be NULL"));
    EXPECT_THAT(told("public.t", "t_half"), ::testing::HasSubstr("some rows"));
    EXPECT_THAT(told("public.no_such", "t_code"), ::testing::HasSubstr("is no selected table"));
    EXPECT_THAT(told("public.t", "t_code"),
                ::testing::HasSubstr("Run ALTER TABLE public.t REPLICA IDENTITY USING INDEX t_code;"));
    EXPECT_THAT(told("public.p", "p_key"),
                ::testing::HasSubstr("Run ALTER TABLE public.p REPLICA IDENTITY USING INDEX p_key; ALTER TABLE public.p_1 "
                                     "REPLICA IDENTITY USING INDEX p_1_id_code_idx;"));
    EXPECT_EQ(told("public.t", "t_pkey"), "");

    Sql("ALTER TABLE t REPLICA IDENTITY USING INDEX t_code");
    EXPECT_EQ(told("public.t", "t_code"), "");
    EXPECT_EQ(KeysOf(NewSource()->ListTables(selection("public.t", "t_code"))), "p: t:code");
    Sql("ALTER TABLE t REPLICA IDENTITY FULL; ALTER TABLE p REPLICA IDENTITY FULL");
    EXPECT_EQ(told("public.t", "t_code"), "");
    EXPECT_EQ(KeysOf(NewSource()->ListTables(selection("public.t", "t_code"))), "p: t:code");
    EXPECT_THAT(told("public.p", "p_key"), ::testing::HasSubstr("is not the replica identity")) << "a partition sends less";
    Sql("ALTER TABLE p_1 REPLICA IDENTITY FULL");
    EXPECT_EQ(KeysOf(NewSource()->ListTables(selection("public.p", "p_key"))), "p:idcode t:id");
}

TEST_F(PreflightTest, AUniqueIndexIsOfferedWhereATableHasNoKey) {
    Sql("CREATE TABLE t (id int, code text NOT NULL UNIQUE)");
    const sdk::Findings findings = Check({.tables = {"*.*"}, .exclude = {}}, true);
    const auto found = std::find_if(findings.begin(), findings.end(), [](const sdk::Finding& f) { return f.code == "TBL_KEYLESS"; });
    ASSERT_NE(found, findings.end());
    EXPECT_THAT(found->remedy, ::testing::HasSubstr("ALTER TABLE public.t REPLICA IDENTITY USING INDEX t_code_key;"));
}

}  // namespace
}  // namespace millrace::postgres
