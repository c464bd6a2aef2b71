/// The known name that a mistyped one most likely means. Not for: deciding; it only words a remedy.
#pragma once

#include <string>
#include <vector>

namespace millrace::domain {

/// The candidate with the fewest edits from `name`, or "" when even that one has more than a third of its
/// letters wrong.
std::string NearestName(const std::string& name, const std::vector<std::string>& candidates);

}  // namespace millrace::domain
