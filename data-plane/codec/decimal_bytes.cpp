#include "data-plane/codec/decimal_bytes.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace millrace::codec {
namespace {

constexpr uint32_t kChunk = 1'000'000'000;
constexpr std::size_t kChunkDigits = 9;
/// Bytes of kMaxDecimalDigits digits, and one for the sign.
constexpr std::size_t kMaxBytes = kMaxDecimalDigits * 5 / 12 + 2;

/// Least significant limb first.
using Limbs = std::vector<uint32_t>;

void MultiplyAdd(Limbs& limbs, uint32_t factor, uint32_t addend) {
    uint64_t carry = addend;
    for (uint32_t& limb : limbs) {
        carry += uint64_t{limb} * factor;
        limb = static_cast<uint32_t>(carry);
        carry >>= 32U;
    }
    if (carry != 0) {
        limbs.push_back(static_cast<uint32_t>(carry));
    }
}

/// Divides by kChunk; returns the remainder.
uint32_t DivideByChunk(Limbs& limbs) {
    uint64_t rest = 0;
    for (std::size_t i = limbs.size(); i-- > 0;) {
        rest = (rest << 32U) | limbs[i];
        limbs[i] = static_cast<uint32_t>(rest / kChunk);
        rest %= kChunk;
    }
    while (!limbs.empty() && limbs.back() == 0) {
        limbs.pop_back();
    }
    return static_cast<uint32_t>(rest);
}

bool AllDigits(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

Limbs ToLimbs(std::string_view digits) {
    Limbs limbs;
    std::size_t take = digits.size() % kChunkDigits;
    take = take == 0 ? kChunkDigits : take;
    while (!digits.empty()) {
        uint32_t chunk = 0;
        uint32_t factor = 1;
        for (const char c : digits.substr(0, take)) {
            chunk = chunk * 10 + static_cast<uint32_t>(c - '0');
            factor *= 10;
        }
        MultiplyAdd(limbs, factor, chunk);
        digits.remove_prefix(take);
        take = kChunkDigits;
    }
    return limbs;
}

/// Turns two's complement bytes, most significant first, into those of the negated number.
void Negate(std::string& bytes, std::size_t from) {
    bool carry = true;
    for (std::size_t i = bytes.size(); i-- > from;) {
        const auto flipped = static_cast<unsigned char>(~static_cast<unsigned char>(bytes[i]));
        bytes[i] = static_cast<char>(carry ? flipped + 1 : flipped);
        carry = carry && flipped == 0xFFU;
    }
}

void AppendBytes(const Limbs& limbs, bool negative, std::string& out) {
    const std::size_t begin = out.size();
    out += '\0';  // room for the sign
    for (std::size_t i = limbs.size(); i-- > 0;) {
        for (int shift = 24; shift >= 0; shift -= 8) {
            out += static_cast<char>((limbs[i] >> static_cast<unsigned>(shift)) & 0xFFU);
        }
    }
    if (negative) {
        Negate(out, begin);
    }
    // As few bytes as keep the sign.
    const char fill = negative ? '\xFF' : '\0';
    std::size_t spare = 0;
    while (begin + spare + 1 < out.size() && out[begin + spare] == fill &&
           ((static_cast<unsigned char>(out[begin + spare + 1]) >> 7U) != 0) == negative) {
        ++spare;
    }
    out.erase(begin, spare);
}

}  // namespace

bool DecimalToBytes(std::string_view text, int scale, std::string& out) {
    const bool negative = text.starts_with('-');
    text.remove_prefix(negative ? 1 : 0);
    const std::size_t point = text.find('.');
    const std::string_view whole = text.substr(0, point);
    const std::string_view behind = point == std::string_view::npos ? "" : text.substr(point + 1);
    if (whole.empty() || text.size() > kMaxDecimalDigits || !AllDigits(whole) || !AllDigits(behind) ||
        behind.size() != static_cast<std::size_t>(std::max(scale, 0))) {
        return false;
    }
    std::string digits(whole);
    if (scale < 0) {
        const auto dropped = static_cast<std::size_t>(-scale);
        // Digits before the point that a negative scale leaves out must be zeros.
        if (whole == "0") {
            digits = "0";
        } else if (dropped >= whole.size() ||
                   whole.substr(whole.size() - dropped).find_first_not_of('0') != std::string_view::npos) {
            return false;
        } else {
            digits.resize(digits.size() - dropped);
        }
    }
    digits += behind;
    AppendBytes(ToLimbs(digits), negative, out);
    return true;
}

bool BytesToDecimal(std::string_view bytes, int scale, std::string& out) {
    if (bytes.empty() || bytes.size() > kMaxBytes || scale > static_cast<int>(kMaxDecimalDigits) ||
        scale < -static_cast<int>(kMaxDecimalDigits)) {
        return false;
    }
    const bool negative = (static_cast<unsigned char>(bytes.front()) & 0x80U) != 0;
    std::string magnitude(bytes);
    if (negative) {
        Negate(magnitude, 0);
    }
    Limbs limbs;
    for (std::size_t end = magnitude.size(); end > 0; end -= std::min<std::size_t>(end, 4)) {
        uint32_t limb = 0;
        for (std::size_t i = end > 4 ? end - 4 : 0; i < end; ++i) {
            limb = (limb << 8U) | static_cast<unsigned char>(magnitude[i]);
        }
        limbs.push_back(limb);
    }
    std::string reversed;
    const auto behind = static_cast<std::size_t>(std::max(scale, 0));
    while (!limbs.empty() || reversed.empty()) {
        uint32_t chunk = DivideByChunk(limbs);
        for (std::size_t i = 0; i < kChunkDigits; ++i, chunk /= 10) {
            reversed += static_cast<char>('0' + chunk % 10);
        }
    }
    while (reversed.size() > 1 && reversed.back() == '0') {
        reversed.pop_back();
    }
    reversed.append(reversed.size() <= behind ? behind + 1 - reversed.size() : 0, '0');
    out += negative ? "-" : "";
    out.append(reversed.rbegin(), reversed.rend() - static_cast<std::ptrdiff_t>(behind));
    if (behind > 0) {
        out += '.';
        out.append(reversed.rend() - static_cast<std::ptrdiff_t>(behind), reversed.rend());
    }
    if (scale < 0 && reversed != "0") {
        out.append(static_cast<std::size_t>(-scale), '0');
    }
    return true;
}

}  // namespace millrace::codec
