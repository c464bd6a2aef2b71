/// How fast rows may be read that existed before, so that the source's own work comes first. Pure; the clock is its caller's.
/// Not for: how large one chunk is (publish/table_backfill).
#pragma once

#include <chrono>
#include <cstdint>

namespace millrace::backfill {

/// Two buckets, of rows and of bytes, that hold one second's worth. One thread.
class RateLimit final {
 public:
    using TimePoint = std::chrono::steady_clock::time_point;

    /// Per second; 0: no limit.
    RateLimit(int64_t rows, int64_t bytes) : rows_{rows}, bytes_{bytes} {}

    /// So much was read. More than was left is owed: nothing is to be read until it is paid.
    void Spend(int64_t rows, int64_t bytes, TimePoint now);
    /// Whether something may be read now.
    [[nodiscard]] bool Allows(TimePoint now);
    /// The most rows that one read may bring without taking more than a second's worth; 0: as many as it likes.
    [[nodiscard]] int64_t rows_at_once() const { return rows_.rate; }
    [[nodiscard]] int64_t bytes_at_once() const { return bytes_.rate; }

 private:
    struct Bucket final {
        int64_t rate = 0;
        double left = static_cast<double>(rate);
        TimePoint filled_at{};

        void Fill(TimePoint now);
    };

    Bucket rows_;
    Bucket bytes_;
};

}  // namespace millrace::backfill
