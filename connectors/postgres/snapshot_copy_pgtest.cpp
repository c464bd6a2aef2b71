#include <atomic>
#include <chrono>
#include <map>
#include <set>
#include <thread>

#include "connectors/postgres/source_fixture.h"

namespace millrace::postgres {
namespace {

using ::testing::ElementsAre;

class CopyTest : public SourceTest {
 protected:
    uint64_t Begin(bool new_slot = true) {
        source_ = NewSource();
        auto tables = source_->ListTables({.tables = {"*.*"}, .exclude = {}});
        EXPECT_TRUE(tables.ok()) << base::Describe(tables.status());
        tables_ = *tables;
        EXPECT_TRUE(source_->Prepare(tables_).ok());
        const auto begun = source_->BeginCopy(new_slot, std::chrono::minutes(2));
        EXPECT_TRUE(begun.ok()) << base::Describe(begun.status());
        return begun.ok() ? *begun : 0;
    }

    std::unique_ptr<sdk::Source> source_;
    std::vector<sdk::SourceTable> tables_;
    Recorder recorder_;
};

TEST_F(CopyTest, RowsArriveAsTheStreamWouldSendThem) {
    Sql("CREATE TABLE t (id int PRIMARY KEY, s text, b bytea, f float8, ts timestamptz, d date, g int "
        "GENERATED ALWAYS "
        "AS (id * 2) STORED, a text[])");
    const std::string row =
        R"(1, E'a\tb\\\\c\n', '\x00ff', 0.1, '2024-02-29 12:00:00.5+02', '2024-02-29', E'{"x\\"y",NULL}')";
    Sql("INSERT INTO t (id, s, b, f, ts, d, a) VALUES (" + row +
        "), (2, '', NULL, 'NaN', 'infinity', NULL, '{}')");
    const uint64_t point = Begin();
    const auto rows = source_->CopyTable(tables_[0], 5, recorder_);
    ASSERT_TRUE(rows.ok()) << base::Describe(rows.status());
    EXPECT_EQ(*rows, 2);
    EXPECT_EQ(recorder_.changes[0].position, (sdk::Position{point, 5}));
    EXPECT_EQ(recorder_.changes[1].position, (sdk::Position{point, 6}));
    const auto described = source_->Describe(tables_[0]);
    ASSERT_TRUE(described.ok());
    EXPECT_EQ((*described)->id, recorder_.changes[0].schema->id);
    ASSERT_TRUE(source_->EndCopy().ok());
    ASSERT_TRUE(source_->Start(point).ok());

