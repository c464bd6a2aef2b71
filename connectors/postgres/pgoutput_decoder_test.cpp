#include "connectors/postgres/pgoutput_decoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace millrace::postgres {
namespace {

using namespace std::string_literals;
using Kind = PgoutputMessage::Kind;
using ::testing::ElementsAre;

// Messages as a server sends them, byte by byte.
const std::string kBegin =
    "B\x00\x00\x00\x01\x02\x00\x00\x10"
    "\x00\x00\x00\x00\x00\x00\x00\x05"
    "\x00\x00\x02\xf1"s;
const std::string kCommit =
    "C\x00"
    "\x00\x00\x00\x01\x02\x00\x00\x10"
    "\x00\x00\x00\x01\x02\x00\x00\x40"
    "\x00\x00\x00\x00\x00\x00\x00\x05"s;
const std::string kRelation =
    "R\x00\x00\x40\x01public\x00items\x00"
    "d\x00\x02"
    "\x01id\x00\x00\x00\x00\x17\xff\xff\xff\xff"
    "\x00price\x00\x00\x00\x06\xa4\x00\x0a\x00\x06"s;
const std::string kInsert = "I\x00\x00\x40\x01N\x00\x03t\x00\x00\x00\x02"s + "42nu"s;
const std::string kUpdate = "U\x00\x00\x40\x01N\x00\x01t\x00\x00\x00\x00"s;
const std::string kUpdateKey =
    "U\x00\x00\x40\x01K\x00\x02t\x00\x00\x00\x01"s + "1nN\x00\x02t\x00\x00\x00\x01"s + "2u"s;
const std::string kUpdateRow =
    "U\x00\x00\x40\x01O\x00\x01t\x00\x00\x00\x01"s + "1N\x00\x01t\x00\x00\x00\x01"s + "2"s;
const std::string kDelete = "D\x00\x00\x40\x01K\x00\x01t\x00\x00\x00\x01"s + "7"s;
const std::string kTruncate = "T\x00\x00\x00\x02\x01\x00\x00\x40\x01\x00\x00\x40\x02"s;
const std::string kLogical =
    "M\x01\x00\x00\x00\x00\x01\x00\x00\x00millrace.heartbeat\x00\x00\x00\x00\x03"
    "abc"s;
const std::string kOrigin = "O\x00\x00\x00\x00\x01\x00\x00\x00upstream\x00"s;
const std::string kType = "Y\x00\x00\x40\x09public\x00mood\x00"s;

const std::vector<std::string>& All() {
    static const std::vector<std::string> kAll = {kBegin,    kCommit,    kRelation,  kInsert,
                                                  kUpdate,   kUpdateKey, kUpdateRow, kDelete,
                                                  kTruncate, kLogical,   kOrigin,    kType};
    return kAll;
}

PgoutputMessage Decoded(const std::string& bytes) {
    PgoutputMessage message;
    const absl::Status status = DecodePgoutput(bytes, message);
    EXPECT_TRUE(status.ok()) << status;
    return message;
}

TEST(PgoutputDecoderTest, BeginAndCommit) {
    const PgoutputMessage begin = Decoded(kBegin);
    EXPECT_EQ(begin.kind, Kind::kBegin);
    EXPECT_EQ(begin.lsn, 0x102000010U);
    EXPECT_EQ(begin.commit_time_us, kPostgresEpochUs + 5);
    EXPECT_EQ(begin.xid, 753U);
    const PgoutputMessage commit = Decoded(kCommit);
    EXPECT_EQ(commit.kind, Kind::kCommit);
    EXPECT_EQ(commit.lsn, begin.lsn);
    EXPECT_EQ(commit.end_lsn, 0x102000040U);
    EXPECT_EQ(commit.commit_time_us, kPostgresEpochUs + 5);
}

TEST(PgoutputDecoderTest, RelationDescribesColumns) {
    const Relation relation = Decoded(kRelation).relation;
    EXPECT_EQ(relation.oid, 0x4001U);
    EXPECT_EQ(relation.schema, "public");
    EXPECT_EQ(relation.table, "items");
    EXPECT_EQ(relation.identity, 'd');
    EXPECT_THAT(
        relation.columns,
        ElementsAre(RelationColumn{.name = "id", .type_oid = 23, .typmod = -1, .key = true},
                    RelationColumn{.name = "price", .type_oid = 1700, .typmod = 0xa0006, .key = false}));
}

TEST(PgoutputDecoderTest, CellsAreThreeValued) {
    const PgoutputMessage insert = Decoded(kInsert);
    EXPECT_EQ(insert.relation_oid, 0x4001U);
    ASSERT_EQ(insert.new_row.size(), 3U);
    EXPECT_EQ(insert.new_row[0].text(), "42");
    EXPECT_TRUE(insert.new_row[1].is_null());
    EXPECT_TRUE(insert.new_row[2].is_unchanged());
    EXPECT_EQ(insert.old_tuple, PgoutputMessage::OldTuple::kNone);
    const PgoutputMessage empty = Decoded(kUpdate);
    EXPECT_TRUE(empty.new_row[0].is_value());
    EXPECT_EQ(empty.new_row[0].text(), "");
}

TEST(PgoutputDecoderTest, ValuesPointIntoTheBytes) {
    PgoutputMessage message;
    ASSERT_TRUE(DecodePgoutput(kInsert, message).ok());
    const char* data = message.new_row[0].text().data();
    EXPECT_GE(data, kInsert.data());
    EXPECT_LT(data, kInsert.data() + kInsert.size());
}

TEST(PgoutputDecoderTest, OldTuples) {
    const PgoutputMessage key = Decoded(kUpdateKey);
    EXPECT_EQ(key.old_tuple, PgoutputMessage::OldTuple::kKey);
    EXPECT_EQ(key.old_row[0].text(), "1");
    EXPECT_TRUE(key.old_row[1].is_null());
    EXPECT_EQ(key.new_row[0].text(), "2");
    EXPECT_TRUE(key.new_row[1].is_unchanged());
    EXPECT_EQ(Decoded(kUpdateRow).old_tuple, PgoutputMessage::OldTuple::kRow);
    const PgoutputMessage gone = Decoded(kDelete);
    EXPECT_EQ(gone.old_row[0].text(), "7");
    EXPECT_TRUE(gone.new_row.empty());
}

TEST(PgoutputDecoderTest, TruncateAndLogicalMessage) {
    EXPECT_THAT(Decoded(kTruncate).truncated, ElementsAre(0x4001U, 0x4002U));
    const PgoutputMessage logical = Decoded(kLogical);
    EXPECT_TRUE(logical.transactional);
    EXPECT_EQ(logical.lsn, 0x1000000U);
    EXPECT_EQ(logical.prefix, "millrace.heartbeat");
    EXPECT_EQ(logical.content, "abc");
}

TEST(PgoutputDecoderTest, NothingOfTheLastMessageIsLeft) {
    PgoutputMessage message;
    ASSERT_TRUE(DecodePgoutput(kUpdateKey, message).ok());
    ASSERT_TRUE(DecodePgoutput(kInsert, message).ok());
    EXPECT_TRUE(message.old_row.empty());
    ASSERT_TRUE(DecodePgoutput(kDelete, message).ok());
    EXPECT_TRUE(message.new_row.empty());
}

TEST(PgoutputDecoderTest, EveryPrefixAndEverySurplusIsDataLoss) {
    PgoutputMessage message;
    for (const std::string& whole : All()) {
        for (size_t size = 0; size < whole.size(); ++size) {
            // A copy of its own, so that a sanitizer sees a read past the end.
            const std::string part(whole.data(), size);
            EXPECT_EQ(DecodePgoutput(part, message).code(), absl::StatusCode::kDataLoss) << whole[0] << size;
        }
        EXPECT_EQ(DecodePgoutput(whole + "x", message).code(), absl::StatusCode::kDataLoss) << whole[0];
    }
}

TEST(PgoutputDecoderTest, WrongTagsAndCountsAreDataLoss) {
    PgoutputMessage message;
    for (const std::string& bytes :
         {"Z"s, "I\x00\x00\x40\x01K\x00\x00"s, "D\x00\x00\x40\x01N\x00\x00"s, "I\x00\x00\x40\x01N\x00\x01x"s,
          "I\x00\x00\x40\x01N\x00\x01t\xff\xff\xff\xff"s, "T\x7f\xff\xff\xff\x00"s,
          "R\x00\x00\x40\x01public\x00items\x00"s + "d\xff\xff"s,
          "U\x00\x00\x40\x01K\x00\x01nN\x00\x02nn"s}) {
        EXPECT_EQ(DecodePgoutput(bytes, message).code(), absl::StatusCode::kDataLoss) << bytes[0];
    }
}

TEST(PgoutputDecoderTest, DamagedBytesNeverCrash) {
    std::minstd_rand random(20240229);
    PgoutputMessage message;
    int refused = 0;
    for (int round = 0; round < 20'000; ++round) {
        std::string bytes = All()[random() % All().size()];
        for (int flips = 1 + static_cast<int>(random() % 4); flips > 0; --flips) {
            bytes[random() % bytes.size()] = static_cast<char>(random());
        }
        const absl::Status status = DecodePgoutput(bytes, message);
        refused += status.ok() ? 0 : 1;
        EXPECT_TRUE(status.ok() || status.code() == absl::StatusCode::kDataLoss);
    }
    EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace millrace::postgres
