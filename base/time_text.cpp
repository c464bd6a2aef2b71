#include "base/time_text.h"

#include <charconv>
#include <cstddef>
#include <limits>

namespace millrace::base {
namespace {

constexpr int64_t kSecond = 1'000'000;
constexpr int64_t kMinute = 60 * kSecond;
constexpr int64_t kHour = 60 * kMinute;
constexpr int64_t kDay = 24 * kHour;
/// A twelfth of 365.25 days.
constexpr int64_t kMonth = 2'629'800 * kSecond;
constexpr int64_t kMaxDays = 2'200'000'000;
constexpr int64_t kDaysOfEra = 146'097;

std::optional<int64_t> Digits(std::string_view text) {
    int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    const bool whole = error == std::errc() && end == text.data() + text.size() && !text.starts_with('-');
    return whole ? std::optional(number) : std::nullopt;
}

/// Days since 1970-01-01 of a proleptic Gregorian date; years are counted with a year 0.
int64_t DaysOf(int64_t year, int64_t month, int64_t day) {
    year -= month <= 2 ? 1 : 0;
    const int64_t era = (year >= 0 ? year : year - 399) / 400;
    const int64_t year_of_era = year - era * 400;
    const int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * kDaysOfEra + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719'468;
}

struct Civil final {
    int64_t year;
    int64_t month;
    int64_t day;
};

Civil CivilOf(int64_t days) {
    days += 719'468;
    const int64_t era = (days >= 0 ? days : days - (kDaysOfEra - 1)) / kDaysOfEra;
    const int64_t day_of_era = days - era * kDaysOfEra;
    const int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36'524 - day_of_era / 146'096) / 365;
    const int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const int64_t shifted = (5 * day_of_year + 2) / 153;
    const int64_t month = shifted < 10 ? shifted + 3 : shifted - 9;
    return {year_of_era + era * 400 + (month <= 2 ? 1 : 0), month, day_of_year - (153 * shifted + 2) / 5 + 1};
}

void AppendPadded(int64_t number, std::size_t width, std::string& out) {
    const std::string digits = std::to_string(number);
    out.append(digits.size() < width ? width - digits.size() : 0, '0');
    out += digits;
}

bool TakeEnding(std::string_view& text, std::string_view ending) {
    const bool there = text.ends_with(ending);
    text.remove_suffix(there ? ending.size() : 0);
    return there;
}

/// "YYYY-MM-DD" without era.
std::optional<Civil> CivilOfText(std::string_view text) {
    const std::size_t first = text.find('-');
    if (first == std::string_view::npos || first < 4 || first > 7 || text.size() != first + 6 ||
        text[first + 3] != '-') {
        return std::nullopt;
    }
    const auto year = Digits(text.substr(0, first));
    const auto month = Digits(text.substr(first + 1, 2));
    const auto day = Digits(text.substr(first + 4));
    if (!year || !month || !day || *month < 1 || *month > 12 || *day < 1 || *day > 31) {
        return std::nullopt;
    }
    return Civil{*year, *month, *day};
}

/// The date without its era, which is returned: whether it is before Christ.
bool AppendBareDate(int64_t days, std::string& out) {
    const Civil civil = CivilOf(days);
    const bool bc = civil.year <= 0;
    AppendPadded(bc ? 1 - civil.year : civil.year, 4, out);
    out += '-';
    AppendPadded(civil.month, 2, out);
    out += '-';
    AppendPadded(civil.day, 2, out);
    return bc;
}

/// Offset from UTC in microseconds of "+05", "-03:30", "+05:53:28", which is cut off.
std::optional<int64_t> TakeOffset(std::string_view& text) {
    const std::size_t sign = text.find_last_of("+-");
    if (sign == std::string_view::npos) {
        return std::nullopt;
    }
    const std::string_view offset = text.substr(sign + 1);
    const int64_t direction = text[sign] == '-' ? -1 : 1;
    int64_t micros = 0;
    int64_t unit = kHour;
    for (std::size_t at = 0; at < offset.size() && unit >= kSecond; at += 3, unit /= 60) {
        const auto part = Digits(offset.substr(at, 2));
        if (!part || *part > 59 || (at + 2 < offset.size() && offset[at + 2] != ':')) {
            return std::nullopt;
        }
        micros += *part * unit;
    }
    text = text.substr(0, sign);
    return direction * micros;
}

std::optional<int64_t> UnitOf(std::string_view name) {
    if (name.starts_with("year")) {
        return 12 * kMonth;
    }
    if (name.starts_with("mon")) {
        return kMonth;
    }
    return name.starts_with("day") ? std::optional(kDay) : std::nullopt;
}

/// "04:05:06.7", also with more than 24 hours.
std::optional<int64_t> MicrosOfClock(std::string_view text, int64_t most_hours) {
    const std::size_t colon = text.find(':');
    if (colon == std::string_view::npos || colon < 2 || text.size() < colon + 6 || text[colon + 3] != ':') {
        return std::nullopt;
    }
    const auto hours = Digits(text.substr(0, colon));
    const auto minutes = Digits(text.substr(colon + 1, 2));
    const auto seconds = Digits(text.substr(colon + 4, 2));
    if (!hours || !minutes || !seconds || *hours > most_hours || *minutes > 59 || *seconds > 59) {
        return std::nullopt;
    }
    int64_t micros = *hours * kHour + *minutes * kMinute + *seconds * kSecond;
    std::string_view fraction = text.substr(colon + 6);
    if (fraction.empty()) {
        return micros;
    }
    if (fraction.size() < 2 || fraction.size() > 7 || fraction.front() != '.') {
        return std::nullopt;
    }
    fraction.remove_prefix(1);
    auto part = Digits(fraction);
    for (std::size_t i = fraction.size(); part && i < 6; ++i) {
        *part *= 10;
    }
    return part ? std::optional(micros + *part) : std::nullopt;
}

}  // namespace

