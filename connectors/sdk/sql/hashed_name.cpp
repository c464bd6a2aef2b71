#include "connectors/sdk/sql/hashed_name.h"

#include <cstdint>
#include <cstdio>

#include "base/text.h"

namespace millrace::sql {

std::string HashedName(std::string_view prefix, const std::vector<std::string_view>& texts) {
    uint64_t hash = 0xcbf29ce484222325ULL;
    const auto add = [&hash](unsigned char byte) { hash = (hash ^ byte) * 0x100000001b3ULL; };
    for (const std::string_view text : texts) {
        for (const char c : text) {
            add(static_cast<unsigned char>(c));
        }
        add(0xff);
    }
    char digits[17];
    std::snprintf(digits, sizeof(digits), "%016llx", static_cast<unsigned long long>(hash));
    return base::Concat(prefix, digits);
}

}  // namespace millrace::sql
