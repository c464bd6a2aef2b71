#include "connectors/postgres/chunk_reader.h"

#include <chrono>
#include <set>
#include <thread>

#include "base/status.h"
#include "connectors/postgres/reading_transaction.h"
#include "connectors/postgres/source_fixture.h"

namespace millrace::postgres {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(ParseSnapshot, NamesWhatWasRunning) {
    const auto seen = ParseSnapshot("100:120:105,110", /*standby=*/false);
    ASSERT_TRUE(seen.ok());
    EXPECT_TRUE(seen->Sees(99));
    EXPECT_TRUE(seen->Sees(106));
    EXPECT_FALSE(seen->Sees(105));
    EXPECT_FALSE(seen->Sees(110));
    EXPECT_FALSE(seen->Sees(120));
    EXPECT_TRUE(ParseSnapshot("100:100:", false).ok());
    for (const char* bad : {"", "1:2", "a:2:", "1:2:x", "1:2:3,"}) {
        EXPECT_EQ(ParseSnapshot(bad, false).status().code(), absl::StatusCode::kDataLoss) << bad;
    }
}

TEST(ParseSnapshot, OfAStandbyOnlyWhatLiesBelowTheOldestRunningIsSeen) {
    const auto seen = ParseSnapshot("100:120:", /*standby=*/true);
    ASSERT_TRUE(seen.ok());
    EXPECT_TRUE(seen->Sees(99));
    EXPECT_FALSE(seen->Sees(100));
    EXPECT_FALSE(seen->Sees(119));
}

class ChunkReaderTest : public SourceTest {
 protected:
    sdk::SourceTable Table() {
        source_ = NewSource();
        auto tables = source_->ListTables({.tables = {"*.*"}, .exclude = {}});
        EXPECT_TRUE(tables.ok()) << base::Describe(tables.status());
        EXPECT_EQ(tables->size(), 1U);
        return tables->at(0);
    }
    std::unique_ptr<sdk::ChunkReader> Reader() {
        const sdk::SourceTable table = Table();
        auto reader = source_->OpenChunks(table);
        EXPECT_TRUE(reader.ok()) << base::Describe(reader.status());
        EXPECT_EQ(*source_->ReadsChunks(table), *reader != nullptr);
        return *std::move(reader);
    }
    static std::vector<std::string> Rows(sdk::Chunk& chunk) {
        std::vector<std::string> rows;
        for (size_t row = 0; row < chunk.rows.size(); ++row) {
            rows.push_back(RowText(chunk.rows.Row(row)));
        }
        return rows;
    }
    /// All rows, by as many chunks as it takes, and how many those were.
    static std::vector<std::string> ReadAll(sdk::ChunkReader& reader, sdk::ChunkRequest request, int& chunks) {
        std::vector<std::string> rows;
        for (chunks = 0; chunks < 1'000;) {
            auto chunk = reader.Read(request);
            EXPECT_TRUE(chunk.ok()) << base::Describe(chunk.status());
            if (!chunk.ok()) {
                break;
            }
            ++chunks;
            for (std::string& row : Rows(*chunk)) {
                rows.push_back(std::move(row));
            }
            if (chunk->complete) {
                break;
            }
            request.after = chunk->last_key;
            request.bound = request.bound.empty() ? chunk->bound : request.bound;
        }
        return rows;
    }
    std::unique_ptr<sdk::Source> source_;
};

TEST_F(ChunkReaderTest, ChunksAreEveryRowOnceInTheOrderOfTheKeysIndex) {
    Sql("CREATE TABLE t (a text COLLATE \"en-x-icu\", v int, b numeric, PRIMARY KEY (b, a));"
        "INSERT INTO t SELECT chr(97 + i % 26) || '''x\\', i, (i / 10)::numeric / 4 FROM generate_series(1, 500) i");
    const auto reader = Reader();
    int chunks = 0;
    const std::vector<std::string> rows = ReadAll(*reader, {.max_rows = 37, .max_bytes = 1 << 20}, chunks);
    EXPECT_EQ(chunks, 14);
    std::vector<std::string> expected;
    const auto result = NewSession()->Execute("SELECT a || ',' || v || ',' || b FROM t ORDER BY b, a");
    ASSERT_TRUE(result.ok());
    for (int i = 0; i < result->rows(); ++i) {
        expected.emplace_back(result->Get(i, 0));
    }
    EXPECT_EQ(rows, expected);
}

TEST_F(ChunkReaderTest, RangesBetweenSplitsAreEveryRowOnce) {
    Sql("CREATE TABLE t (a text COLLATE \"en-x-icu\", v int, b numeric, PRIMARY KEY (b, a)) PARTITION BY HASH (b);"
        "CREATE TABLE t0 PARTITION OF t FOR VALUES WITH (MODULUS 2, REMAINDER 0);"
        "CREATE TABLE t1 PARTITION OF t FOR VALUES WITH (MODULUS 2, REMAINDER 1);"
        "INSERT INTO t SELECT chr(97 + i % 26) || '''x\\', i, (i / 10)::numeric / 4 FROM generate_series(1, 5000) i; ANALYZE t");
    const auto reader = Reader();
    const auto splits = reader->Split(7);
    ASSERT_TRUE(splits.ok()) << base::Describe(splits.status());
    ASSERT_EQ(splits->size(), 6U);
    std::vector<std::string> rows;
    for (size_t range = 0; range <= splits->size(); ++range) {
        sdk::ChunkRequest request{.max_rows = 300, .max_bytes = 1 << 20};
        request.after = range == 0 ? sdk::KeyTexts() : splits->at(range - 1);
        request.bound = range == splits->size() ? sdk::KeyTexts() : splits->at(range);
        int chunks = 0;
        const std::vector<std::string> part = ReadAll(*reader, request, chunks);
        EXPECT_GT(part.size(), 5000U / 20);
        EXPECT_LT(part.size(), 5000U / 3);
        rows.insert(rows.end(), part.begin(), part.end());
    }
    std::vector<std::string> expected;
    const auto result = NewSession()->Execute("SELECT a || ',' || v || ',' || b FROM t ORDER BY b, a");
    ASSERT_TRUE(result.ok());
    for (int i = 0; i < result->rows(); ++i) {
        expected.emplace_back(result->Get(i, 0));
    }
    EXPECT_EQ(rows, expected);
}

TEST_F(ChunkReaderTest, WhatIsTooSmallIsNotDivided) {
    Sql("CREATE TABLE t (id int PRIMARY KEY)");
    const auto empty = Reader()->Split(8);
    ASSERT_TRUE(empty.ok()) << base::Describe(empty.status());
    EXPECT_THAT(*empty, IsEmpty());
    Sql("INSERT INTO t SELECT generate_series(1, 3)");
    const auto few = Reader()->Split(8);
    ASSERT_TRUE(few.ok()) << base::Describe(few.status());
    EXPECT_LE(few->size(), 3U);
}

TEST_F(ChunkReaderTest, AChunkEndsAtItsBytesWithOneRowAtLeast) {
    Sql("CREATE TABLE t (id uuid PRIMARY KEY, v text);"
        "INSERT INTO t SELECT gen_random_uuid(), repeat('x', 10000) FROM generate_series(1, 20)");
    const auto reader = Reader();
    int chunks = 0;
    EXPECT_EQ(ReadAll(*reader, {.max_rows = 1000, .max_bytes = 30'000}, chunks).size(), 20U);
    EXPECT_GE(chunks, 6);
    EXPECT_EQ(ReadAll(*reader, {.max_rows = 1000, .max_bytes = 1}, chunks).size(), 20U);
    EXPECT_GE(chunks, 20);
}

TEST_F(ChunkReaderTest, RowsBeyondTheGreatestKeyAtTheBeginningAreLeftToTheStream) {
    Sql("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2), (3)");
    const auto reader = Reader();
    auto first = reader->Read({.max_rows = 2, .max_bytes = 1 << 20});
    ASSERT_TRUE(first.ok()) << base::Describe(first.status());
    EXPECT_THAT(first->bound, ElementsAre("3"));
    EXPECT_THAT(first->last_key, ElementsAre("2"));
    EXPECT_FALSE(first->complete);
    Sql("INSERT INTO t VALUES (4)");
    auto second = reader->Read({.after = first->last_key, .bound = first->bound, .max_rows = 2, .max_bytes = 1 << 20});
    ASSERT_TRUE(second.ok());
    EXPECT_THAT(Rows(*second), ElementsAre("3"));
    EXPECT_TRUE(second->complete);
    EXPECT_GE(second->high, first->high);
}

TEST_F(ChunkReaderTest, ASessionThatWasLostIsMadeAnew) {
    Sql("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2), (3)");
    const auto reader = Reader();
    auto first = reader->Read({.max_rows = 2, .max_bytes = 1 << 20});
    ASSERT_TRUE(first.ok()) << base::Describe(first.status());
    Sql("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE query = 'SELECT CASE WHEN pg_is_in_recovery() THEN "
        "pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END' AND pid <> pg_backend_pid()");
    const sdk::ChunkRequest rest{.after = first->last_key, .bound = first->bound, .max_rows = 2, .max_bytes = 1 << 20};
    EXPECT_TRUE(absl::IsUnavailable(reader->Read(rest).status()));
    auto second = reader->Read(rest);
    ASSERT_TRUE(second.ok()) << base::Describe(second.status());
    EXPECT_THAT(Rows(*second), ElementsAre("3"));
}

TEST_F(ChunkReaderTest, AnEmptyTableIsCompleteAtOnce) {
    Sql("CREATE TABLE t (id int PRIMARY KEY)");
    const auto reader = Reader();
    auto chunk = reader->Read({.max_rows = 2, .max_bytes = 1 << 20});
    ASSERT_TRUE(chunk.ok()) << base::Describe(chunk.status());
    EXPECT_TRUE(chunk->complete);
    EXPECT_EQ(chunk->rows.size(), 0U);
}

TEST_F(ChunkReaderTest, SingleKeysCanBeAskedFor) {
    Sql("CREATE TABLE t (a int, b text, v text, PRIMARY KEY (a, b)); INSERT INTO t SELECT i, 'k''' || i, 'v' FROM "
        "generate_series(1, 9) i");
    const auto reader = Reader();
    auto chunk = reader->Read({.keys = {{"3", "k'3"}, {"8", "k'8"}, {"3", "k'8"}}, .max_rows = 10, .max_bytes = 1 << 20});
    ASSERT_TRUE(chunk.ok()) << base::Describe(chunk.status());
    EXPECT_THAT(Rows(*chunk), ElementsAre("3,k'3,v", "8,k'8,v"));
    EXPECT_TRUE(chunk->complete);
}

TEST_F(ChunkReaderTest, ChosenRowsComeInChunksOfAllRows) {
    Sql("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, CASE WHEN i % 50 = 0 THEN 'it''s' ELSE 'no' END FROM "
        "generate_series(1, 200) i");
    const auto reader = Reader();
    int chunks = 0;
    EXPECT_THAT(ReadAll(*reader, {.where = "v = 'it''s' -- comment", .max_rows = 40, .max_bytes = 1 << 20}, chunks),
                ElementsAre("50,it's", "100,it's", "150,it's", "200,it's"));
    EXPECT_EQ(chunks, 6) << "of forty rows that were looked at, one after the last row";
    EXPECT_THAT(ReadAll(*reader, {.where = "false", .max_rows = 1000, .max_bytes = 1 << 20}, chunks), IsEmpty());
    EXPECT_EQ(chunks, 1);
    for (const char* bad : {"nobody = 1", "true) --", "true; DROP TABLE t", "true) TO STDOUT; DROP TABLE t; COPY (SELECT 1", ""}) {
        const absl::Status status = reader->Read({.where = bad, .max_rows = 10, .max_bytes = 1 << 20}).status();
        EXPECT_EQ(base::ReasonOf(status), *bad == '\0' ? "OK" : "WHERE_INVALID") << bad << ": " << base::Describe(status);
    }
}

TEST_F(ChunkReaderTest, ItsSnapshotTellsWhatItDidNotSee) {
    Sql("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)");
    const auto reader = Reader();
    const auto writer = NewSession();
    RunSql(*writer, "BEGIN");
    const auto xid = static_cast<uint32_t>(std::stoull(RunSql(*writer, "SELECT pg_current_xact_id()")));
    RunSql(*writer, "INSERT INTO t VALUES (2)");
    auto before = reader->Read({.max_rows = 10, .max_bytes = 1 << 20});
    ASSERT_TRUE(before.ok()) << base::Describe(before.status());
    EXPECT_FALSE(before->seen.Sees(xid));
    EXPECT_THAT(Rows(*before), ElementsAre("1"));
    RunSql(*writer, "COMMIT");
    auto after = reader->Read({.max_rows = 10, .max_bytes = 1 << 20});
    ASSERT_TRUE(after.ok());
    EXPECT_TRUE(after->seen.Sees(xid));
    EXPECT_THAT(Rows(*after), ElementsAre("1", "2"));
    EXPECT_EQ(RunSql(*writer, base::Concat("SELECT pg_current_wal_insert_lsn() >= '0/0'::pg_lsn + ", after->high)), "t");
}

TEST_F(ChunkReaderTest, ALookTellsWhoMayHaveCommittedUnseen) {
    Sql("CREATE TABLE t (id int PRIMARY KEY)");
    const auto reader = Reader();
    const auto idle = NewSession();
    RunSql(*idle, "BEGIN");
    const auto open = static_cast<uint32_t>(std::stoull(RunSql(*idle, "SELECT pg_current_xact_id()")));
    const auto busy = NewSession();
    RunSql(*busy, "BEGIN");
    const auto busy_xid = static_cast<uint32_t>(std::stoull(RunSql(*busy, "SELECT pg_current_xact_id()")));
    std::jthread sleeper([&busy] { RunSql(*busy, "SELECT pg_sleep(2)"); });
    const auto asleep = [this] {
        return RunSql(*session_, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()");
    };
    while (asleep() == "0") {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    const auto sight = reader->Look();
    ASSERT_TRUE(sight.ok()) << base::Describe(sight.status());
    EXPECT_FALSE(sight->seen.Sees(open));
    EXPECT_FALSE(sight->seen.Sees(busy_xid));
    EXPECT_THAT(sight->ending, ElementsAre(busy_xid)) << "one that waits for its client has not begun to commit";
}

TEST_F(ChunkReaderTest, TablesWithoutAUsableKeyAreNotReadSo) {
    Sql("CREATE TYPE pair AS (a int, b int); CREATE TABLE t (id pair PRIMARY KEY)");
    EXPECT_EQ(Reader(), nullptr);
    Sql("DROP TABLE t; CREATE TYPE mood AS ENUM ('low', 'high'); CREATE TABLE t (id mood PRIMARY KEY); INSERT INTO t VALUES ('high'), ('low')");
    int chunks = 0;
    EXPECT_THAT(ReadAll(*Reader(), {.max_rows = 1, .max_bytes = 1 << 20}, chunks), ElementsAre("low", "high"))
        << "in the order of the labels";
}

TEST_F(ChunkReaderTest, ALockedOrLostTableIsNamed) {
    Sql("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)");
    const auto reader = Reader();
    const auto other = NewSession();
    RunSql(*other, "BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE");
    EXPECT_EQ(base::ReasonOf(reader->Read({.max_rows = 1, .max_bytes = 1}).status()), "TABLE_LOCKED");
    RunSql(*other, "ROLLBACK");
    EXPECT_TRUE(reader->Read({.max_rows = 1, .max_bytes = 1}).ok()) << "the session is as good as before";
    Sql("ALTER TABLE t ADD COLUMN other int UNIQUE NOT NULL DEFAULT 1, DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (other)");
    EXPECT_EQ(base::ReasonOf(reader->Read({.max_rows = 1, .max_bytes = 1}).status()), "KEY_CHANGED");
    Sql("DROP TABLE t; CREATE TABLE t (id int PRIMARY KEY)");
    EXPECT_EQ(base::ReasonOf(reader->Read({.max_rows = 1, .max_bytes = 1}).status()), "TBL_MISSING");
}

TEST_F(ChunkReaderTest, PartsOfAPartitionedTableAreRead) {
    Sql("CREATE TABLE t (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (5); "
        "CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (5) TO (10); INSERT INTO t SELECT generate_series(0, 9)");
    int chunks = 0;
    EXPECT_EQ(ReadAll(*Reader(), {.max_rows = 3, .max_bytes = 1 << 20}, chunks).size(), 10U);
    EXPECT_EQ(chunks, 4);
}

}  // namespace
}  // namespace millrace::postgres
