#include <chrono>
#include <thread>

#include "connectors/postgres/source_fixture.h"

namespace millrace::postgres {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class StreamTest : public SourceTest {
 protected:
    void Begin(const std::string& ddl) {
        Sql(ddl);
        source_ = StartedSource();
    }
    std::vector<std::string> Changes() {
        recorder_.changes.clear();
        Drain(*source_, recorder_);
        return recorder_.Texts();
    }

    std::unique_ptr<sdk::Source> source_;
    Recorder recorder_;
};

TEST_F(StreamTest, InsertsUpdatesDeletesAndKeyChanges) {
    Begin("CREATE TABLE t (id int PRIMARY KEY, name text)");
    Sql("INSERT INTO t VALUES (1, 'a'), (2, NULL)");
    Sql("UPDATE t SET name = 'b' WHERE id = 1");
    Sql("UPDATE t SET id = 3 WHERE id = 2");
    Sql("DELETE FROM t WHERE id = 1");
    EXPECT_THAT(Changes(), ElementsAre("I t(1,a)", "I t(2,-)", "U t(1,b)", "U t(3,-)<(2,-)", "D t<(1,-)"));
    EXPECT_EQ(recorder_.changes[0].position.commit, recorder_.changes[1].position.commit);
    EXPECT_EQ(recorder_.changes[1].position.seq, 1U);
    EXPECT_EQ(recorder_.changes[2].position.seq, 0U);
    EXPECT_EQ(recorder_.changes[0].schema, recorder_.changes[4].schema);
}

TEST_F(StreamTest, UnchangedOutOfLineValuesAreNeitherNullNorValues) {
    Begin(
        "CREATE TABLE t (id int PRIMARY KEY, n int, big text); ALTER TABLE t ALTER big SET STORAGE EXTERNAL");
    Sql("INSERT INTO t VALUES (1, 1, repeat('x', 5000))");
    Sql("UPDATE t SET n = 2");
    Sql("UPDATE t SET id = 7");
    const auto changes = Changes();
    ASSERT_THAT(changes, SizeIs(3));
    EXPECT_EQ(changes[1], "U t(1,2,~)");
    EXPECT_EQ(changes[2], "U t(7,2,~)<(1,-,-)");
}

TEST_F(StreamTest, FullIdentityGivesTheOldRowAndEveryValue) {
    Begin(
        "CREATE TABLE t (n int, id int PRIMARY KEY, big text); ALTER TABLE t ALTER big SET STORAGE EXTERNAL; "
        "ALTER TABLE t REPLICA IDENTITY FULL");
    Sql("INSERT INTO t VALUES (1, 10, repeat('x', 3000))");
    Sql("UPDATE t SET n = 2");
    const auto changes = Changes();
    ASSERT_THAT(changes, SizeIs(2));
    const std::string big(3000, 'x');
    EXPECT_EQ(changes[1], "U t(2,10," + big + ")<(1,10," + big + ")");
    EXPECT_THAT(recorder_.changes[1].schema->KeyColumns(), ElementsAre(1)) << "the key is the catalogue's";
    EXPECT_FALSE(recorder_.changes[1].schema->append_only);
}

TEST_F(StreamTest, IndexIdentityIsTheKey) {
    Begin(
        "CREATE TABLE t (id int PRIMARY KEY, code text NOT NULL UNIQUE); ALTER TABLE t REPLICA IDENTITY "
        "USING INDEX "
        "t_code_key");
    Sql("INSERT INTO t VALUES (1, 'a')");
    Sql("UPDATE t SET code = 'b'");
    EXPECT_THAT(Changes(), ElementsAre("I t(1,a)", "U t(1,b)<(-,a)"));
    EXPECT_THAT(recorder_.changes[0].schema->KeyColumns(), ElementsAre(1));
}

TEST_F(StreamTest, AnIndexChosenUnderFullIdentityIsTheKeyOfCopyAndStream) {
    Sql("CREATE TABLE t (id int PRIMARY KEY, code text NOT NULL UNIQUE); ALTER TABLE t REPLICA IDENTITY FULL; INSERT INTO t "
        "VALUES (1, 'a')");
    const auto source = NewSource();
    const auto tables =
        source->ListTables({.tables = {"*.*"}, .exclude = {}, .keys = {{"public.t", "t_code_key"}}});
    ASSERT_TRUE(tables.ok() && source->Prepare(*tables).ok());
    const auto begun = source->BeginCopy(true, std::chrono::minutes(2));
    ASSERT_TRUE(begun.ok());
    const auto described = source->Describe(tables->front());
    ASSERT_TRUE(described.ok());
    ASSERT_TRUE(source->EndCopy().ok() && source->Start(*begun).ok());
    Sql("UPDATE t SET id = 2; UPDATE t SET code = 'b'");
    Recorder recorder;
    Drain(*source, recorder);
    EXPECT_THAT(recorder.Texts(), ElementsAre("U t(2,a)<(1,a)", "U t(2,b)<(2,a)"));
    EXPECT_THAT(recorder.changes[0].schema->KeyColumns(), ElementsAre(1));
    EXPECT_EQ(recorder.changes[0].schema->id, (*described)->id);
}

TEST_F(StreamTest, OneTruncateOfSeveralTablesIsOneEventForEach) {
    Begin(
        "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int REFERENCES a, PRIMARY KEY (id)); "
        "CREATE TABLE keyless (x int)");
    Sql("BEGIN; INSERT INTO a VALUES (1); TRUNCATE a, b, keyless; INSERT INTO a VALUES (2); COMMIT");
    const auto changes = Changes();
    ASSERT_THAT(changes, SizeIs(5));
    EXPECT_THAT(std::vector<std::string>(changes.begin() + 1, changes.begin() + 4),
                ::testing::UnorderedElementsAre("T a", "T b", "T keyless"));
    for (size_t i = 0; i < 5; ++i) {
        EXPECT_EQ(recorder_.changes[i].position.seq, i);
    }
}

TEST_F(StreamTest, AColumnAddedInsideATransactionChangesTheSchemaThere) {
    Begin("CREATE TABLE t (id int PRIMARY KEY)");
    Sql("BEGIN; INSERT INTO t VALUES (1); ALTER TABLE t ADD COLUMN note varchar(9) NOT NULL DEFAULT 'n'; "
        "INSERT INTO t VALUES (2); COMMIT");
    EXPECT_THAT(Changes(), ElementsAre("I t(1)", "I t(2,n)"));
    const sdk::TableSchema& before = *recorder_.changes[0].schema;
    const sdk::TableSchema& after = *recorder_.changes[1].schema;
    EXPECT_NE(before.id, after.id);
    EXPECT_TRUE(before.columns[0].nullable) << "the catalogue has moved on, so nullability is unknown";
    EXPECT_EQ(after.columns[1].source_type, "character varying(9)");
    EXPECT_FALSE(after.columns[1].nullable);
    EXPECT_EQ(after.columns[1].source_id, 2);
}

TEST_F(StreamTest, ASchemaCarriesWhatOlderRowsHaveInANewColumn) {
    Begin(
        "CREATE TYPE mood AS ENUM ('sad', 'it''s ok'); CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t "
        "VALUES (1)");
    Sql("INSERT INTO t VALUES (2)");
    EXPECT_THAT(Changes(), ElementsAre("I t(2)"));
    const sdk::SchemaPtr before = recorder_.changes[0].schema;
    Sql("ALTER TABLE t ADD n int DEFAULT 7, ADD t text DEFAULT 'a,b \"c\" {}', ADD a int[] DEFAULT "
        "'{1,NULL,3}', ADD b "
        "box DEFAULT '(1,1),(0,0)', ADD m mood DEFAULT 'it''s ok', ADD x int, ADD raw bytea DEFAULT "
        "'\\x00ff'");
    Sql("INSERT INTO t (id) VALUES (3)");
    Changes();
    const sdk::TableSchema& after = *recorder_.changes.back().schema;
    std::vector<std::optional<std::string>> fills;
    for (const sdk::Column& column : after.columns) {
        fills.push_back(column.fill);
    }
    EXPECT_THAT(fills, ElementsAre(std::nullopt, "7", "a,b \"c\" {}", "{1,NULL,3}", "(1,1),(0,0)", "it's ok",
                                   std::nullopt, "\\x00ff"));
    EXPECT_THAT(after.columns[5].labels, ElementsAre("sad", "it's ok"));
    EXPECT_FALSE(after.behind);
    EXPECT_EQ(source_->WhyCopyAnew(*before, after), "");
    Sql("ALTER TABLE t ALTER n DROP DEFAULT");
    Sql("VACUUM FULL t");
    Sql("INSERT INTO t (id) VALUES (4)");
    Changes();
    EXPECT_EQ(recorder_.changes.back().schema->columns[1].fill, std::nullopt) << "it stands in the rows now";
}

TEST_F(StreamTest, RowsThatWereRewrittenInPlaceAskForACopy) {
    Begin("CREATE TABLE t (id int PRIMARY KEY, n int, v varchar(5)); INSERT INTO t VALUES (1, 1, 'a')");
    const auto next = [&](const std::string& ddl) {
        if (!ddl.empty()) {
            Sql(ddl);
        }
        Sql("UPDATE t SET v = v");
        Changes();
        return recorder_.changes.back().schema;
    };
    sdk::SchemaPtr before = next("");
    const auto reason = [&](const std::string& ddl) {
        const sdk::SchemaPtr after = next(ddl);
        const std::string why = source_->WhyCopyAnew(*before, *after);
        before = after;
        return why;
    };
    EXPECT_EQ(reason("VACUUM FULL t"), "");
    EXPECT_EQ(reason("ALTER TABLE t ALTER v TYPE varchar(9)"), "");
    EXPECT_EQ(reason("ALTER TABLE t RENAME n TO m"), "");
    EXPECT_EQ(reason("ALTER TABLE t ALTER m SET DEFAULT 3"), "");
    EXPECT_THAT(reason("ALTER TABLE t ALTER m TYPE int USING m * 2"), HasSubstr("\"m\""));
    EXPECT_NE(reason("ALTER TABLE t ALTER m TYPE bigint"), "");
    EXPECT_EQ(reason("ALTER TABLE t ADD c int DEFAULT 5"), "");
    EXPECT_EQ(reason("VACUUM FULL t"), "") << "although it touches the description of a column with a fill";
    EXPECT_THAT(reason("ALTER TABLE t ALTER c TYPE int USING c * 2"), HasSubstr("\"c\""));
    EXPECT_THAT(reason("ALTER TABLE t ADD r float8 DEFAULT random()"), HasSubstr("\"r\""));
    EXPECT_EQ(reason("ALTER TABLE t ADD g int GENERATED ALWAYS AS (id * 2) STORED"), "");
    EXPECT_NE(reason("ALTER TABLE t ALTER g DROP EXPRESSION"), "");
    EXPECT_EQ(reason("ALTER TABLE t DROP r"), "");
    EXPECT_NE(reason("ALTER TABLE t DROP m, ADD m int"), "");
    const auto tables = source_->ListTables({.tables = {"*.*"}, .exclude = {}});
    ASSERT_TRUE(tables.ok());
    EXPECT_EQ(tables->front().storage, before->storage);
    const auto now = source_->DescribeNow(tables->front());
    ASSERT_TRUE(now.ok());
    EXPECT_EQ((*now)->id, before->id);
}

// A commit is in the log before others see it, for a moment or, where it waits for a standby, for longer.
TEST_F(StreamTest, AShapeIsReadOnceTheTransactionThatMadeItIsVisible) {
    Begin("CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 1)");
    const auto wait_for_standby = [](base::PqConnection& session, const std::string& name) {
        RunSql(session, base::Concat("ALTER SYSTEM SET synchronous_standby_names = '", name, "'"));
        RunSql(session, "SELECT pg_reload_conf()");
        while (RunSql(session, "SHOW synchronous_standby_names") != name) {
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
        }
        // It is the checkpointer that makes commits wait, once it has read the setting itself.
        RunSql(session, "CHECKPOINT");
    };
    wait_for_standby(*session_, "absent");
    const auto writer = NewSession();
    std::thread writing([&] { RunSql(*writer, "ALTER TABLE t ADD c int DEFAULT 5; UPDATE t SET n = 2"); });
    std::thread ending([&] {
        const auto session = NewSession();
        std::this_thread::sleep_for(std::chrono::milliseconds(500));
        EXPECT_EQ(RunSql(*session, "SELECT count(*) FROM pg_attribute WHERE attrelid = 't'::regclass AND attnum = 3"), "0");
        wait_for_standby(*session, "");
    });
    PollUntil(*source_, recorder_, [this] { return !recorder_.changes.empty(); });
    writing.join();
    ending.join();
    const sdk::SchemaPtr schema = recorder_.changes.front().schema;
    EXPECT_FALSE(schema->behind);
    EXPECT_EQ(schema->columns[2].source_id, 3);
    EXPECT_EQ(schema->columns[2].fill, "5");
}

TEST_F(StreamTest, PartitionsOfOneMindFillTheirRoot) {
    Begin(
        "CREATE TABLE t (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE t1 PARTITION OF t FOR "
        "VALUES FROM (0) "
        "TO (10); CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (10) TO (20)");
    Sql("ALTER TABLE t ADD n int DEFAULT 7; INSERT INTO t VALUES (1)");
    Changes();
    EXPECT_EQ(recorder_.changes.back().schema->columns[1].fill, "7");
    Sql("VACUUM FULL t1");
    Sql("ALTER TABLE t ADD m int; INSERT INTO t VALUES (11)");
    Changes();
    EXPECT_EQ(recorder_.changes.back().schema->columns[1].fill, std::nullopt);
    EXPECT_EQ(recorder_.changes.back().schema->columns[1].source_version, 0U) << "they differ";
    const auto tables = source_->ListTables({.tables = {"*.*"}, .exclude = {}});
    ASSERT_TRUE(tables.ok());
    EXPECT_EQ(tables->front().storage, recorder_.changes.back().schema->storage);
}

TEST_F(StreamTest, KeylessTablesAreAppendOnlyAndTheirUpdatesStillWorkAtTheSource) {
    Begin("CREATE TABLE log (line text)");
    Sql("INSERT INTO log VALUES ('a')");
    Sql("UPDATE log SET line = 'b'");
    Sql("DELETE FROM log");
    EXPECT_THAT(Changes(), ElementsAre("I log(a)"));
    EXPECT_TRUE(recorder_.changes[0].schema->append_only);
}

TEST_F(StreamTest, RolledBackWorkNeverAppears) {
    Begin("CREATE TABLE t (id int PRIMARY KEY)");
    Sql("BEGIN; INSERT INTO t VALUES (1); ROLLBACK");
    Sql("BEGIN; INSERT INTO t VALUES (2); SAVEPOINT s; INSERT INTO t VALUES (3); ROLLBACK TO s; "
        "INSERT INTO t VALUES (4); RELEASE s; INSERT INTO t VALUES (5); COMMIT");
    EXPECT_THAT(Changes(), ElementsAre("I t(2)", "I t(4)", "I t(5)"));
    EXPECT_EQ(recorder_.changes[2].position.seq, 2U);
}

TEST_F(StreamTest, PartitionsAppearAsTheirRoot) {
    Begin(
        "CREATE TABLE p (id int, y int, PRIMARY KEY (id, y)) PARTITION BY LIST (y); "
        "CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1); CREATE TABLE p2 (y int NOT NULL, id int NOT "
        "NULL); "
        "ALTER TABLE p ATTACH PARTITION p2 FOR VALUES IN (2)");
    Sql("INSERT INTO p VALUES (1, 1), (2, 2)");
    Sql("UPDATE p SET y = 2 WHERE id = 1");
    EXPECT_THAT(Changes(), ElementsAre("I p(1,1)", "I p(2,2)", "D p<(1,1)", "I p(1,2)"));
    const auto tables = source_->ListTables({.tables = {"*.*"}, .exclude = {}});
    ASSERT_TRUE(tables.ok());
    ASSERT_THAT(*tables, SizeIs(1));
    EXPECT_THAT(tables->front().key, ElementsAre("id", "y"));
}

TEST_F(StreamTest, QuotedNamesAndOddValuesPassUnchanged) {
    Begin(
        R"(CREATE SCHEMA "Odd ""Schema"; CREATE TABLE "Odd ""Schema"."a.b 'c" ("Id" int PRIMARY KEY, "sel ect" text))");
    Sql(R"(INSERT INTO "Odd ""Schema"."a.b 'c" VALUES (1, E'tab\t\\N "q" \n'), (2, ''))");
    EXPECT_THAT(Changes(), ElementsAre("I a.b 'c(1,tab\t\\N \"q\" \n)", "I a.b 'c(2,)"));
    EXPECT_EQ(recorder_.changes[0].schema->schema, "Odd \"Schema");
    EXPECT_EQ(recorder_.changes[0].schema->columns[1].name, "sel ect");
}

TEST_F(StreamTest, TypesAreNamedAndClassified) {
    Begin(
        "CREATE TYPE mood AS ENUM ('ok', 'sad'); CREATE DOMAIN price AS numeric(8,2); CREATE DOMAIN fine AS "
        "price; "
        "CREATE TABLE t (id bigint PRIMARY KEY, m mood, p fine, n numeric, s numeric(5,-2), a int[], ma "
        "mood[], pa "
        "price[], b bytea, j jsonb, u uuid, ts timestamptz(3), iv interval, g int GENERATED ALWAYS AS (1) "
        "STORED, "
        "v int2vector, r int4range, o oid)");
    Sql("INSERT INTO t (id, m, p) VALUES (1, 'ok', 1.5)");
    EXPECT_THAT(Changes(), ElementsAre("I t(1,ok,1.50,-,-,-,-,-,-,-,-,-,-,-,-,-)"));
    std::vector<std::string> shown;
    for (const sdk::Column& c : recorder_.changes[0].schema->columns) {
        shown.push_back(base::Concat(c.name, " ", c.source_type, " ", static_cast<int>(c.type), "/",
                                     static_cast<int>(c.element), " ", c.precision, ",", c.scale));
    }
    EXPECT_THAT(shown,
                ElementsAre("id bigint 4/0 -1,-1", "m public.mood 18/0 -1,-1", "p numeric(8,2) 7/0 8,2",
                            "n numeric 7/0 -1,-1", "s numeric(5,-2) 7/0 5,-2", "a integer[] 17/3 -1,-1",
                            "ma public.mood[] 17/18 -1,-1", "pa numeric(8,2)[] 17/7 8,2", "b bytea 8/0 -1,-1",
                            "j jsonb 16/0 -1,-1", "u uuid 15/0 -1,-1",
                            "ts timestamp(3) with time zone 13/0 -1,-1", "iv interval 14/0 -1,-1",
                            "v int2vector 0/0 -1,-1", "r int4range 0/0 -1,-1", "o oid 4/0 -1,-1"));
}

TEST_F(StreamTest, NothingBeforeTheAcknowledgedPositionComesAgain) {
    Begin("CREATE TABLE t (id int PRIMARY KEY)");
    Sql("INSERT INTO t VALUES (1)");
    Changes();
    const uint64_t durable = recorder_.last_end;
    Sql("INSERT INTO t VALUES (2)");
    EXPECT_THAT(Changes(), ElementsAre("I t(2)"));
    source_->Acknowledge(durable);
    ASSERT_TRUE(source_->SendFeedback(true).ok());
    source_.reset();

    // Not acknowledged, so it comes again, at the same position.
    const sdk::Position position = recorder_.changes[0].position;
    recorder_ = Recorder();
    source_ = NewSource();
    absl::Status started;
    for (int i = 0; i < 100 && !(started = source_->Start(durable)).ok(); ++i) {
        ASSERT_EQ(base::ReasonOf(started), "SLOT_ACTIVE");
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    ASSERT_TRUE(started.ok()) << base::Describe(started);
    EXPECT_THAT(Changes(), ElementsAre("I t(2)"));
    EXPECT_EQ(recorder_.changes[0].position, position);
}

TEST_F(StreamTest, AcknowledgementFreesLog) {
    Begin("CREATE TABLE t (id int PRIMARY KEY)");
    Sql("INSERT INTO t VALUES (1)");
    Changes();
    source_->Acknowledge(recorder_.last_end);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while (Sql("SELECT (confirmed_flush_lsn - '0/0') >= " + std::to_string(recorder_.last_end) +
               " FROM pg_replication_slots WHERE slot_name = '" + SlotName() + "'") != "t") {
        ASSERT_LT(std::chrono::steady_clock::now(), deadline);
        ASSERT_TRUE(source_->Poll(recorder_, std::chrono::milliseconds(50), 100).ok());
    }
    const auto retained = source_->Retained();
    ASSERT_TRUE(retained.ok());
    EXPECT_FALSE(retained->durable_position.empty());
    EXPECT_GE(retained->bytes, 0);
}

TEST_F(StreamTest, KeepalivesOfAnIdleDatabaseTellProgress) {
    Begin("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE elsewhere (x int)");
    const auto position = source_->CurrentPosition();
    ASSERT_TRUE(position.ok());
    ASSERT_TRUE(source_->Heartbeat().ok());
    PollUntil(*source_, recorder_,
              [&] { return std::max(recorder_.progress, recorder_.last_end) > *position; });
    EXPECT_THAT(recorder_.changes, SizeIs(0));
}

TEST_F(StreamTest, ASecondReceiverStandsByUntilTheFirstIsGone) {
    Begin("CREATE TABLE t (id int PRIMARY KEY)");
    std::unique_ptr<sdk::Source> second = NewSource();
    const absl::Status refused = second->Start(0);
    EXPECT_EQ(refused.code(), absl::StatusCode::kAborted);
    EXPECT_EQ(base::ReasonOf(refused), "SLOT_ACTIVE");
    const absl::Status removed = second->Remove();
    EXPECT_EQ(base::ReasonOf(removed), "SLOT_ACTIVE");
    source_.reset();
    absl::Status started;
    for (int i = 0; i < 100 && !(started = second->Start(0)).ok(); ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    EXPECT_TRUE(started.ok()) << base::Describe(started);
}

TEST_F(StreamTest, StartRefusesWhatWouldLoseChanges) {
    Sql("CREATE TABLE t (id int PRIMARY KEY)");
    std::unique_ptr<sdk::Source> source = NewSource();
    EXPECT_EQ(base::ReasonOf(source->Start(0)), "SLOT_MISSING");
    EXPECT_FALSE(*source->HasSlot());
    ASSERT_TRUE(source->Prepare({}).ok());
    const auto begun = source->BeginCopy(true, std::chrono::minutes(2));
    ASSERT_TRUE(begun.ok()) << base::Describe(begun.status());
    EXPECT_TRUE(*source->HasSlot());
    const absl::Status ahead = source->Start(*begun - 1);
    EXPECT_EQ(ahead.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(base::ReasonOf(ahead), "SLOT_AHEAD");
    EXPECT_TRUE(source->Start(*begun).ok());
}

TEST_F(StreamTest, AHandlersErrorEndsThePoll) {
    Begin("CREATE TABLE t (id int PRIMARY KEY)");
    Sql("INSERT INTO t SELECT generate_series(1, 10)");
    recorder_.fail_at = 3;
    absl::StatusOr<int> polled = 0;
    for (int i = 0; i < 100 && polled.ok(); ++i) {
        polled = source_->Poll(recorder_, std::chrono::milliseconds(100), 1000);
    }
    EXPECT_EQ(polled.status().code(), absl::StatusCode::kCancelled);
    EXPECT_THAT(recorder_.changes, SizeIs(3));
}

TEST_F(StreamTest, PollStopsAtTheLimit) {
    Begin("CREATE TABLE t (id int PRIMARY KEY)");
    Sql("INSERT INTO t SELECT generate_series(1, 100)");
    while (recorder_.changes.empty()) {
        ASSERT_TRUE(source_->Poll(recorder_, std::chrono::milliseconds(100), 7).ok());
    }
    EXPECT_THAT(recorder_.changes, SizeIs(7));
}

TEST_F(StreamTest, ALostConnectionIsUnavailable) {
    Begin("CREATE TABLE t (id int PRIMARY KEY)");
    Sql("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '" + SlotName() +
        "'");
    absl::StatusOr<int> polled = 0;
    for (int i = 0; i < 50 && polled.ok(); ++i) {
        polled = source_->Poll(recorder_, std::chrono::milliseconds(100), 100);
    }
    EXPECT_EQ(polled.status().code(), absl::StatusCode::kUnavailable) << polled.status();
}

TEST_F(StreamTest, AnOrdinarySessionThatDiedIsMadeAgain) {
    Begin("CREATE TABLE t (id int PRIMARY KEY)");
    ASSERT_TRUE(source_->CurrentPosition().ok());
    Sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid "
        "<> "
        "pg_backend_pid() AND backend_type = 'client backend'");
    EXPECT_TRUE(source_->CurrentPosition().ok());
    Sql("INSERT INTO t VALUES (1)");
    EXPECT_THAT(Changes(), ElementsAre("I t(1)"));
}

TEST_F(StreamTest, RemoveLeavesNothing) {
    Begin("CREATE TABLE t (id int PRIMARY KEY)");
    EXPECT_TRUE(source_->Remove().ok());
    EXPECT_EQ(Sql("SELECT count(*) FROM pg_replication_slots WHERE database = current_database()"), "0");
    EXPECT_EQ(Sql("SELECT count(*) FROM pg_publication"), "0");
    EXPECT_TRUE(source_->Remove().ok()) << "twice is as good as once";
}

TEST_F(StreamTest, IdentifyNamesTheSystem) {
    const auto identity = NewSource()->Identify();
    ASSERT_TRUE(identity.ok()) << base::Describe(identity.status());
    EXPECT_EQ(identity->system_id, Sql("SELECT system_identifier FROM pg_control_system()"));
    EXPECT_GE(identity->timeline, 1U);
}

}  // namespace
}  // namespace millrace::postgres
