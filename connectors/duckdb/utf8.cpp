#include <cstdint>
#include <cstring>

#include "connectors/duckdb/engine.h"

namespace millrace::duckdb {
namespace {

// Length of the sequence that `lead` begins, and the range that its second byte may have; 0 for no lead byte.
struct Sequence final {
    size_t length;
    uint8_t low;
    uint8_t high;
};

Sequence SequenceOf(uint8_t lead) {
    if (lead < 0xc2 || lead > 0xf4) {
        return {0, 0, 0};
    }
    if (lead < 0xe0) {
        return {2, 0x80, 0xbf};
    }
    if (lead < 0xf0) {
        // No overlong form, no surrogate.
        return {3, static_cast<uint8_t>(lead == 0xe0 ? 0xa0 : 0x80),
                static_cast<uint8_t>(lead == 0xed ? 0x9f : 0xbf)};
    }
    return {4, static_cast<uint8_t>(lead == 0xf0 ? 0x90 : 0x80),
            static_cast<uint8_t>(lead == 0xf4 ? 0x8f : 0xbf)};
}

}  // namespace

bool IsUtf8(std::string_view text) {
    constexpr uint64_t kHighBits = 0x8080808080808080;
    size_t at = 0;
    while (at < text.size()) {
        uint64_t word = 0;
        if (text.size() - at >= sizeof(word)) {
            std::memcpy(&word, text.data() + at, sizeof(word));
            if ((word & kHighBits) == 0) {
                at += sizeof(word);
                continue;
            }
        }
        const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[at + i]); };
        if (byte(0) < 0x80) {
            ++at;
            continue;
        }
        const Sequence sequence = SequenceOf(byte(0));
        if (sequence.length == 0 || text.size() - at < sequence.length || byte(1) < sequence.low ||
            byte(1) > sequence.high) {
            return false;
        }
        for (size_t i = 2; i < sequence.length; ++i) {
            if ((byte(i) & 0xc0) != 0x80) {
                return false;
            }
        }
        at += sequence.length;
    }
    return true;
}

}  // namespace millrace::duckdb
