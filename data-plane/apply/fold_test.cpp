#include "data-plane/apply/fold.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/status.h"
#include "data-plane/apply/memory_destination.h"
#include "data-plane/apply/sample_events.h"

namespace millrace::apply {
namespace {

using Kind = sdk::BatchRow::Kind;
using sdk::ChangeEvent;
using testing::ElementsAre;

constexpr auto kNull = std::nullopt;

std::string Show(const sdk::Cell& cell) {
    return cell.is_null() ? "NULL" : cell.is_unchanged() ? "~" : std::string(cell.text());
}

/// "full 1 new ~ p", with "<2" behind a row whose old place is the key 2.
std::vector<std::string> Show(const sdk::Batch& batch) {
    std::vector<std::string> lines;
    for (size_t i = 0; i < batch.rows.size(); ++i) {
        const Kind kind = batch.rows[i].kind;
        std::string line = kind == Kind::kFull ? "full" : kind == Kind::kPartial ? "partial" : "gone";
        for (const sdk::Cell& cell : batch.Row(i)) {
            line += " " + Show(cell);
        }
        if (const int source = batch.rows[i].source_key; source >= 0) {
            line += " <" + Show(batch.source_keys[static_cast<size_t>(source)][0]);
        }
        lines.push_back(line);
    }
    return lines;
}

class Fold : public testing::Test {
 protected:
    sdk::Batch FoldAll(const std::vector<ChangeEvent>& events) {
        for (const ChangeEvent& event : events) {
            EXPECT_TRUE(Add(event).ok());
        }
        return folder_.Seal(false);
    }
    absl::Status Add(const ChangeEvent& event) { return folder_.Add(event, {offset_++, 10, nullptr}); }

