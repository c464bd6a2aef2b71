#include "control-plane/domain/nearest_name.h"

#include <algorithm>
#include <numeric>

namespace millrace::domain {
namespace {

size_t Edits(const std::string& a, const std::string& b) {
    std::vector<size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), size_t{0});
    for (size_t i = 1; i <= a.size(); ++i) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.size(); ++j) {
            const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            diagonal = row[j];
            row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
        }
    }
    return row.back();
}

}  // namespace

std::string NearestName(const std::string& name, const std::vector<std::string>& candidates) {
    // Names come from requests: what is this long is no typing error.
    if (name.size() > 100) {
        return "";
    }
    std::string nearest;
    size_t fewest = std::max<size_t>(1, (name.size() + 2) / 3) + 1;
    for (const std::string& candidate : candidates) {
        const size_t edits = Edits(name, candidate);
        if (edits < fewest) {
            fewest = edits;
            nearest = candidate;
        }
    }
    return nearest;
}

}  // namespace millrace::domain
