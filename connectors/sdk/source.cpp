#include "connectors/sdk/source.h"

#include <algorithm>
#include <string_view>

namespace millrace::sdk {
namespace {

// Linear in practice: on a mismatch only the last '*' is taken back.
bool GlobMatches(std::string_view glob, std::string_view text) {
    size_t g = 0;
    size_t t = 0;
    size_t star = std::string_view::npos;
    size_t resume = 0;
    while (t < text.size()) {
        if (g < glob.size() && glob[g] == '*') {
            star = g++;
            resume = t;
        } else if (g < glob.size() && (glob[g] == '?' || glob[g] == text[t])) {
            ++g;
            ++t;
        } else if (star != std::string_view::npos) {
            g = star + 1;
            t = ++resume;
        } else {
            return false;
        }
    }
    while (g < glob.size() && glob[g] == '*') {
        ++g;
    }
    return g == glob.size();
}

bool AnyMatches(const std::vector<std::string>& globs, std::string_view name) {
    return std::any_of(globs.begin(), globs.end(),
                       [name](const std::string& glob) { return GlobMatches(glob, name); });
}

}  // namespace

bool TableSelection::Selects(const std::string& schema, const std::string& table) const {
    const std::string name = schema + "." + table;
    return AnyMatches(tables, name) && !AnyMatches(exclude, name);
}

}  // namespace millrace::sdk
