/// ISO texts of dates and times, as a source with ISO style writes them, and numbers since 1970. Not for: time zones,
/// infinities (they have no number).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace millrace::base {

/// "2024-02-29", "0044-03-15 BC", "12024-01-01"; days since 1970-01-01.
std::optional<int64_t> DaysOfDate(std::string_view text);
/// False beyond the years that a date can have (about six millions either way).
bool AppendDate(int64_t days, std::string& out);

/// "23:59:59.5", at most six digits of a second; microseconds of the day, up to and with 24:00:00.
std::optional<int64_t> MicrosOfTime(std::string_view text);
/// False outside a day.
bool AppendTime(int64_t micros, std::string& out);

/// "2024-02-29 23:59:59.5", with BC at its end; microseconds since 1970 where they fit.
std::optional<int64_t> MicrosOfTimestamp(std::string_view text);
bool AppendTimestamp(int64_t micros, std::string& out);

/// "1 year 2 mons -3 days 04:05:06.7"; microseconds, a month as 30.436875 days.
std::optional<int64_t> MicrosOfInterval(std::string_view text);

/// "12:30:00.5+05:30" as "07:00:00.5Z", at the same time of day in UTC.
bool AppendUtcTime(std::string_view text, std::string& out);
/// "2024-02-29 12:00:00.5+00" as "2024-02-29T12:00:00.5Z"; only of UTC, not before the year 1.
bool AppendZonedTimestamp(std::string_view text, std::string& out);
/// The way back.
bool AppendUtcTimestamp(std::string_view zoned, std::string& out);

}  // namespace millrace::base
