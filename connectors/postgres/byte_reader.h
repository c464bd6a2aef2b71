/// Reads big-endian fields from a buffer that may be too short. Not for: owning bytes.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

namespace millrace::postgres {

/// After the first read past the end every read gives zero or nothing and `ok()` stays false.
class ByteReader final {
 public:
    explicit ByteReader(std::string_view bytes) : bytes_(bytes) {}

    [[nodiscard]] bool ok() const { return ok_; }
    [[nodiscard]] bool done() const { return ok_ && bytes_.empty(); }
    [[nodiscard]] std::string_view rest() const { return bytes_; }

    uint8_t U8() { return static_cast<uint8_t>(Integer<1>()); }
    uint16_t U16() { return static_cast<uint16_t>(Integer<2>()); }
    uint32_t U32() { return static_cast<uint32_t>(Integer<4>()); }
    uint64_t U64() { return Integer<8>(); }
    int32_t I32() { return static_cast<int32_t>(U32()); }
    int64_t I64() { return static_cast<int64_t>(U64()); }

    std::string_view Bytes(size_t count) {
        if (!ok_ || bytes_.size() < count) {
            ok_ = false;
            return {};
        }
        const std::string_view taken = bytes_.substr(0, count);
        bytes_.remove_prefix(count);
        return taken;
    }

    /// Up to a zero byte, which is taken too.
    std::string_view CString() {
        const size_t end = ok_ ? bytes_.find('\0') : std::string_view::npos;
        if (end == std::string_view::npos) {
            ok_ = false;
            return {};
        }
        const std::string_view taken = bytes_.substr(0, end);
        bytes_.remove_prefix(end + 1);
        return taken;
    }

 private:
    template <size_t size>
    uint64_t Integer() {
        if (!ok_ || bytes_.size() < size) {
            ok_ = false;
            return 0;
        }
        uint64_t value = 0;
        for (size_t i = 0; i < size; ++i) {
            value = value << 8U | static_cast<uint8_t>(bytes_[i]);
        }
        bytes_.remove_prefix(size);
        return value;
    }

    std::string_view bytes_;
    bool ok_ = true;
};

}  // namespace millrace::postgres
