#include "base/failpoint.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "base/status.h"

namespace millrace::base {
namespace {

#ifdef MILLRACE_FAILPOINTS

using Kind = FailpointAction::Kind;

TEST(Failpoint, ActionsAreRead) {
    const auto actions = ParseFailpoints("a.b=kill@3;c=error;d=delay:200ms;e=delay:5ms@2;f=kill;g=error%7");
    ASSERT_TRUE(actions.ok()) << actions.status();
    EXPECT_EQ(actions->size(), 6U);
    EXPECT_EQ(actions->at("a.b"), (FailpointAction{.kind = Kind::kKill, .at = 3}));
    EXPECT_EQ(actions->at("c"), (FailpointAction{.kind = Kind::kError}));
    EXPECT_EQ(actions->at("d"),
              (FailpointAction{.kind = Kind::kDelay, .delay = std::chrono::milliseconds(200)}));
    EXPECT_EQ(actions->at("e").at, 2);
    EXPECT_EQ(actions->at("f"), (FailpointAction{.kind = Kind::kKill}));
    EXPECT_EQ(actions->at("g"), (FailpointAction{.kind = Kind::kError, .every = 7}));
}

TEST(Failpoint, NonsenseIsRefused) {
    for (const char* text : {"a", "=kill", "a=", "a=die", "a=kill@", "a=kill@0", "a=kill@-1", "a=kill@1x", "a=kill%0",
                             "a=delay:5", "a=delay:ms"}) {
        EXPECT_EQ(ReasonOf(ParseFailpoints(text).status()), "FAILPOINT") << text;
    }
}

absl::Status Passes(int& passed) {
    MILLRACE_FAILPOINT("test.error_at_second");
    ++passed;
    return absl::OkStatus();
}

absl::Status Dies() {
    MILLRACE_FAILPOINT("test.kill_at_second");
    return absl::OkStatus();
}

TEST(FailpointDeathTest, KillsAtTheGivenHit) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_EXIT(
        {
            setenv("MILLRACE_FAILPOINTS_ON", "test.kill_at_second=kill@2;test.error_at_second=error@2", 1);
            int passed = 0;
            const bool good =
                Passes(passed).ok() && ReasonOf(Passes(passed)) == "FAILPOINT" && Passes(passed).ok();
            if (good && passed == 2 && RenderFailpoints() == "test.error_at_second 3\n") {
                Dies().IgnoreError();
                std::fputs("alive after the first", stderr);
                Dies().IgnoreError();
            }
            std::_Exit(1);
        },
        testing::KilledBySignal(SIGKILL), "alive after the first");
}

#else

absl::Status Passes() {
    MILLRACE_FAILPOINT("test.not_compiled_in");
    MILLRACE_FAILPOINT_QUIET("test.not_compiled_in");
    return absl::OkStatus();
}

TEST(Failpoint, IsNothingInARelease) {
    setenv("MILLRACE_FAILPOINTS_ON", "test.not_compiled_in=error", 1);
    EXPECT_TRUE(Passes().ok());
}

#endif

}  // namespace
}  // namespace millrace::base
