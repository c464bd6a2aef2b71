#include "data-plane/apply/flush_policy.h"

#include <gtest/gtest.h>

namespace millrace::apply {
namespace {

using std::chrono::milliseconds;

constexpr TimePoint kNow{std::chrono::hours(100)};

FlushPolicy Policy(milliseconds interval) {
    return FlushPolicy({.rows = 100, .bytes = 1000, .interval = interval});
}

TEST(FlushPolicy, RulesStandOverTheDestinationsDefaults) {
    config::FlushRules rules;
    const sdk::FlushDefaults defaults;
    EXPECT_EQ(ResolveLimits(rules, defaults).rows, defaults.rows);
    EXPECT_EQ(ResolveLimits(rules, defaults).bytes, defaults.bytes.value());
    rules.rows = 7;
    rules.bytes = base::ByteCount(8);
    rules.interval = milliseconds(9);
    const FlushLimits limits = ResolveLimits(rules, defaults);
    EXPECT_EQ(limits.rows, 7);
    EXPECT_EQ(limits.bytes, 8);
    EXPECT_EQ(limits.interval, milliseconds(9));
}

TEST(FlushPolicy, LimitsAreAtLeastOne) {
    config::FlushRules rules;
    rules.rows = 0;
    rules.bytes = base::ByteCount(-5);
    rules.interval = milliseconds(-1);
    const FlushLimits limits = ResolveLimits(rules, {});
    EXPECT_EQ(limits.rows, 1);
    EXPECT_EQ(limits.bytes, 1);
    EXPECT_EQ(limits.interval, milliseconds(0));
}

TEST(FlushPolicy, FullByRowsOrByBytes) {
    const FlushPolicy policy = Policy(milliseconds(0));
    EXPECT_FALSE(policy.Full({.records = 500, .rows = 99, .bytes = 999, .since = kNow}));
    EXPECT_TRUE(policy.Full({.records = 100, .rows = 100, .bytes = 1, .since = kNow}));
    EXPECT_TRUE(policy.Full({.records = 1, .rows = 1, .bytes = 1000, .since = kNow}));
}

TEST(FlushPolicy, NothingHeldIsNeverDue) {
    EXPECT_EQ(Policy(milliseconds(0)).Due({}, kNow, true), std::nullopt);
}

TEST(FlushPolicy, WithoutIntervalWhatIsThereIsDueAtOnce) {
    EXPECT_LE(Policy(milliseconds(0)).Due({.records = 1, .rows = 1, .bytes = 1, .since = kNow}, kNow, false),
              kNow);
}

TEST(FlushPolicy, WithIntervalTheFirstChangeWaitsThatLong) {
    const FlushPolicy policy = Policy(milliseconds(500));
    const Held held{.records = 1, .rows = 1, .bytes = 1, .since = kNow};
    EXPECT_EQ(policy.Due(held, kNow + milliseconds(100), false), kNow + milliseconds(500));
}

TEST(FlushPolicy, SizeOrPressureMakeItDueBeforeItsAge) {
    const FlushPolicy policy = Policy(milliseconds(500));
    EXPECT_EQ(policy.Due({.records = 1, .rows = 1, .bytes = 1, .since = kNow}, kNow, true), kNow);
    EXPECT_EQ(policy.Due({.records = 1, .rows = 1, .bytes = 2000, .since = kNow}, kNow, false), kNow);
}

TEST(FlushPolicy, ShrinksBelowWhatWasRefusedAndGrowsBack) {
    FlushPolicy policy = Policy(milliseconds(0));
    EXPECT_TRUE(policy.Shrink({.records = 40, .rows = 40, .bytes = 400, .since = kNow}));
    EXPECT_EQ(policy.rows(), 20);
    EXPECT_EQ(policy.bytes(), 200);
    for (int i = 0; i < 16; ++i) {
        policy.Applied();
    }
    EXPECT_EQ(policy.rows(), 40);
    for (int i = 0; i < 100; ++i) {
        policy.Applied();
    }
    EXPECT_EQ(policy.rows(), 100);
    EXPECT_EQ(policy.bytes(), 1000);
}

TEST(FlushPolicy, ASingleChangeCannotShrink) {
    FlushPolicy policy = Policy(milliseconds(0));
    EXPECT_FALSE(policy.Shrink({.records = 1, .rows = 1, .bytes = 400, .since = kNow}));
}

TEST(FlushPolicy, ManyChangesOfOneRowShrinkByBytes) {
    FlushPolicy policy = Policy(milliseconds(0));
    EXPECT_TRUE(policy.Shrink({.records = 50, .rows = 1, .bytes = 500, .since = kNow}));
    EXPECT_EQ(policy.rows(), 1);
    EXPECT_EQ(policy.bytes(), 250);
}

}  // namespace
}  // namespace millrace::apply