    Recorder streamed;
    Sql("UPDATE t SET s = s");
    Drain(*source_, streamed);
    ASSERT_EQ(streamed.changes.size(), 2U);
    for (size_t i = 0; i < 2; ++i) {
        EXPECT_EQ(streamed.Texts()[i].substr(1), recorder_.Texts()[i].substr(1));
        EXPECT_EQ(streamed.changes[i].schema->id, recorder_.changes[i].schema->id);
    }
}

TEST_F(CopyTest, CopyAndStreamTogetherAreEveryRowOnceWhileOthersWrite) {
    Sql("CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t SELECT i, 0 FROM generate_series(1, 500) "
        "i");
    std::atomic<bool> stop = false;
    std::thread writer([&] {
        const auto session = NewSession();
        for (int i = 0; !stop; ++i) {
            RunSql(*session, base::Concat("UPDATE t SET n = n + 1 WHERE id % 50 = ", i % 50));
            RunSql(*session, base::Concat("INSERT INTO t VALUES (", 1000 + i, ", 0)"));
            RunSql(*session, base::Concat("DELETE FROM t WHERE id = ", 1000 + i - 3));
        }
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    const uint64_t point = Begin();
    EXPECT_TRUE(source_->CopyTable(tables_[0], 0, recorder_).ok());
    EXPECT_TRUE(source_->EndCopy().ok());
    EXPECT_TRUE(source_->Start(point).ok());
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    stop = true;
    writer.join();
    Drain(*source_, recorder_);

    std::map<std::string, std::string> rows;
    for (const Recorder::Entry& entry : recorder_.changes) {
        EXPECT_TRUE(entry.text[0] == 'R' || entry.position.commit >= point);
        const size_t open = entry.text.find('(');
        const std::string key = entry.text.substr(open + 1, entry.text.find(',') - open - 1);
        if (entry.text[0] == 'D') {
            EXPECT_EQ(rows.erase(key), 1U) << entry.text;
        } else {
            const bool known = rows.contains(key);
            EXPECT_EQ(known, entry.text[0] == 'U') << entry.text;
            rows[key] = entry.text.substr(open);
        }
    }
    std::set<std::string> replicated;
    for (const auto& [key, text] : rows) {
        replicated.insert(text);
    }
    std::set<std::string> actual;
    const auto result = NewSession()->Execute("SELECT '(' || id || ',' || n || ')' FROM t");
    ASSERT_TRUE(result.ok());
    for (int i = 0; i < result->rows(); ++i) {
        actual.emplace(result->Get(i, 0));
    }
    EXPECT_EQ(replicated, actual);
}

TEST_F(CopyTest, ExcludedColumnsAreNotRead) {
    Sql("CREATE TABLE t (id int PRIMARY KEY, \"Left out\" text, n int NOT NULL, g int GENERATED ALWAYS AS (n * 2) "
        "STORED); INSERT INTO t (id, \"Left out\", n) VALUES (1, 'unread', 7)");
    Begin();
    const auto columns = source_->ListColumns(tables_);
    ASSERT_TRUE(columns.ok()) << base::Describe(columns.status());
    EXPECT_THAT(columns->at(0), ElementsAre("id", "Left out", "n"));
    sdk::SourceTable gone;
    gone.schema = "public";
    gone.table = "nowhere";
    EXPECT_TRUE(source_->ListColumns({gone})->at(0).empty());
    const auto whole = source_->Describe(tables_[0]);
    tables_[0].excluded = {"Left out"};
    const auto described = source_->Describe(tables_[0]);
    ASSERT_TRUE(whole.ok() && described.ok());
    sdk::TableSchema expected = **whole;
    expected.columns.erase(expected.columns.begin() + 1);
    EXPECT_EQ((*described)->columns, expected.columns);
    EXPECT_EQ((*described)->id, sdk::ComputeSchemaId(expected)) << "as if the stream's shape had lost the column";
    ASSERT_TRUE(source_->CopyTable(tables_[0], 0, recorder_).ok());
    ASSERT_EQ(recorder_.changes.size(), 1U);
    EXPECT_EQ(recorder_.Texts()[0].find("unread"), std::string::npos);
    EXPECT_EQ(recorder_.changes[0].schema->id, (*described)->id);
}

TEST_F(CopyTest, PartitionsAreReadThroughTheirRootAndChildrenOfAnOrdinaryTableApart) {
    Sql("CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE p1 PARTITION OF p FOR "
        "VALUES FROM "
        "(0) TO (10); CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20); INSERT INTO p VALUES (1), "
        "(11); "
        "CREATE TABLE parent (x int); CREATE TABLE child () INHERITS (parent); INSERT INTO parent VALUES "
        "(1); "
        "INSERT INTO child VALUES (2)");
    Begin();
    for (const sdk::SourceTable& table : tables_) {
        ASSERT_TRUE(source_->CopyTable(table, 0, recorder_).ok());
    }
    EXPECT_THAT(recorder_.Texts(), ElementsAre("R child(2)", "R p(1)", "R p(11)", "R parent(1)"));
}

TEST_F(CopyTest, AKeyOfWhichAPartIsNotSentIsNoKey) {
    Sql("CREATE TABLE g (a int, h int GENERATED ALWAYS AS (a % 10) STORED, PRIMARY KEY (a, h)); CREATE TABLE "
        "p (id int "
        "PRIMARY KEY, code int NOT NULL DEFAULT 7) PARTITION BY LIST (id); CREATE TABLE p1 PARTITION OF p DEFAULT; "
        "CREATE UNIQUE INDEX p1_code ON p1 (code); ALTER TABLE p1 REPLICA IDENTITY USING INDEX p1_code");
    const uint64_t point = Begin();
    for (const sdk::SourceTable& table : tables_) {
        EXPECT_TRUE(table.key.empty()) << table.table;
        const auto schema = source_->Describe(table);
        ASSERT_TRUE(schema.ok()) << base::Describe(schema.status());
        EXPECT_TRUE((*schema)->append_only) << table.table;
    }
    ASSERT_TRUE(source_->EndCopy().ok());
    ASSERT_TRUE(source_->Start(point).ok());
    Sql("INSERT INTO g VALUES (1); INSERT INTO p VALUES (1); UPDATE g SET a = 2; UPDATE p SET id = 2");
    Drain(*source_, recorder_);
    EXPECT_THAT(recorder_.Texts(), ElementsAre("I g(1)", "I p(1,7)"));
    EXPECT_TRUE(recorder_.changes[0].schema->append_only);
    EXPECT_TRUE(recorder_.changes[1].schema->append_only);
}

TEST_F(CopyTest, PartitionsMaySendTheirWholeRowsWhereTheRootSendsItsKey) {
    Sql("CREATE TABLE p (id int PRIMARY KEY, v text, big text) PARTITION BY RANGE (id); ALTER TABLE p ALTER big SET STORAGE "
        "EXTERNAL; CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10); CREATE TABLE p2 PARTITION OF p DEFAULT; "
        "ALTER TABLE p1 REPLICA IDENTITY FULL; INSERT INTO p VALUES (1, 'a', repeat('x', 3000)), (11, 'a', repeat('x', 3000))");
    const uint64_t point = Begin();
    ASSERT_TRUE(source_->EndCopy().ok());
    ASSERT_TRUE(source_->Start(point).ok());
    Sql("UPDATE p SET v = 'b'; UPDATE p SET id = id + 1; DELETE FROM p");
    Drain(*source_, recorder_);
    const std::string big(3000, 'x');
    EXPECT_THAT(recorder_.Texts(),
                ElementsAre("U p(1,b," + big + ")<(1,a," + big + ")", "U p(11,b,~)",
                            "U p(2,b," + big + ")<(1,b," + big + ")", "U p(12,b,~)<(11,-,-)",
                            "D p<(2,b," + big + ")", "D p<(12,-,-)"));
    for (const auto& change : recorder_.changes) {
        EXPECT_THAT(change.schema->KeyColumns(), ElementsAre(0));
    }
}

TEST_F(CopyTest, OnlyOneWorkerCopies) {
    Sql("CREATE TABLE t (id int PRIMARY KEY)");
    const uint64_t point = Begin();
    std::unique_ptr<sdk::Source> second = NewSource();
    const auto refused = second->BeginCopy(true, std::chrono::minutes(2));
    EXPECT_EQ(refused.status().code(), absl::StatusCode::kAborted);
    EXPECT_EQ(base::ReasonOf(refused.status()), "COPY_ELSEWHERE");
    ASSERT_TRUE(source_->EndCopy().ok());
    EXPECT_EQ(base::ReasonOf(second->BeginCopy(true, std::chrono::minutes(2)).status()), "COPY_ELSEWHERE") << "held until Start";
    ASSERT_TRUE(source_->Start(point).ok());
    EXPECT_EQ(base::ReasonOf(second->BeginCopy(true, std::chrono::minutes(2)).status()), "SLOT_ACTIVE");
}

TEST_F(CopyTest, ATemporarySlotLeavesTheStreamAndNothingBehind) {
    Sql("CREATE TABLE t (id int PRIMARY KEY)");
    std::unique_ptr<sdk::Source> streaming = StartedSource();
    Sql("INSERT INTO t VALUES (1)");
    const uint64_t point = Begin(false);
    EXPECT_GT(point, 0U);
    Sql("INSERT INTO t VALUES (2)");
    ASSERT_TRUE(source_->CopyTable(tables_[0], 0, recorder_).ok());
    EXPECT_THAT(recorder_.Texts(), ElementsAre("R t(1)"));
    ASSERT_TRUE(source_->EndCopy().ok());
    Recorder streamed;
    Drain(*streaming, streamed);
    EXPECT_THAT(streamed.Texts(), ElementsAre("I t(1)", "I t(2)"));
    EXPECT_LT(streamed.changes[0].position.commit, point);
    EXPECT_GE(streamed.changes[1].position.commit, point);
    EXPECT_EQ(Sql("SELECT count(*) FROM pg_replication_slots WHERE database = current_database()"), "1");
}

TEST_F(CopyTest, ATableRewrittenAfterTheSnapshotIsNotReadAsEmpty) {
    Sql("CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 1)");
    Begin();
    Sql("ALTER TABLE t ALTER n TYPE bigint");
    const auto copied = source_->CopyTable(tables_[0], 0, recorder_);
    EXPECT_EQ(copied.status().code(), absl::StatusCode::kAborted);
    EXPECT_EQ(base::ReasonOf(copied.status()), "TABLE_CHANGED");
    EXPECT_EQ(
        base::ReasonOf(source_->CopyTable({.schema = "public", .table = "gone"}, 0, recorder_).status()),
        "TBL_MISSING");
}

TEST_F(CopyTest, ACancelledCopyEndsAndCanBeginAgain) {
    Sql("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 200000)");
    Begin();
    recorder_.fail_at = 10;
    EXPECT_EQ(source_->CopyTable(tables_[0], 0, recorder_).status().code(), absl::StatusCode::kCancelled);
    EXPECT_EQ(recorder_.changes.size(), 10U);
    EXPECT_TRUE(source_->BeginCopy(true, std::chrono::minutes(2)).ok());
    Recorder whole;
    const auto rows = source_->CopyTable(tables_[0], 0, whole);
    ASSERT_TRUE(rows.ok()) << base::Describe(rows.status());
    EXPECT_EQ(*rows, 200000);
}

TEST_F(CopyTest, CustomersDdlWaitsForNoLockBetweenTables) {
    Sql("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)");
    Begin();
    ASSERT_TRUE(source_->Describe(tables_[0]).ok());
    ASSERT_TRUE(source_->CopyTable(tables_[0], 0, recorder_).ok());
    Sql("SET lock_timeout = '1s'; ALTER TABLE t ADD COLUMN later int");
}

}  // namespace
}  // namespace millrace::postgres
