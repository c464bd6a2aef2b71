#include "connectors/postgres/change_assembler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/status.h"
#include "base/text.h"
#include "connectors/postgres/table_schema.h"

namespace millrace::postgres {
namespace {

using Kind = PgoutputMessage::Kind;
using OldTuple = PgoutputMessage::OldTuple;
using sdk::Cell;
using ::testing::ElementsAre;

class Recorder final : public sdk::ChangeHandler {
 public:
    absl::Status OnChange(const sdk::ChangeEvent& event) override {
        std::string text = base::Concat(event.position.commit, "/", event.position.seq, " ",
                                        static_cast<int>(event.op), " ", event.schema->table);
        for (const sdk::RowView row : {event.after, event.before}) {
            text += " (";
            for (const Cell& cell : row) {
                text += cell.is_null()        ? std::string_view("-")
                        : cell.is_unchanged() ? std::string_view("~")
                                              : cell.text();
            }
            text += ")";
        }
        lines.push_back(text);
        return status;
    }
    absl::Status OnCommit(uint64_t commit, uint64_t end, int64_t /*time*/) override {
        lines.push_back(base::Concat("commit ", commit, " ", end));
        return status;
    }
    absl::Status OnProgress(uint64_t /*position*/) override { return absl::OkStatus(); }

    std::vector<std::string> lines;
    absl::Status status;
};

class ChangeAssemblerTest : public ::testing::Test {
 protected:
    ChangeAssemblerTest()
        : assembler_([this](const Relation& relation) -> absl::StatusOr<sdk::SchemaPtr> {
              ++resolved_;
              return BuildSchema(relation, std::nullopt, std::vector<ColumnType>(relation.columns.size()));
          }) {}

    absl::Status Handle(PgoutputMessage message) { return assembler_.Handle(message, recorder_); }
    absl::Status Begin(uint64_t lsn) { return Handle({.kind = Kind::kBegin, .lsn = lsn}); }
    absl::Status Commit(uint64_t lsn) {
        return Handle({.kind = Kind::kCommit, .lsn = lsn, .end_lsn = lsn + 8});
    }
    absl::Status Announce(uint32_t oid, std::string name, int columns = 2) {
        Relation relation{
            .oid = oid, .schema = "s", .table = std::move(name), .identity = 'd', .columns = {}};
        for (int i = 0; i < columns; ++i) {
            relation.columns.push_back(
                {.name = base::Concat("c", i), .type_oid = 25, .typmod = -1, .key = i == 0});
        }
        return Handle({.kind = Kind::kRelation, .relation = relation});
    }
    absl::Status Insert(uint32_t oid) {
        return Handle(
            {.kind = Kind::kInsert, .relation_oid = oid, .new_row = {Cell::Value("k"), Cell::Value("v")}});
    }

