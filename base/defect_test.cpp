#include "base/defect.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <vector>

namespace millrace::base {
namespace {

#ifdef MILLRACE_FAILPOINTS

TEST(Defect, StrikesAtEveryNthTimeAndOnlyWhereItIsNamed) {
    setenv("MILLRACE_DEFECT", "test-defect", 1);
    std::vector<bool> struck;
    for (int i = 0; i < 6; ++i) {
        EXPECT_FALSE(MILLRACE_DEFECT("another-defect", 1));
        struck.push_back(MILLRACE_DEFECT("test-defect", 3));
    }
    EXPECT_EQ(struck, (std::vector<bool>{false, false, true, false, false, true}));
    unsetenv("MILLRACE_DEFECT");
    EXPECT_FALSE(MILLRACE_DEFECT("test-defect", 1)) << "a place that is reached without the variable";
}

#else

TEST(Defect, IsNothingInARelease) {
    setenv("MILLRACE_DEFECT", "test-defect", 1);
    EXPECT_FALSE(MILLRACE_DEFECT("test-defect", 1));
}

#endif

}  // namespace
}  // namespace millrace::base
