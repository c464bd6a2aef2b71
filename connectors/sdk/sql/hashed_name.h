/// Names for tables of ours that stand for something. Not for: names of users' tables.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace millrace::sql {

/// `prefix` and 16 hexadecimal digits: the same for the same texts.
std::string HashedName(std::string_view prefix, const std::vector<std::string_view>& texts);

}  // namespace millrace::sql
