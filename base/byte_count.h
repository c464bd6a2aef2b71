/// A number of bytes, so that units live in the type. Not for: formatting for people beyond "12.3 MB".
#pragma once

#include <compare>
#include <cstdint>
#include <string>

namespace millrace::base {

class ByteCount final {
  public:
    constexpr ByteCount() = default;
    constexpr explicit ByteCount(int64_t bytes) : bytes_(bytes) {}
    static constexpr ByteCount KiB(int64_t n) { return ByteCount(n * 1024); }
    static constexpr ByteCount MiB(int64_t n) { return ByteCount(n * 1024 * 1024); }

    [[nodiscard]] constexpr int64_t value() const { return bytes_; }
    constexpr ByteCount& operator+=(ByteCount o) {
        bytes_ += o.bytes_;
        return *this;
    }
    constexpr ByteCount& operator-=(ByteCount o) {
        bytes_ -= o.bytes_;
        return *this;
    }
    friend constexpr auto operator<=>(const ByteCount&, const ByteCount&) = default;

    /// "812 B", "12.3 kB", "1.2 GB".
    [[nodiscard]] std::string ToString() const;

  private:
    int64_t bytes_ = 0;
};

}  // namespace millrace::base
