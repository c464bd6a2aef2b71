#include "data-plane/backfill/rate_limit.h"

#include <gtest/gtest.h>

namespace millrace::backfill {
namespace {

using std::chrono::milliseconds;

TEST(RateLimit, NoneAllowsEverything) {
    RateLimit limit(0, 0);
    const RateLimit::TimePoint now = std::chrono::steady_clock::now();
    limit.Spend(1'000'000, 1'000'000'000, now);
    EXPECT_TRUE(limit.Allows(now));
}

TEST(RateLimit, WhatWasTakenBeyondIsPaidBack) {
    RateLimit limit(1'000, 0);
    RateLimit::TimePoint now = std::chrono::steady_clock::now();
    limit.Spend(1'000, 0, now);
    EXPECT_TRUE(limit.Allows(now));
    limit.Spend(500, 0, now);
    EXPECT_FALSE(limit.Allows(now));
    EXPECT_FALSE(limit.Allows(now + milliseconds(400)));
    EXPECT_TRUE(limit.Allows(now + milliseconds(501)));
}

TEST(RateLimit, AnIdleMinuteSavesNoMoreThanASecond) {
    RateLimit limit(0, 100);
    RateLimit::TimePoint now = std::chrono::steady_clock::now();
    limit.Spend(0, 100, now);
    now += std::chrono::minutes(1);
    limit.Spend(0, 150, now);
    EXPECT_FALSE(limit.Allows(now));
    EXPECT_TRUE(limit.Allows(now + milliseconds(501)));
}

TEST(RateLimit, TheRateIsMetOverTime) {
    RateLimit limit(10'000, 0);
    const RateLimit::TimePoint begun = std::chrono::steady_clock::now();
    int64_t taken = 0;
    for (int tick = 0; tick < 10'000; ++tick) {
        const RateLimit::TimePoint now = begun + milliseconds(tick);
        if (limit.Allows(now)) {
            limit.Spend(700, 0, now);
            taken += 700;
        }
    }
    EXPECT_NEAR(static_cast<double>(taken), 110'000, 1'400) << "ten seconds, and the first one's worth at once";
}

}  // namespace
}  // namespace millrace::backfill
