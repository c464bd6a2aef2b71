#include "connectors/sdk/visibility.h"

#include <gtest/gtest.h>

namespace millrace::sdk {
namespace {

TEST(Visibility, SeesWhatHadEnded) {
    const Visibility seen(100, 110, {107, 103});
    EXPECT_TRUE(seen.Sees(99));
    EXPECT_TRUE(seen.Sees(101));
    EXPECT_FALSE(seen.Sees(103));
    EXPECT_FALSE(seen.Sees(107));
    EXPECT_TRUE(seen.Sees(109));
    EXPECT_FALSE(seen.Sees(110));
    EXPECT_FALSE(seen.Sees(4'000));
    EXPECT_FALSE(Visibility().Sees(3)) << "nothing is known to have ended";
}

// Ids of changes lack their epoch: they lie within two thousand million of any snapshot.
TEST(Visibility, AcrossTheEndOfAnEpoch) {
    const uint64_t epoch = uint64_t{1} << 32;
    const Visibility early(3 * epoch + 5, 3 * epoch + 10, {3 * epoch + 7});
    EXPECT_TRUE(early.Sees(0xFFFFFFF0)) << "of the epoch before";
    EXPECT_TRUE(early.Sees(4));
    EXPECT_FALSE(early.Sees(7));
    EXPECT_TRUE(early.Sees(8));
    EXPECT_FALSE(early.Sees(10));
    const Visibility late(3 * epoch - 20, 3 * epoch - 10, {3 * epoch - 15});
    EXPECT_TRUE(late.Sees(static_cast<uint32_t>(3 * epoch - 21)));
    EXPECT_FALSE(late.Sees(static_cast<uint32_t>(3 * epoch - 15)));
    EXPECT_FALSE(late.Sees(4)) << "of the epoch to come";
}

}  // namespace
}  // namespace millrace::sdk
