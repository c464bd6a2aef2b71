#include "data-plane/backfill/range_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <mutex>
#include <thread>

#include "data-plane/backfill/key_range.h"

namespace millrace::backfill {
namespace {

using sdk::KeyTexts;
using testing::ElementsAre;

/// Answers every request with one row, whose key is its number; says what it was asked for.
class CountingReader final : public sdk::ChunkReader {
 public:
    struct Asked final {
        std::mutex mutex;
        std::vector<sdk::ChunkRequest> requests;
        std::optional<int> last_row;
    };
    explicit CountingReader(Asked& asked) : asked_(asked) {}
    absl::StatusOr<sdk::Sight> Look() override { return sdk::Sight{}; }
    absl::StatusOr<sdk::Chunk> Read(const sdk::ChunkRequest& request) override {
        const std::lock_guard lock(asked_.mutex);
        asked_.requests.push_back(request);
        const auto number = static_cast<int>(asked_.requests.size());
        if (number == 3 && !asked_.last_row) {
            return absl::UnavailableError("the connection is lost");
        }
        sdk::Chunk chunk;
        chunk.seen = sdk::Visibility(static_cast<uint64_t>(number) * 10, static_cast<uint64_t>(number) * 10, {});
        chunk.last_key = {std::to_string(number)};
        chunk.bound = request.bound.empty() ? KeyTexts{"9"} : KeyTexts{};
        chunk.complete = number == asked_.last_row;
        return chunk;
    }
    void Cancel() override {}

 private:
    Asked& asked_;
};

class RangeReaderTest : public testing::Test {
 protected:
    RangeReader::Answer AskAndTake(const sdk::Visibility& floor = {}) {
        reader_.Ask({.max_rows = 7}, floor, {});
        for (;;) {
            if (auto answer = reader_.Take()) {
                return *std::move(answer);
            }
            std::this_thread::yield();
        }
    }
    std::vector<bool> FloorsSee(uint32_t xid) {
        std::vector<const sdk::Visibility*> floors;
        reader_.AddFloors(floors);
        std::vector<bool> see;
        for (const sdk::Visibility* floor : floors) {
            see.push_back(floor->Sees(xid));
        }
        return see;
    }

    CountingReader::Asked asked_;
    RangeReader reader_{std::make_unique<CountingReader>(asked_)};
};

TEST(RangesBetween, AreNeighbours) {
    EXPECT_THAT(RangesBetween({}), ElementsAre(KeyRange{}));
    EXPECT_THAT(RangesBetween({{"a"}, {"b"}}),
                ElementsAre(KeyRange{{}, {"a"}, false}, KeyRange{{"a"}, {"b"}, false}, KeyRange{{"b"}, {}, false}));
}

TEST_F(RangeReaderTest, ReadsAheadOfWhatIsTaken) {
    EXPECT_FALSE(reader_.Hungry());
    reader_.Begin(4, {.cursor = {"0"}, .bound = {}, .scanned = false});
    EXPECT_EQ(reader_.place(), 4U);
    EXPECT_TRUE(reader_.Hungry());
    EXPECT_TRUE(AskAndTake().status.ok());
    EXPECT_TRUE(reader_.Hungry());
    EXPECT_TRUE(AskAndTake().status.ok());
    EXPECT_FALSE(reader_.Hungry()) << "two wait already";
    ASSERT_EQ(asked_.requests.size(), 2U);
    EXPECT_EQ(asked_.requests[0].after, KeyTexts{"0"});
    EXPECT_TRUE(asked_.requests[0].bound.empty());
    EXPECT_EQ(asked_.requests[1].after, KeyTexts{"1"});
    EXPECT_EQ(asked_.requests[1].bound, KeyTexts{"9"}) << "the first answer told";
    EXPECT_EQ(asked_.requests[1].max_rows, 7);
    EXPECT_THAT(FloorsSee(15), ElementsAre(false, true)) << "of the two that are there";
    reader_.ready().clear();
    EXPECT_FALSE(AskAndTake().status.ok());
    EXPECT_TRUE(reader_.Hungry()) << "it is asked for again";
    EXPECT_TRUE(reader_.Rests());
}

TEST_F(RangeReaderTest, ARangeEnds) {
    asked_.last_row = 1;
    reader_.Begin(0, {.cursor = {}, .bound = {"5"}, .scanned = false});
    EXPECT_TRUE(AskAndTake().status.ok());
    EXPECT_FALSE(reader_.Hungry());
    EXPECT_FALSE(reader_.Rests());
    reader_.ready().clear();
    reader_.End();
    EXPECT_TRUE(reader_.Rests());
    EXPECT_EQ(reader_.place(), std::nullopt);
    // Keys of no range.
    EXPECT_TRUE(AskAndTake().status.ok());
    EXPECT_TRUE(asked_.requests[1].after.empty());
}

TEST_F(RangeReaderTest, WhatIsReadAgainCountsForNothing) {
    reader_.Begin(0, {.cursor = {"0"}, .bound = {"9"}, .scanned = false});
    EXPECT_TRUE(AskAndTake().status.ok());
    reader_.Ask({.max_rows = 1}, sdk::Visibility(12, 12, {}), {});
    EXPECT_THAT(FloorsSee(11), ElementsAre(false, true)) << "what is on its way sees at least what was seen before";
    reader_.Again({.cursor = {"0"}, .bound = {"9"}, .scanned = false});
    while (!reader_.Rests()) {
        EXPECT_FALSE(reader_.Take());
    }
    asked_.last_row = 8;
    EXPECT_TRUE(AskAndTake().status.ok());
    EXPECT_EQ(asked_.requests.back().after, KeyTexts{"0"});
}

}  // namespace
}  // namespace millrace::backfill
