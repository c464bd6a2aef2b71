#include "connectors/postgres/lsn.h"

#include <charconv>

#include "absl/strings/str_format.h"

namespace millrace::postgres {
namespace {

std::optional<uint32_t> ParseHalf(std::string_view text) {
    uint32_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
    if (error != std::errc() || end != text.data() + text.size()) {
        return std::nullopt;
    }
    return value;
}

}  // namespace

std::string FormatLsn(uint64_t lsn) {
    return absl::StrFormat("%X/%X", static_cast<uint32_t>(lsn >> 32U), static_cast<uint32_t>(lsn));
}

std::optional<uint64_t> ParseLsn(std::string_view text) {
    const size_t slash = text.find('/');
    if (slash == std::string_view::npos) {
        return std::nullopt;
    }
    const auto high = ParseHalf(text.substr(0, slash));
    const auto low = ParseHalf(text.substr(slash + 1));
    if (!high || !low) {
        return std::nullopt;
    }
    return static_cast<uint64_t>(*high) << 32U | *low;
}

}  // namespace millrace::postgres
