#include "data-plane/codec/base64.h"

#include <array>
#include <cstddef>
#include <cstdint>

namespace millrace::codec {
namespace {

constexpr std::string_view kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr std::array<int8_t, 256> MakeValues() {
    std::array<int8_t, 256> values{};
    values.fill(-1);
    for (std::size_t i = 0; i < kLetters.size(); ++i) {
        values[static_cast<unsigned char>(kLetters[i])] = static_cast<int8_t>(i);
    }
    return values;
}

constexpr std::array<int8_t, 256> kValues = MakeValues();

}  // namespace

void AppendBase64(std::string_view bytes, std::string& out) {
    const auto byte = [&](std::size_t i) { return uint32_t{static_cast<unsigned char>(bytes[i])}; };
    std::size_t i = 0;
    for (; i + 3 <= bytes.size(); i += 3) {
        const uint32_t group = (byte(i) << 16U) | (byte(i + 1) << 8U) | byte(i + 2);
        out += kLetters[group >> 18U];
        out += kLetters[(group >> 12U) & 63U];
        out += kLetters[(group >> 6U) & 63U];
        out += kLetters[group & 63U];
    }
    const std::size_t left = bytes.size() - i;
    if (left == 0) {
        return;
    }
    const uint32_t group = (byte(i) << 16U) | (left == 2 ? byte(i + 1) << 8U : 0U);
    out += kLetters[group >> 18U];
    out += kLetters[(group >> 12U) & 63U];
    out += left == 2 ? kLetters[(group >> 6U) & 63U] : '=';
    out += '=';
}

bool DecodeBase64(std::string_view text, std::string& out) {
    if (text.size() % 4 != 0) {
        return false;
    }
    for (std::size_t i = 0; i < text.size(); i += 4) {
        const std::string_view group = text.substr(i, 4);
        const bool last = i + 4 == text.size();
        const std::size_t padding = !last || group[3] != '=' ? 0 : group[2] == '=' ? 2 : 1;
        uint32_t bits = 0;
        for (std::size_t letter = 0; letter < 4; ++letter) {
            const int value = letter < 4 - padding ? kValues[static_cast<unsigned char>(group[letter])] : 0;
            if (value < 0) {
                return false;
            }
            bits = (bits << 6U) | static_cast<uint32_t>(value);
        }
        if ((padding == 1 && (bits & 0xFFU) != 0) || (padding == 2 && (bits & 0xFFFFU) != 0)) {
            return false;
        }
        for (std::size_t byte = 0; byte < 3 - padding; ++byte) {
            out += static_cast<char>((bits >> (16U - 8U * byte)) & 0xFFU);
        }
    }
    return true;
}

}  // namespace millrace::codec
