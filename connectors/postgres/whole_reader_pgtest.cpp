#include "connectors/postgres/whole_reader.h"

#include "base/status.h"
#include "connectors/postgres/source_fixture.h"

namespace millrace::postgres {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class WholeReaderTest : public SourceTest {
 protected:
    absl::StatusOr<std::unique_ptr<sdk::ChunkReader>> Open() {
        source_ = NewSource();
        const auto tables = source_->ListTables({.tables = {"*.*"}, .exclude = {}});
        EXPECT_TRUE(tables.ok()) << base::Describe(tables.status());
        EXPECT_TRUE(tables->at(0).key.empty());
        EXPECT_TRUE(*source_->ReadsChunks(tables->at(0)));
        return source_->OpenChunks(tables->at(0));
    }
    static std::vector<std::string> ReadAll(sdk::ChunkReader& reader, const sdk::ChunkRequest& request, int& chunks) {
        std::vector<std::string> rows;
        for (chunks = 0; chunks < 1'000;) {
            auto chunk = reader.Read(request);
            EXPECT_TRUE(chunk.ok()) << base::Describe(chunk.status());
            if (!chunk.ok()) {
                break;
            }
            ++chunks;
            for (size_t row = 0; row < chunk->rows.size(); ++row) {
                rows.push_back(RowText(chunk->rows.Row(row)));
            }
            if (chunk->complete) {
                break;
            }
        }
        return rows;
    }
    std::unique_ptr<sdk::Source> source_;
};

TEST_F(WholeReaderTest, ChunksAreTheRowsOfOneSnapshotOnceEach) {
    Sql("CREATE TABLE t (v int, text text); INSERT INTO t SELECT i, CASE WHEN i % 3 > 0 THEN E'a\\tb' || i END FROM generate_series(1, 1000) i");
    const auto reader = Open();
    ASSERT_TRUE(reader.ok()) << base::Describe(reader.status());
    const auto sight = (*reader)->Look();
    ASSERT_TRUE(sight.ok()) << base::Describe(sight.status());
    EXPECT_THAT(sight->ending, IsEmpty());
    const auto later = static_cast<uint32_t>(std::stoull(RunSql(*session_, "SELECT pg_current_xact_id()")));
    EXPECT_FALSE(sight->seen.Sees(later));
    auto first = (*reader)->Read({.max_rows = 10, .max_bytes = 1 << 20});
    ASSERT_TRUE(first.ok()) << base::Describe(first.status());
    EXPECT_EQ(first->rows.size(), 10U);
    EXPECT_FALSE(first->seen.Sees(later));
    // All of it is seen as it was, whatever becomes of it.
    Sql("UPDATE t SET v = -v; DELETE FROM t WHERE v > -500; INSERT INTO t VALUES (5000, 'new')");
    Sql("VACUUM t");
    int chunks = 0;
    const std::vector<std::string> rest = ReadAll(**reader, {.max_rows = 99, .max_bytes = 1 << 20}, chunks);
    EXPECT_EQ(chunks, 11) << "the last one is empty, for the end is known by it";
    ASSERT_EQ(rest.size(), 990U);
    EXPECT_EQ(rest.front(), "11,a\tb11");
    EXPECT_EQ(rest.back(), "1000,a\tb1000");
}

TEST_F(WholeReaderTest, AChunkEndsAtItsBytes) {
    Sql("CREATE TABLE t (v text); INSERT INTO t SELECT repeat('x', 10000) FROM generate_series(1, 20)");
    const auto reader = Open();
    ASSERT_TRUE((*reader)->Look().ok());
    int chunks = 0;
    EXPECT_EQ(ReadAll(**reader, {.max_rows = 1000, .max_bytes = 30'000}, chunks).size(), 20U);
    EXPECT_GE(chunks, 6);
}

TEST_F(WholeReaderTest, TheTableKeepsItsShapeAsLongAsTheReaderLives) {
    Sql("CREATE TABLE t (v int); INSERT INTO t VALUES (1)");
    auto reader = Open();
    ASSERT_TRUE((*reader)->Look().ok());
    int chunks = 0;
    EXPECT_THAT(ReadAll(**reader, {.max_rows = 10, .max_bytes = 1 << 20}, chunks), ElementsAre("1"));
    const auto other = NewSession();
    RunSql(*other, "SET lock_timeout = '200ms'");
    EXPECT_EQ(base::ReasonOf(other->Execute("TRUNCATE t").status()), "SQLSTATE_55P03");
    EXPECT_TRUE(other->Execute("INSERT INTO t VALUES (2)").ok());
    reader->reset();
    EXPECT_TRUE(other->Execute("TRUNCATE t").ok());
}

TEST_F(WholeReaderTest, ALockedTableAndALostConnectionAreNamed) {
    Sql("CREATE TABLE t (v int); INSERT INTO t SELECT generate_series(1, 100)");
    {
        const auto other = NewSession();
        RunSql(*other, "BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE");
        EXPECT_EQ(base::ReasonOf(Open().status()), "TABLE_LOCKED");
    }
    const auto reader = Open();
    ASSERT_TRUE((*reader)->Look().ok());
    EXPECT_EQ(base::ReasonOf((*reader)->Look().status()), "READING_ENDED");
    Sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database() AND state = 'idle in transaction'");
    EXPECT_EQ(base::ReasonOf((*reader)->Read({.max_rows = 1, .max_bytes = 1}).status()), "READING_ENDED");
}

TEST_F(WholeReaderTest, PartsOfAPartitionedTableAreReadAndThoseOfItsHeirsAreNot) {
    Sql("CREATE TABLE t (v int) PARTITION BY RANGE (v); CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (5); "
        "CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (5) TO (10); INSERT INTO t SELECT generate_series(0, 9)");
    int chunks = 0;
    auto reader = Open();
    ASSERT_TRUE((*reader)->Look().ok());
    EXPECT_EQ(ReadAll(**reader, {.max_rows = 100, .max_bytes = 1 << 20}, chunks).size(), 10U);
    reader->reset();
    Sql("DROP TABLE t; CREATE TABLE t (v int); CREATE TABLE z () INHERITS (t); INSERT INTO t VALUES (1); INSERT INTO z VALUES (2)");
    reader = Open();
    ASSERT_TRUE((*reader)->Look().ok());
    EXPECT_THAT(ReadAll(**reader, {.max_rows = 100, .max_bytes = 1 << 20}, chunks), ElementsAre("1"));
}

}  // namespace
}  // namespace millrace::postgres
