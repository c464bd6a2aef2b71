/// Reads the JSON texts that dead letters are kept as (see JsonText and KeyText in dead_letters.h). Not for: any other
/// JSON.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace millrace::sql {

/// Members of an object in order; nullopt is null.
using JsonMembers = std::vector<std::pair<std::string, std::optional<std::string>>>;

/// The text of a JSON string; \udc80 … \udcff are the bytes that they stand for. Nothing when it is none.
std::optional<std::string> ReadJsonText(std::string_view json);

/// An object of strings and nulls; nothing when it is none.
std::optional<JsonMembers> ReadJsonMembers(std::string_view json);

/// The same object without blanks, as ReadJsonMembers reads it.
std::string WriteJsonMembers(const JsonMembers& members);

}  // namespace millrace::sql
