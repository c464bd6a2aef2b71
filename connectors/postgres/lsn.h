/// Places in the write-ahead log, between PostgreSQL's text and a number. Not for: order of changes
/// (sdk::Position).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace millrace::postgres {

/// "16/B374D848".
std::string FormatLsn(uint64_t lsn);

/// Nothing when `text` is no LSN.
std::optional<uint64_t> ParseLsn(std::string_view text);

}  // namespace millrace::postgres
