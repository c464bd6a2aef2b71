/// Takes a fuzzer's bytes apart, and stops the program where a property does not hold.
/// Not for: targets (one file each).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace millrace::fuzz {

class Input final {
 public:
    Input(const uint8_t* data, size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}

    /// 0 when nothing is left.
    uint8_t Byte() {
        const auto head = Take(1);
        return head.empty() ? uint8_t{0} : static_cast<uint8_t>(head[0]);
    }
    /// Two bytes of length, then that many or what is left.
    std::string_view Piece() {
        const size_t high = Byte();
        return Take(high << 8U | Byte());
    }
    std::string_view Take(size_t size) {
        const auto head = rest_.substr(0, size);
        rest_.remove_prefix(head.size());
        return head;
    }
    [[nodiscard]] std::string_view rest() const { return rest_; }

 private:
    std::string_view rest_;
};

/// Reported as a crash, with the input kept.
inline void Require(bool holds, const char* property) {
    if (!holds) {
        std::fprintf(stderr, "does not hold: %s\n", property);
        std::abort();
    }
}

}  // namespace millrace::fuzz
