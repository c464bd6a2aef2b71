#include "data-plane/codec/record_parts.h"

#include <rapidcheck.h>

#include <vector>

#include "base/status.h"
#include "gtest/gtest.h"

namespace millrace::codec {
namespace {

struct Slice final {
    RecordPart part;
    std::string bytes;
};

std::vector<Slice> Split(const std::string& value, std::size_t part_bytes) {
    std::vector<Slice> slices;
    const uint64_t count = PartCount(value.size(), part_bytes);
    for (uint64_t i = 1; i <= count; ++i) {
        slices.push_back({{i, count, value.size()}, value.substr((i - 1) * part_bytes, part_bytes)});
    }
    return slices;
}

std::string DrawValue() {
    std::string value = *rc::gen::arbitrary<std::string>();
    value.resize(value.size() + static_cast<std::size_t>(*rc::gen::inRange(2, 300)), 'x');
    return value;
}

TEST(RecordParts, JoinOfSplitIsTheValue) {
    PartJoiner joiner;  // One for all cases: what an earlier record left behind must not show.
    EXPECT_TRUE(rc::check("Join(Split(v)) == v", [&] {
        const std::string value = DrawValue();
        const auto part_bytes = *rc::gen::inRange<std::size_t>(1, value.size() + 2);
        for (const Slice& slice : Split(value, part_bytes)) {
            RC_ASSERT(!joiner.complete());
            const auto part = ParsePartHeader(PartHeader(slice.part));
            RC_ASSERT(part.ok());
            RC_ASSERT(*part == slice.part);
            RC_ASSERT(joiner.Add(*part, slice.bytes).ok());
        }
        RC_ASSERT(joiner.complete());
        RC_ASSERT(joiner.Take() == value);
        RC_ASSERT(joiner.empty());
    }));
}

TEST(RecordParts, AnyOtherSequenceIsRefused) {
    EXPECT_TRUE(rc::check("a part that is lost, doubled, swapped or cut is noticed", [&] {
        const std::string value = DrawValue();
        std::vector<Slice> slices = Split(value, *rc::gen::inRange<std::size_t>(1, value.size()));
        const auto at = *rc::gen::inRange<std::size_t>(0, slices.size());
        switch (*rc::gen::inRange(0, 4)) {
            case 0:
                slices.erase(slices.begin() + static_cast<std::ptrdiff_t>(at));
                break;
            case 1:
                slices.insert(slices.begin() + static_cast<std::ptrdiff_t>(at), slices[at]);
                break;
            case 2:
                std::swap(slices[at], slices[(at + 1) % slices.size()]);
                break;
            default:
                slices[at].bytes.pop_back();
                break;
        }
        PartJoiner joiner;
        bool refused = false;
        for (const Slice& slice : slices) {
            const absl::Status status = joiner.Add(slice.part, slice.bytes);
            refused = refused || !status.ok();
            RC_ASSERT(status.ok() || (status.code() == absl::StatusCode::kDataLoss && joiner.empty()));
            if (joiner.complete()) {
                break;
            }
        }
        // A doubled last part comes after the record was whole.
        RC_ASSERT(refused || !joiner.complete() || joiner.Take() == value);
    }));
}

TEST(RecordParts, HeadersAreNumbersThatFitEachOther) {
    EXPECT_EQ(PartHeader({1, 26, 209'715'200}), "1/26/209715200");
    for (const char* bad :
         {"", "1", "1/2", "1/2/", "/2/3", "0/2/3", "3/2/9", "1/2/3/4", "1/2/3 ", " 1/2/3", "+1/2/3", "01/2/3",
          "1/4/3", "1/2/268435457", "1/2/99999999999999999999999", "a/b/c", "?"}) {
        const auto part = ParsePartHeader(bad);
        EXPECT_EQ(part.status().code(), absl::StatusCode::kDataLoss) << bad;
        EXPECT_EQ(base::ReasonOf(part.status()), "BAD_RECORD") << bad;
    }
    EXPECT_TRUE(ParsePartHeader("1/2/268435456").ok());
    EXPECT_EQ(LoosePart("2/3/9").code(), absl::StatusCode::kDataLoss);
    EXPECT_EQ(LoosePart("?").code(), absl::StatusCode::kDataLoss);
}

TEST(RecordParts, AClaimThatTheFirstPartBeliesIsRefusedBeforeMemoryIsTaken) {
    PartJoiner joiner;
    EXPECT_FALSE(joiner.Add({1, 2, 200'000'000}, "tiny").ok());
    EXPECT_FALSE(joiner.Add({1, 3, 5}, "").ok());
    EXPECT_TRUE(joiner.empty());
}

}  // namespace
}  // namespace millrace::codec
