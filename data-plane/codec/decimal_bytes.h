/// Decimal texts as Kafka Connect's Decimal has them: the unscaled number, two's complement, most significant byte
/// first. Not for: arithmetic, NaN and infinities.
#pragma once

#include <string>
#include <string_view>

namespace millrace::codec {

/// Digits beyond which a number has no such form here: the conversion takes quadratic time.
inline constexpr std::size_t kMaxDecimalDigits = 16384;

/// Appends the bytes of `text`, a plain decimal such as "-12.50", at `scale`. False when it is none, has another number
/// of digits behind the point than `scale` (a negative one: than none), or more than kMaxDecimalDigits.
bool DecimalToBytes(std::string_view text, int scale, std::string& out);
/// Appends the decimal with exactly max(scale, 0) digits behind the point; false for no bytes, or too many.
bool BytesToDecimal(std::string_view bytes, int scale, std::string& out);

}  // namespace millrace::codec
