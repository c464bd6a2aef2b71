#include "data-plane/backfill/strain.h"

#include <gtest/gtest.h>

namespace millrace::backfill {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr int64_t kBytes = int64_t{8} << 20;

TEST(Strain, AReadThatTakesThreeTimesAsLongIsFollowedByAPause) {
    Strain strain;
    EXPECT_EQ(strain.PauseAfter(kBytes, milliseconds{100}, 1), milliseconds{0});
    EXPECT_EQ(strain.PauseAfter(kBytes, milliseconds{250}, 1), milliseconds{0});
    EXPECT_EQ(strain.PauseAfter(kBytes, milliseconds{400}, 1), milliseconds{400});
    EXPECT_EQ(strain.PauseAfter(kBytes, seconds{60}, 1), Strain::kLongestPause);
    EXPECT_EQ(strain.PauseAfter(kBytes, milliseconds{100}, 1), milliseconds{0});
}

TEST(Strain, SeveralReadersSlowEachOther) {
    Strain strain;
    EXPECT_EQ(strain.PauseAfter(kBytes, milliseconds{100}, 1), milliseconds{0});
    EXPECT_EQ(strain.PauseAfter(kBytes, milliseconds{400}, 4), milliseconds{0});
    EXPECT_EQ(strain.PauseAfter(kBytes, milliseconds{400}, 1), milliseconds{400});
}

TEST(Strain, SmallReadsSayNothing) {
    Strain strain;
    EXPECT_EQ(strain.PauseAfter(kBytes, milliseconds{100}, 1), milliseconds{0});
    EXPECT_EQ(strain.PauseAfter(1'000, milliseconds{100}, 1), milliseconds{0});
}

TEST(Strain, ASourceThatStaysSlowIsReadAgainAtItsOwnSpeed) {
    Strain strain;
    strain.PauseAfter(kBytes, milliseconds{100}, 1);
    int pauses = 0;
    while (strain.PauseAfter(kBytes, milliseconds{1'000}, 1) > milliseconds{0}) {
        ASSERT_LT(++pauses, 1'000);
    }
    EXPECT_GT(pauses, 50);
}

}  // namespace
}  // namespace millrace::backfill
