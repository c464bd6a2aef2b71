#include "connectors/sdk/options.h"

#include <array>
#include <charconv>
#include <limits>
#include <optional>
#include <span>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "base/status.h"
#include "base/text.h"

namespace millrace::sdk {
namespace {

struct Unit final {
    std::string_view name;
    int64_t factor;
};

// `number` and a unit of `units`, without sign, space or fraction.
std::optional<int64_t> ParseWithUnit(std::string_view text, std::span<const Unit> units) {
    int64_t number = 0;
    const char* const end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, number);
    if (error != std::errc() || number < 0) {
        return std::nullopt;
    }
    const std::string_view name(rest, static_cast<size_t>(end - rest));
    for (const Unit& unit : units) {
        if (absl::EqualsIgnoreCase(base::ToAbsl(name), base::ToAbsl(unit.name))) {
            if (number > std::numeric_limits<int64_t>::max() / unit.factor) {
                return std::nullopt;
            }
            return number * unit.factor;
        }
    }
    return std::nullopt;
}

}  // namespace

absl::StatusOr<std::chrono::milliseconds> ParseDuration(std::string_view text) {
    static constexpr std::array<Unit, 4> kUnits = {{{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}}};
    if (text == "0") {
        return std::chrono::milliseconds(0);
    }
    if (const auto value = ParseWithUnit(text, kUnits)) {
        return std::chrono::milliseconds(*value);
    }
    return base::MakeError(absl::StatusCode::kInvalidArgument, "DURATION",
                           "a duration is a whole number and one of ms, s, m, h",
                           "Write it like 250ms, 5s, 2m or 1h.");
}

absl::StatusOr<base::ByteCount> ParseBytes(std::string_view text) {
    static constexpr std::array<Unit, 6> kUnits = {
        {{"", 1}, {"B", 1}, {"kB", 1LL << 10}, {"MB", 1LL << 20}, {"GB", 1LL << 30}, {"TB", 1LL << 40}}};
    if (const auto value = ParseWithUnit(text, kUnits)) {
        return base::ByteCount(*value);
    }
    return base::MakeError(absl::StatusCode::kInvalidArgument, "BYTES",
                           "a size is a whole number and one of B, kB, MB, GB, TB",
                           "Write it like 512, 64kB or 16MB.");
}

std::string Options::String(const std::string& name) const {
    const auto it = values.find(name);
    return it == values.end() ? std::string() : it->second;
}

int64_t Options::Integer(const std::string& name) const {
    int64_t value = 0;
    return absl::SimpleAtoi(String(name), &value) ? value : 0;
}

bool Options::Boolean(const std::string& name) const {
    return String(name) == "true";
}

std::chrono::milliseconds Options::Duration(const std::string& name) const {
    return ParseDuration(String(name)).value_or(std::chrono::milliseconds(0));
}

base::ByteCount Options::Bytes(const std::string& name) const {
    return ParseBytes(String(name)).value_or(base::ByteCount(0));
}

base::Secret Options::GetSecret(const std::string& name) const {
    const auto it = secrets.find(name);
    return it == secrets.end() ? base::Secret() : it->second;
}

}  // namespace millrace::sdk
