#include "data-plane/apply/record_joins.h"

#include <gtest/gtest.h>

#include "data-plane/codec/event_codec.h"

namespace millrace::apply {
namespace {

using Outcome = RecordJoins::Outcome;

/// Parts of records of 10 bytes in slices of 4, as a reader delivers them; what was handed on is kept.
class Joins : public testing::Test {
 protected:
    Outcome Part(const std::string& topic, uint64_t index, int64_t offset) {
        static const std::string kValue = "0123456789";
        const std::string header = codec::PartHeader({index, 3, kValue.size()});
        const std::string slice = kValue.substr((index - 1) * 4, 4);
        last_ = {.offset = offset, .timestamp_ms = 5, .key = "k", .value = slice, .owner = nullptr};
        last_.headers = {{codec::kPartHeader, header}, {"other", "kept"}};
        const Outcome outcome = joins_.Take(topic, last_);
        loose_ = outcome == Outcome::kWhole && !last_.Header(codec::kPartHeader).empty();
        return outcome;
    }
    bus::Record Whole(const std::string& topic, int64_t offset) {
        EXPECT_EQ(Part(topic, 1, offset), Outcome::kMore);
        EXPECT_EQ(Part(topic, 2, offset + 1), Outcome::kMore);
        EXPECT_EQ(Part(topic, 3, offset + 2), Outcome::kWhole);
        return std::move(last_);
    }

    RecordJoins joins_{25};
    bus::Record last_;
    bool loose_ = false;
};

TEST_F(Joins, AnAsideIsPassedOverWholeOrInParts) {
    bus::Record aside{.offset = 6, .value = "x", .owner = nullptr};
    aside.headers = {{codec::kAsideHeader, codec::kKeyMoveAside}};
    EXPECT_EQ(joins_.Take("t", aside), Outcome::kMore);
    aside.headers.push_back({codec::kPartHeader, "1/3/10"});
    EXPECT_EQ(joins_.Take("t", aside), Outcome::kMore);
    EXPECT_FALSE(joins_.Unfinished("t"));
    EXPECT_EQ(Whole("t", 7).value, "0123456789");
}

TEST_F(Joins, AWholeRecordIsHandedOnAtTheOffsetOfItsLastPart) {
    bus::Record record = Whole("t", 7);
    EXPECT_EQ(record.offset, 9);
    EXPECT_EQ(record.key, "k");
    EXPECT_EQ(record.value, "0123456789");
    EXPECT_EQ(record.Header(codec::kPartHeader), "");
    EXPECT_EQ(record.Header("other"), "kept");
    EXPECT_EQ(joins_.handed_on(), 10);
    record.owner.reset();
    EXPECT_EQ(joins_.handed_on(), 0);
}

TEST_F(Joins, RecordsWithoutPartsPass) {
    bus::Record plain{.offset = 1, .timestamp_ms = 0, .key = "", .value = "v", .owner = nullptr};
    EXPECT_EQ(joins_.Take("t", plain), Outcome::kWhole);
    EXPECT_EQ(Part("other", 1, 0), Outcome::kMore);
    EXPECT_EQ(joins_.Take("t", plain), Outcome::kWhole);
    EXPECT_TRUE(plain.headers.empty());
}

TEST_F(Joins, WhatFindsNoRoomWaitsInOrderAndKeepsTheRoomThatItGets) {
    bus::Record a = Whole("a", 0);
    bus::Record b = Whole("b", 0);
    EXPECT_EQ(Part("c", 1, 40), Outcome::kNoRoom);
    EXPECT_EQ(Part("d", 1, 50), Outcome::kNoRoom);
    EXPECT_TRUE(joins_.crowded());
    EXPECT_TRUE(joins_.Waits("c"));
    EXPECT_FALSE(joins_.NextWithRoom());
    a.owner.reset();
    EXPECT_EQ(joins_.NextWithRoom(), std::pair(std::string("c"), int64_t{40}));
    EXPECT_FALSE(joins_.NextWithRoom()) << "the room is c's";
    EXPECT_EQ(Part("e", 1, 60), Outcome::kNoRoom) << "d came first";
    EXPECT_EQ(Whole("c", 40).value, "0123456789");
    EXPECT_EQ(joins_.NextWithRoom(), std::pair(std::string("d"), int64_t{50}));
    joins_.Forget("d");
    joins_.Forget("e");
    EXPECT_FALSE(joins_.crowded());
}

TEST_F(Joins, ARecordBeyondTheBudgetIsTakenWhenNothingElseIsHeld) {
    RecordJoins small(5);
    bus::Record first{.offset = 0, .timestamp_ms = 0, .key = "", .value = "0123", .owner = nullptr};
    first.headers = {{codec::kPartHeader, "1/3/10"}};
    EXPECT_EQ(small.Take("t", first), Outcome::kMore);
    first.headers = {{codec::kPartHeader, "1/3/10"}};
    EXPECT_EQ(small.Take("u", first), Outcome::kNoRoom);
    small.Forget("t");
    EXPECT_TRUE(small.NextWithRoom());
}

TEST_F(Joins, DamageIsHandedOnAsALoosePart) {
    EXPECT_EQ(Part("t", 2, 0), Outcome::kWhole);
    EXPECT_TRUE(loose_) << "a record begins with its first part";
    EXPECT_EQ(Part("t", 1, 1), Outcome::kMore);
    EXPECT_EQ(Part("t", 3, 2), Outcome::kWhole);
    EXPECT_TRUE(loose_);
    EXPECT_FALSE(joins_.Unfinished("t"));
    EXPECT_EQ(Part("t", 1, 3), Outcome::kMore);
    bus::Record plain{.offset = 4, .timestamp_ms = 0, .key = "", .value = "v", .owner = nullptr};
    EXPECT_EQ(joins_.Take("t", plain), Outcome::kWhole);
    EXPECT_NE(plain.Header(codec::kPartHeader), "") << "the parts before it are lost";
    bus::Record odd{.offset = 5, .timestamp_ms = 0, .key = "", .value = "v", .owner = nullptr};
    odd.headers = {{codec::kPartHeader, "x"}};
    EXPECT_EQ(joins_.Take("t", odd), Outcome::kWhole);
    EXPECT_EQ(joins_.handed_on(), 0);
}

TEST_F(Joins, ForgettingGivesTheRoomBack) {
    EXPECT_EQ(Part("a", 1, 0), Outcome::kMore);
    EXPECT_EQ(Part("b", 1, 0), Outcome::kMore);
    EXPECT_EQ(Part("c", 1, 0), Outcome::kNoRoom);
    joins_.Forget("a");
    EXPECT_TRUE(joins_.NextWithRoom());
    EXPECT_EQ(Part("a", 1, 0), Outcome::kNoRoom);
}

}  // namespace
}  // namespace millrace::apply