    int resolved_ = 0;
    Recorder recorder_;
    ChangeAssembler assembler_;
};

TEST_F(ChangeAssemblerTest, SequenceCountsEveryChangeOfATransactionFromZero) {
    ASSERT_TRUE(Begin(100).ok());
    ASSERT_TRUE(Announce(1, "a").ok());
    ASSERT_TRUE(Announce(2, "b").ok());
    ASSERT_TRUE(Insert(1).ok());
    ASSERT_TRUE(Handle({.kind = Kind::kTruncate, .truncated = {1, 2}}).ok());
    ASSERT_TRUE(Insert(2).ok());
    EXPECT_TRUE(assembler_.in_transaction());
    ASSERT_TRUE(Commit(100).ok());
    EXPECT_FALSE(assembler_.in_transaction());
    ASSERT_TRUE(Begin(200).ok());
    ASSERT_TRUE(Insert(1).ok());
    EXPECT_THAT(recorder_.lines, ElementsAre("100/0 1 a (kv) ()", "100/1 4 a () ()", "100/2 4 b () ()",
                                             "100/3 1 b (kv) ()", "commit 100 108", "200/0 1 a (kv) ()"));
    EXPECT_EQ(resolved_, 2) << "one schema for each relation, not for each change";
}

TEST_F(ChangeAssemblerTest, UnchangedCellsComeFromTheOldRowWhereItHasThem) {
    ASSERT_TRUE(Begin(1).ok());
    ASSERT_TRUE(Announce(1, "a", 3).ok());
    ASSERT_TRUE(Handle({.kind = Kind::kUpdate,
                        .relation_oid = 1,
                        .new_row = {Cell::Value("k"), Cell::Unchanged(), Cell::Unchanged()},
                        .old_tuple = OldTuple::kRow,
                        .old_row = {Cell::Value("k"), Cell::Value("big"), Cell::Null()}})
                    .ok());
    ASSERT_TRUE(Handle({.kind = Kind::kUpdate,
                        .relation_oid = 1,
                        .new_row = {Cell::Unchanged(), Cell::Value("x"), Cell::Unchanged()},
                        .old_tuple = OldTuple::kKey,
                        .old_row = {Cell::Value("bigkey"), Cell::Null(), Cell::Null()}})
                    .ok());
    EXPECT_THAT(recorder_.lines, ElementsAre("1/0 2 a (kbig~) (kbig-)", "1/1 2 a (bigkeyx~) (bigkey--)"));
}

TEST_F(ChangeAssemblerTest, AnotherAnnouncementReplacesTheSchema) {
    ASSERT_TRUE(Begin(1).ok());
    ASSERT_TRUE(Announce(1, "a").ok());
    ASSERT_TRUE(Insert(1).ok());
    ASSERT_TRUE(Announce(1, "renamed").ok());
    ASSERT_TRUE(Insert(1).ok());
    EXPECT_THAT(recorder_.lines, ElementsAre("1/0 1 a (kv) ()", "1/1 1 renamed (kv) ()"));
}

TEST_F(ChangeAssemblerTest, AStreamThatContradictsItselfIsDataLoss) {
    EXPECT_EQ(Insert(1).code(), absl::StatusCode::kDataLoss) << "outside a transaction";
    EXPECT_EQ(Commit(5).code(), absl::StatusCode::kDataLoss);
    ASSERT_TRUE(Begin(1).ok());
    EXPECT_EQ(Begin(2).code(), absl::StatusCode::kDataLoss);
    EXPECT_EQ(Insert(9).code(), absl::StatusCode::kDataLoss) << "never announced";
    ASSERT_TRUE(Announce(1, "a", 3).ok());
    EXPECT_EQ(Insert(1).code(), absl::StatusCode::kDataLoss) << "two cells for three columns";
    EXPECT_EQ(Commit(5).code(), absl::StatusCode::kDataLoss) << "of another transaction";
}

TEST_F(ChangeAssemblerTest, AnUpdateWithoutAKeyIsHandedOverAsItIs) {
    ASSERT_TRUE(Begin(1).ok());
    ASSERT_TRUE(
        Handle({.kind = Kind::kRelation,
                .relation =
                    {.oid = 1, .schema = "s", .table = "t", .identity = 'n', .columns = {{.name = "c"}}}})
            .ok());
    ASSERT_TRUE(Handle({.kind = Kind::kUpdate, .relation_oid = 1, .new_row = {Cell::Value("x")}}).ok());
    EXPECT_THAT(recorder_.lines, ElementsAre("1/0 2 t (x) ()"));
}

TEST_F(ChangeAssemblerTest, HandlersErrorsPassUnchanged) {
    ASSERT_TRUE(Begin(1).ok());
    ASSERT_TRUE(Announce(1, "a").ok());
    recorder_.status = absl::CancelledError("stop");
    EXPECT_EQ(Insert(1), recorder_.status);
    EXPECT_EQ(Commit(1), recorder_.status);
}

TEST_F(ChangeAssemblerTest, MessagesOfOthersAreNoChanges) {
    ASSERT_TRUE(Handle({.kind = Kind::kMessage, .prefix = "audit", .content = "x"}).ok());
    ASSERT_TRUE(Begin(1).ok());
    ASSERT_TRUE(Handle({.kind = Kind::kMessage, .prefix = kHeartbeatPrefix}).ok());
    ASSERT_TRUE(Commit(1).ok());
    EXPECT_THAT(recorder_.lines, ElementsAre("commit 1 9"));
}

}  // namespace
}  // namespace millrace::postgres