std::optional<int64_t> DaysOfDate(std::string_view text) {
    const bool bc = TakeEnding(text, " BC");
    const auto civil = CivilOfText(text);
    if (!civil) {
        return std::nullopt;
    }
    return DaysOf(bc ? 1 - civil->year : civil->year, civil->month, civil->day);
}

bool AppendDate(int64_t days, std::string& out) {
    if (days > kMaxDays || days < -kMaxDays) {
        return false;
    }
    out += AppendBareDate(days, out) ? " BC" : "";
    return true;
}

std::optional<int64_t> MicrosOfTime(std::string_view text) {
    const auto micros = MicrosOfClock(text, 24);
    return micros && *micros <= kDay ? micros : std::nullopt;
}

bool AppendTime(int64_t micros, std::string& out) {
    if (micros < 0 || micros > kDay) {
        return false;
    }
    AppendPadded(micros / kHour, 2, out);
    out += ':';
    AppendPadded(micros / kMinute % 60, 2, out);
    out += ':';
    AppendPadded(micros / kSecond % 60, 2, out);
    if (micros % kSecond != 0) {
        out += '.';
        AppendPadded(micros % kSecond, 6, out);
        out.resize(out.find_last_not_of('0') + 1);
    }
    return true;
}

std::optional<int64_t> MicrosOfTimestamp(std::string_view text) {
    const bool bc = TakeEnding(text, " BC");
    const std::size_t space = text.find(' ');
    if (space == std::string_view::npos) {
        return std::nullopt;
    }
    const auto civil = CivilOfText(text.substr(0, space));
    const auto time = MicrosOfTime(text.substr(space + 1));
    if (!civil || !time) {
        return std::nullopt;
    }
    const int64_t days = DaysOf(bc ? 1 - civil->year : civil->year, civil->month, civil->day);
    constexpr int64_t kMost = std::numeric_limits<int64_t>::max() / kDay - 1;
    return days > kMost || days < -kMost ? std::nullopt : std::optional(days * kDay + *time);
}

bool AppendTimestamp(int64_t micros, std::string& out) {
    int64_t days = micros / kDay;
    int64_t time = micros % kDay;
    if (time < 0) {
        --days;
        time += kDay;
    }
    const bool bc = AppendBareDate(days, out);
    out += ' ';
    AppendTime(time, out);
    out += bc ? " BC" : "";
    return true;
}

std::optional<int64_t> MicrosOfInterval(std::string_view text) {
    int64_t total = 0;
    while (!text.empty()) {
        const std::size_t space = text.find(' ');
        std::string_view word = text.substr(0, space);
        text = space == std::string_view::npos ? "" : text.substr(space + 1);
        const int64_t sign = word.starts_with('-') ? -1 : 1;
        word.remove_prefix(word.starts_with('-') || word.starts_with('+') ? 1 : 0);
        if (word.find(':') != std::string_view::npos) {
            const auto time = MicrosOfClock(word, std::numeric_limits<int64_t>::max() / kHour - 1);
            if (!time) {
                return std::nullopt;
            }
            if (__builtin_add_overflow(total, sign * *time, &total)) {
                return std::nullopt;
            }
            continue;
        }
        const auto count = Digits(word);
        const std::size_t end = text.find(' ');
        const auto unit = UnitOf(text.substr(0, end));
        if (!count || !unit) {
            return std::nullopt;
        }
        text = end == std::string_view::npos ? "" : text.substr(end + 1);
        int64_t part = 0;
        if (__builtin_mul_overflow(sign * *count, *unit, &part) || __builtin_add_overflow(total, part, &total)) {
            return std::nullopt;
        }
    }
    return total;
}

bool AppendUtcTime(std::string_view text, std::string& out) {
    const auto offset = TakeOffset(text);
    const auto time = MicrosOfTime(text);
    if (!offset || !time) {
        return false;
    }
    AppendTime(((*time - *offset) % kDay + kDay) % kDay, out);
    out += 'Z';
    return true;
}

bool AppendZonedTimestamp(std::string_view text, std::string& out) {
    if (!TakeEnding(text, "+00") || !MicrosOfTimestamp(text)) {
        return false;
    }
    const std::size_t space = text.find(' ');
    out += space > 10 ? "+" : "";
    out += text.substr(0, space);
    out += 'T';
    out += text.substr(space + 1);
    out += 'Z';
    return true;
}

bool AppendUtcTimestamp(std::string_view zoned, std::string& out) {
    zoned.remove_prefix(zoned.starts_with('+') ? 1 : 0);
    const std::size_t t = zoned.find('T');
    if (t == std::string_view::npos || !TakeEnding(zoned, "Z")) {
        return false;
    }
    out += zoned.substr(0, t);
    out += ' ';
    out += zoned.substr(t + 1);
    out += "+00";
    return true;
}

}  // namespace millrace::base