    EventMaker make_;
    BatchFolder folder_;
    int64_t offset_ = 100;
};

// The table of states and events: nothing known before.

TEST_F(Fold, InsertAloneIsFull) {
    EXPECT_THAT(Show(FoldAll({make_.Insert({"1", "new", kNull, ""})})), ElementsAre("full 1 new NULL "));
}
TEST_F(Fold, ReadAloneIsFull) {
    EXPECT_THAT(Show(FoldAll({make_.Read({"1", "new", kNull, "p"})})), ElementsAre("full 1 new NULL p"));
}
TEST_F(Fold, UpdateOfEveryCellIsFull) {
    EXPECT_THAT(Show(FoldAll({make_.Update({"1", "paid", "n", "p"})})), ElementsAre("full 1 paid n p"));
}
TEST_F(Fold, UpdateWithUnchangedCellsIsPartial) {
    EXPECT_THAT(Show(FoldAll({make_.Update({"1", "paid", kNull, "~"})})),
                ElementsAre("partial 1 paid NULL ~"));
}
TEST_F(Fold, DeleteAloneIsGone) {
    EXPECT_THAT(Show(FoldAll({make_.Delete("1")})), ElementsAre("gone 1 NULL NULL NULL"));
}

// A full row before.

TEST_F(Fold, LaterInsertWins) {
    EXPECT_THAT(Show(FoldAll({make_.Insert({"1", "a", "b", "c"}), make_.Insert({"1", "x", "y", kNull})})),
                ElementsAre("full 1 x y NULL"));
}
TEST_F(Fold, UpdateOverFullKeepsUnchangedCells) {
    EXPECT_THAT(Show(FoldAll({make_.Insert({"1", "a", "b", "c"}), make_.Update({"1", "x", kNull, "~"})})),
                ElementsAre("full 1 x NULL c"));
}
TEST_F(Fold, DeleteOverFullIsGone) {
    EXPECT_THAT(Show(FoldAll({make_.Insert({"1", "a", "b", "c"}), make_.Delete("1")})),
                ElementsAre("gone 1 NULL NULL NULL"));
}

// A partial row before.

TEST_F(Fold, InsertOverPartialReplaces) {
    EXPECT_THAT(Show(FoldAll({make_.Update({"1", "a", "~", "~"}), make_.Insert({"1", "x", kNull, "z"})})),
                ElementsAre("full 1 x NULL z"));
}
TEST_F(Fold, UpdatesOverPartialJoinTheirMasks) {
    EXPECT_THAT(Show(FoldAll({make_.Update({"1", "a", "b", "~"}), make_.Update({"1", "x", "~", "~"})})),
                ElementsAre("partial 1 x b ~"));
}
TEST_F(Fold, PartialThatKnowsEverythingIsFull) {
    EXPECT_THAT(Show(FoldAll({make_.Update({"1", "a", "b", "~"}), make_.Update({"1", "x", "~", "c"})})),
                ElementsAre("full 1 x b c"));
}
TEST_F(Fold, DeleteOverPartialIsGone) {
    EXPECT_THAT(Show(FoldAll({make_.Update({"1", "a", "b", "~"}), make_.Delete("1")})),
                ElementsAre("gone 1 NULL NULL NULL"));
}

// A deleted row before.

TEST_F(Fold, InsertAfterDeleteReplaces) {
    EXPECT_THAT(Show(FoldAll({make_.Delete("1"), make_.Insert({"1", "a", kNull, "c"})})),
                ElementsAre("full 1 a NULL c"));
    EXPECT_EQ(folder_.holes(), 0);
}
TEST_F(Fold, UpdateAfterDeleteHasHolesThatAreCounted) {
    EXPECT_THAT(Show(FoldAll({make_.Delete("1"), make_.Update({"1", "a", "~", "~"})})),
                ElementsAre("full 1 a NULL NULL"));
    EXPECT_EQ(folder_.holes(), 2);
}
TEST_F(Fold, DeleteAfterDeleteIsGone) {
    EXPECT_THAT(Show(FoldAll({make_.Delete("1"), make_.Delete("1")})), ElementsAre("gone 1 NULL NULL NULL"));
}

// Key moves.

TEST_F(Fold, MoveTakesUnchangedCellsFromTheOldPlace) {
    EXPECT_THAT(Show(FoldAll({make_.Move("1", {"2", "a", "b", "~"})})),
                ElementsAre("gone 1 NULL NULL NULL", "partial 2 a b ~ <1"));
}
TEST_F(Fold, MoveOfEveryCellIsFull) {
    EXPECT_THAT(Show(FoldAll({make_.Move("1", {"2", "a", "b", "c"})})),
                ElementsAre("gone 1 NULL NULL NULL", "full 2 a b c"));
}
TEST_F(Fold, MoveOfAFullRowCarriesItsCells) {
    EXPECT_THAT(Show(FoldAll({make_.Insert({"1", "a", "b", "c"}), make_.Move("1", {"2", "x", "~", "~"})})),
                ElementsAre("gone 1 NULL NULL NULL", "full 2 x b c"));
}
TEST_F(Fold, MoveOfAPartialRowJoinsMasks) {
    EXPECT_THAT(Show(FoldAll({make_.Update({"1", "a", "b", "~"}), make_.Move("1", {"2", "x", "~", "~"})})),
                ElementsAre("gone 1 NULL NULL NULL", "partial 2 x b ~ <1"));
}
TEST_F(Fold, ChainKeepsTheFirstPlace) {
    EXPECT_THAT(Show(FoldAll({make_.Move("1", {"2", "a", "~", "~"}), make_.Move("2", {"3", "~", "b", "~"})})),
                ElementsAre("gone 1 NULL NULL NULL", "gone 2 NULL NULL NULL", "partial 3 a b ~ <1"));
}
TEST_F(Fold, MoveThereAndBackNeedsNoOtherPlace) {
    EXPECT_THAT(Show(FoldAll({make_.Move("1", {"2", "a", "~", "~"}), make_.Move("2", {"1", "~", "b", "~"})})),
                ElementsAre("partial 1 a b ~", "gone 2 NULL NULL NULL"));
}
TEST_F(Fold, SwapThroughAThirdKey) {
    EXPECT_THAT(Show(FoldAll({make_.Move("1", {"9", "a", "~", "~"}), make_.Move("2", {"1", "b", "~", "~"}),
                              make_.Move("9", {"2", "~", "~", "~"})})),
                ElementsAre("partial 1 b ~ ~ <2", "gone 9 NULL NULL NULL", "partial 2 a ~ ~ <1"));
}
TEST_F(Fold, UpdateOfAMovedRowKeepsItsOldPlace) {
    EXPECT_THAT(Show(FoldAll({make_.Move("1", {"2", "a", "~", "~"}), make_.Update({"2", "x", "y", "~"})})),
                ElementsAre("gone 1 NULL NULL NULL", "partial 2 x y ~ <1"));
}
TEST_F(Fold, InsertIntoTheAbandonedKeyIsANewRow) {
    EXPECT_THAT(Show(FoldAll({make_.Move("1", {"2", "a", "~", "~"}), make_.Insert({"1", "n", "n", "n"})})),
                ElementsAre("full 1 n n n", "partial 2 a ~ ~ <1"));
}
TEST_F(Fold, DeleteOfAMovedRowLeavesNeitherKey) {
    EXPECT_THAT(Show(FoldAll({make_.Move("1", {"2", "a", "~", "~"}), make_.Delete("2")})),
                ElementsAre("gone 1 NULL NULL NULL", "gone 2 NULL NULL NULL"));
}
TEST_F(Fold, OldRowWithTheSameKeyIsNoMoveAndFillsUnchangedCells) {
    EXPECT_THAT(Show(FoldAll({make_.Update({"1", "a", kNull, "photo"}, {"1", "x", kNull, "~"})})),
                ElementsAre("full 1 x NULL photo"));
}
TEST_F(Fold, KeyCellThatWasNotSentIsTakenFromTheOldKey) {
    EXPECT_THAT(Show(FoldAll({make_.Update({"1", kNull, kNull, kNull}, {"~", "x", "y", "z"})})),
                ElementsAre("full 1 x y z"));
}

// Truncates, first copies, tables without key.

TEST_F(Fold, TruncateForgetsWhatWasBefore) {
    const sdk::Batch batch =
        FoldAll({make_.Insert({"1", "a", "b", "c"}), make_.Move("5", {"6", "a", "~", "~"}), make_.Truncate(),
                 make_.Insert({"2", "x", "y", "z"})});
    EXPECT_TRUE(batch.truncate_first);
    EXPECT_THAT(Show(batch), ElementsAre("full 2 x y z"));
    EXPECT_TRUE(batch.source_keys.empty());
    EXPECT_EQ(batch.events, 4);
    EXPECT_EQ(batch.first_offset, 100);
    EXPECT_EQ(batch.next_offset, 104);
}
TEST_F(Fold, NextBatchAfterATruncateDoesNotTruncate) {
    EXPECT_TRUE(FoldAll({make_.Truncate()}).truncate_first);
    EXPECT_FALSE(FoldAll({make_.Insert({"1", "a", "b", "c"})}).truncate_first);
}
TEST_F(Fold, OnlyCopyRowsOfDistinctKeysMayBeAppended) {
    ASSERT_TRUE(Add(make_.Read({"1", "a", "b", "c"})).ok());
    ASSERT_TRUE(Add(make_.Read({"2", "a", "b", "c"})).ok());
    EXPECT_TRUE(folder_.only_copy());
    EXPECT_TRUE(folder_.Seal(true).append);
    for (const ChangeEvent& other :
         {make_.Read({"1", "x", "y", "z"}), make_.Insert({"2", "x", "y", "z"}),
          make_.Update({"1", "x", "y", "z"}), make_.Delete("1"), make_.Read({"3", "x", "~", "z"})}) {
        ASSERT_TRUE(Add(make_.Read({"1", "a", "b", "c"})).ok());
        ASSERT_TRUE(Add(other).ok());
        EXPECT_FALSE(folder_.only_copy());
        EXPECT_FALSE(folder_.Seal(false).append);
    }
}
TEST_F(Fold, TruncateBeginsACopyAnew) {
    ASSERT_TRUE(Add(make_.Insert({"1", "a", "b", "c"})).ok());
    ASSERT_TRUE(Add(make_.Truncate()).ok());
    ASSERT_TRUE(Add(make_.Read({"1", "a", "b", "c"})).ok());
    EXPECT_TRUE(folder_.only_copy());
    EXPECT_TRUE(folder_.truncated());
}
TEST_F(Fold, RowsWithoutKeyAreAppendedAsTheyAre) {
    make_.Use(OrdersSchema(0, true));
    const sdk::Batch batch =
        FoldAll({make_.Insert({"1", "a", "b", "c"}), make_.Insert({"1", "a", "b", "c"})});
    EXPECT_TRUE(batch.append);
    EXPECT_THAT(Show(batch), ElementsAre("full 1 a b c", "full 1 a b c"));
}

// What the batch says of itself.

TEST_F(Fold, BatchRemembersOffsetsPositionsAndOwners) {
    auto owner = std::make_shared<int>(7);
    ASSERT_TRUE(folder_.Add(make_.Insert({"1", "a", "b", "c"}), {41, 100, owner}).ok());
    const ChangeEvent second = make_.Insert({"2", "a", "b", "c"});
    ASSERT_TRUE(folder_.Add(second, {45, 50, owner}).ok());
    EXPECT_EQ(owner.use_count(), 2);
    EXPECT_EQ(folder_.first_commit_time_us(), 1'000'000);
    const sdk::Batch batch = folder_.Seal(false);
    EXPECT_EQ(batch.first_offset, 41);
    EXPECT_EQ(batch.next_offset, 46);
    EXPECT_EQ(batch.bytes, 150);
    EXPECT_EQ(batch.last, second.position);
    EXPECT_EQ(batch.rows.back().position, second.position);
    EXPECT_EQ(batch.last_commit_time_us, 2'000'000);
    EXPECT_EQ(batch.generation, 1U);
    EXPECT_EQ(owner.use_count(), 2);
    EXPECT_TRUE(folder_.empty());
}
TEST_F(Fold, AnotherSchemaNeedsAnotherBatch) {
    ASSERT_TRUE(Add(make_.Insert({"1", "a", "b", "c"})).ok());
    make_.Use(OrdersSchema(1));
    const ChangeEvent wider = make_.Insert({"2", "a", "b", "c", "d"});
    EXPECT_TRUE(folder_.MustFlush(wider));
    EXPECT_FALSE(Add(wider).ok());
    EXPECT_THAT(Show(folder_.Seal(false)), ElementsAre("full 1 a b c"));
    EXPECT_FALSE(folder_.MustFlush(wider));
    EXPECT_THAT(Show(FoldAll({wider})), ElementsAre("full 2 a b c d"));
}

TEST_F(Fold, AResyncBeginsABatchAndEndsInOne) {
    ASSERT_TRUE(Add(make_.Insert({"1", "a", "b", "c"})).ok());
    const ChangeEvent begin = make_.Mark(sdk::Op::kResync);
    EXPECT_TRUE(folder_.MustFlush(begin)) << "what came before does not count as seen";
    EXPECT_FALSE(Add(begin).ok());
    EXPECT_FALSE(folder_.Seal(false).resync_begins);
    EXPECT_FALSE(folder_.MustFlush(begin));
    const sdk::Batch batch = FoldAll({begin, make_.Read({"1", "a", "b", "c"}), make_.Mark(sdk::Op::kResyncEnd), make_.Insert({"2", "a", "b", "c"})});
    EXPECT_TRUE(batch.resync_begins);
    EXPECT_TRUE(batch.resync_ends);
    EXPECT_FALSE(batch.truncate_first);
    EXPECT_EQ(batch.markers, 2);
    EXPECT_THAT(Show(batch), ElementsAre("full 1 a b c", "full 2 a b c"));
    ASSERT_TRUE(Add(make_.Mark(sdk::Op::kResync)).ok());
    ASSERT_TRUE(Add(make_.Read({"1", "a", "b", "c"})).ok());
    EXPECT_FALSE(folder_.only_copy()) << "the row may stand at the destination";
    EXPECT_FALSE(folder_.Seal(false).resync_ends);
}
TEST_F(Fold, ATruncateEndsAResync) {
    const sdk::Batch batch = FoldAll({make_.Mark(sdk::Op::kResync), make_.Read({"1", "a", "b", "c"}), make_.Truncate(), make_.Insert({"2", "a", "b", "c"})});
    EXPECT_FALSE(batch.resync_begins);
    EXPECT_TRUE(batch.truncate_first);
    EXPECT_FALSE(FoldAll({make_.Mark(sdk::Op::kResyncEnd), make_.Truncate()}).resync_ends);
}

// Broken streams.

TEST_F(Fold, BrokenEventsAreDataLossAndChangeNothing) {
    make_.set_generation(3);
    ASSERT_TRUE(Add(make_.Insert({"1", "a", "b", "c"})).ok());
    const auto reason_of = [this](const ChangeEvent& event) {
        const absl::Status status = Add(event);
        EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
        return base::ReasonOf(status);
    };
    make_.set_generation(2);
    EXPECT_EQ(reason_of(make_.Insert({"2", "a", "b", "c"})), "GENERATION_BACK");
    make_.set_generation(3);
    EXPECT_EQ(reason_of(make_.Insert({"2", "a"})), "ROW_SHAPE");
    EXPECT_EQ(reason_of(make_.Insert({"2", "a", "b", "~"})), "ROW_SHAPE");
    EXPECT_EQ(reason_of(make_.Make(sdk::Op::kDelete, {}, {})), "ROW_SHAPE");
    EXPECT_EQ(reason_of(make_.Update({"~", "a", "b", "c"})), "KEY_UNKNOWN");
    EXPECT_THAT(Show(folder_.Seal(false)), ElementsAre("full 1 a b c"));
    make_.Use(OrdersSchema(0, true));
    EXPECT_EQ(reason_of(make_.Update({"1", "a", "b", "c"})), "APPEND_ONLY");
}
// Which rows of a copy may be appended while their table changes.

std::vector<std::string> Fresh(const sdk::Batch& batch) {
    std::vector<std::string> keys;
    for (size_t i = 0; i < batch.rows.size(); ++i) {
        if (batch.rows[i].fresh) {
            keys.push_back(Show(batch.Row(i)[0]));
        }
    }
    return keys;
}
TEST_F(Fold, CopiedRowsAreFreshUnlessAChangeOfTheirKeyCame) {
    folder_.Reset(1, true);
    FoldAll({make_.Update({"5", "a", "b", "c"}), make_.Delete("6"), make_.Move("7", {"8", "a", "b", "c"})});
    const sdk::Batch batch = FoldAll({make_.Read({"4", "a", "b", "c"}), make_.Read({"5", "a", "b", "c"}), make_.Read({"6", "a", "b", "c"}),
                                      make_.Read({"7", "a", "b", "c"}), make_.Read({"8", "a", "b", "c"}), make_.Read({"9", "a", "b", "c"}),
                                      make_.Insert({"10", "a", "b", "c"}), make_.Read({"11", "a", "b", "~"})});
    EXPECT_THAT(Fresh(batch), ElementsAre("4", "9"));
}
TEST_F(Fold, ACopiedRowThatChangesInItsBatchIsNotFreshAnyMore) {
    folder_.Reset(1, true);
    EXPECT_THAT(Fresh(FoldAll({make_.Read({"1", "a", "b", "c"}), make_.Read({"2", "a", "b", "c"}), make_.Read({"3", "a", "b", "c"}), make_.Read({"4", "a", "b", "c"}),
                               make_.Update({"1", "A", "b", "~"}), make_.Delete("2"), make_.Move("3", {"30", "a", "b", "c"})})),
                ElementsAre("4"));
    EXPECT_THAT(Fresh(FoldAll({make_.Read({"1", "a", "b", "c"}), make_.Read({"5", "a", "b", "c"}), make_.Read({"5", "a", "b", "c"})})), ElementsAre())
        << "a row that comes twice, too";
}
TEST_F(Fold, NothingIsFreshBesideRowsThatStandThere) {
    folder_.Reset(1, false);
    EXPECT_THAT(Fresh(FoldAll({make_.Read({"1", "a", "b", "c"})})), ElementsAre());
    EXPECT_THAT(Fresh(FoldAll({make_.Truncate(), make_.Update({"1", "a", "b", "c"}), make_.Read({"1", "a", "b", "c"}), make_.Read({"2", "a", "b", "c"})})),
                ElementsAre("2"));
    EXPECT_THAT(Fresh(FoldAll({make_.Mark(sdk::Op::kResync), make_.Read({"3", "a", "b", "c"})})), ElementsAre());
    folder_.Reset(1, true);
    folder_.EndLoading();
    EXPECT_THAT(Fresh(FoldAll({make_.Read({"4", "a", "b", "c"})})), ElementsAre());
}
TEST_F(Fold, LoadingEndsAfterManyChangesWithoutACopiedRow) {
    folder_.Reset(1, true);
    for (int round = 0; round < 3; ++round) {
        for (int i = 0; i < 9'000; ++i) {
            ASSERT_TRUE(Add(make_.Update({std::to_string(i), "a", "b", "c"})).ok());
        }
        EXPECT_THAT(Fresh(FoldAll({make_.Read({std::to_string(10'000 + round), "a", "b", "c"})})), testing::SizeIs(1));
    }
    for (int i = 0; i < 10'000; ++i) {
        ASSERT_TRUE(Add(make_.Update({std::to_string(i), "a", "b", "c"})).ok());
    }
    EXPECT_THAT(Fresh(FoldAll({make_.Read({"20000", "a", "b", "c"})})), ElementsAre());
}
TEST_F(Fold, GenerationOfTheCheckpointIsTheLowest) {
    folder_.Reset(5);
    make_.set_generation(4);
    EXPECT_EQ(base::ReasonOf(Add(make_.Truncate())), "GENERATION_BACK");
    make_.set_generation(6);
    EXPECT_TRUE(Add(make_.Truncate()).ok());
}
TEST_F(Fold, ManyKeysAreAllFoundAgain) {
    for (int round = 0; round < 2; ++round) {
        for (int i = 0; i < 5000; ++i) {
            ASSERT_TRUE(Add(make_.Insert({std::to_string(i), std::to_string(round), kNull, kNull})).ok());
        }
    }
    const sdk::Batch batch = folder_.Seal(false);
    ASSERT_EQ(batch.rows.size(), 5000U);
    for (size_t i = 0; i < 5000; ++i) {
        ASSERT_EQ(batch.Row(i)[0].text(), std::to_string(i));
        ASSERT_EQ(batch.Row(i)[1].text(), "1");
    }
}

}  // namespace
}  // namespace millrace::apply
