// The small value types: text, byte counts, backoff, secrets.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <new>
#include <sstream>
#include <string>

#include "base/backoff.h"
#include "base/byte_count.h"
#include "base/secret.h"
#include "base/text.h"

namespace millrace::base {
namespace {

TEST(Text, ConcatTakesEveryKindOfTextAndNumber) {
    const std::string host = "db";
    EXPECT_EQ(Concat("host ", host, std::string_view(":"), uint16_t{5432}, absl::string_view("/"), -7),
              "host db:5432/-7");
    EXPECT_EQ(Concat(std::numeric_limits<int64_t>::min(), " ", std::numeric_limits<uint64_t>::max()),
              "-9223372036854775808 18446744073709551615");
    EXPECT_EQ(Concat(), "");
}

TEST(Text, HexBytesArePairsOfLowerCaseDigits) {
    std::string bytes = "a";
    EXPECT_TRUE(AppendHexBytes("00ff5c", bytes));
    EXPECT_EQ(bytes, std::string("a\0\xff\x5c", 4));
    EXPECT_TRUE(AppendHexBytes("", bytes));
    for (const char* bad : {"0", "0g", "FF", "0x", "00 0"}) {
        EXPECT_FALSE(AppendHexBytes(bad, bytes)) << bad;
    }
}

TEST(Text, AppendKeepsWhatWasThereAndEmbeddedNul) {
    std::string text = "a";
    Append(text, std::string_view("\0b", 2), 1);
    EXPECT_EQ(text, std::string("a\0b1", 4));
}

TEST(ByteCount, PrintsForPeople) {
    EXPECT_EQ(ByteCount(0).ToString(), "0 B");
    EXPECT_EQ(ByteCount(812).ToString(), "812 B");
    EXPECT_EQ(ByteCount(1023).ToString(), "1023 B");
    EXPECT_EQ(ByteCount(12595).ToString(), "12.3 kB");
    EXPECT_EQ(ByteCount::MiB(1).ToString(), "1.0 MB");
    EXPECT_EQ(ByteCount(1024 * 1024 - 1).ToString(), "1.0 MB");
    EXPECT_EQ(ByteCount(1288490189).ToString(), "1.2 GB");
    EXPECT_EQ(ByteCount(std::numeric_limits<int64_t>::max()).ToString(), "8.0 EB");
    EXPECT_EQ(ByteCount(-2048).ToString(), "-2.0 kB");
}

TEST(Backoff, DoublesUpToTheMaximumWithJitterInTheUpperHalf) {
    Backoff backoff(std::chrono::milliseconds(100), std::chrono::milliseconds(1000));
    for (const int64_t full : {100, 200, 400, 800, 1000, 1000, 1000}) {
        const int64_t delay = backoff.Next().count();
        EXPECT_GE(delay, full / 2);
        EXPECT_LE(delay, full);
    }
    EXPECT_EQ(backoff.attempts(), 7);
    backoff.Reset();
    EXPECT_LE(backoff.Next().count(), 100);
}

TEST(Backoff, NeverOverflows) {
    Backoff backoff(std::chrono::milliseconds(1),
                    std::chrono::milliseconds(std::numeric_limits<int64_t>::max()));
    for (int i = 0; i < 200; ++i) {
        EXPECT_GE(backoff.Next().count(), 0);
    }
}

TEST(Backoff, TwoInstancesDiffer) {
    Backoff one(std::chrono::hours(1), std::chrono::hours(1));
    Backoff other(std::chrono::hours(1), std::chrono::hours(1));
    int equal = 0;
    for (int i = 0; i < 10; ++i) {
        equal += one.Next() == other.Next() ? 1 : 0;
    }
    EXPECT_LT(equal, 10);
}

template <typename T>
concept Printable = requires(std::ostream& out, const T& value) {
    out << value;
};
template <typename T>
concept Comparable = requires(const T& a, const T& b) {
    a == b;
};

TEST(Secret, CanBeNeitherPrintedNorCompared) {
    static_assert(Printable<std::string> && !Printable<Secret>);
    static_assert(Comparable<std::string> && !Comparable<Secret>);
    static_assert(!std::is_convertible_v<Secret, std::string> && !std::is_convertible_v<std::string, Secret>);
}

TEST(Secret, RevealsWhatItWasGivenAndMovesLeaveNothing) {
    Secret secret(std::string("pa55"));
    Secret copy = secret;
    const Secret moved = std::move(secret);
    EXPECT_EQ(moved.Reveal(), "pa55");
    EXPECT_EQ(copy.Reveal(), "pa55");
    // What moving leaves behind is what this test is about.
    EXPECT_TRUE(secret.empty());  // NOLINT(bugprone-use-after-move)
    copy = Secret();
    EXPECT_TRUE(copy.empty());
}

bool Holds(const unsigned char* bytes, size_t size, std::string_view needle) {
    return std::search(bytes, bytes + size, needle.begin(), needle.end()) != bytes + size;
}

TEST(Secret, ShortValuesAreWipedOutOfTheObjectItself) {
    const std::string needle = "hunter2-again";
    alignas(Secret) unsigned char place[sizeof(Secret)];
    auto* secret = new (place) Secret(std::string(needle));
    ASSERT_TRUE(Holds(place, sizeof(place), needle));
    {
        const Secret taken = std::move(*secret);
        EXPECT_FALSE(Holds(place, sizeof(place), "unter2"));
    }
    *secret = Secret(std::string(needle));
    ASSERT_TRUE(Holds(place, sizeof(place), needle));
    secret->~Secret();
    EXPECT_FALSE(Holds(place, sizeof(place), "unter2"));
}

}  // namespace
}  // namespace millrace::base
