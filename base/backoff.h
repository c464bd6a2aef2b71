/// Exponential backoff with full jitter. Not for: sleeping; the caller waits.
#pragma once

#include <chrono>
#include <cstdint>
#include <random>

namespace millrace::base {

class Backoff final {
  public:
    Backoff(std::chrono::milliseconds first, std::chrono::milliseconds max) : first_(first), max_(max) {}

    /// The next delay: uniform in [d/2, d], d doubling from `first` up to `max`.
    std::chrono::milliseconds Next();
    /// After a success.
    void Reset() { attempts_ = 0; }
    [[nodiscard]] int attempts() const { return attempts_; }

  private:
    std::chrono::milliseconds first_;
    std::chrono::milliseconds max_;
    int attempts_ = 0;
    std::minstd_rand random_{std::random_device{}()};
};

}  // namespace millrace::base
