#include "connectors/sdk/sql/letter_json.h"

#include "connectors/sdk/sql/dead_letters.h"

namespace millrace::sql {
namespace {

void AppendUtf8(std::string& out, char32_t point) {
    const auto byte = [&out](char32_t value) { out.push_back(static_cast<char>(static_cast<unsigned char>(value))); };
    if (point < 0x80) {
        byte(point);
    } else if (point < 0x800) {
        byte(0xC0U | (point >> 6U));
        byte(0x80U | (point & 0x3FU));
    } else if (point < 0x10000) {
        byte(0xE0U | (point >> 12U));
        byte(0x80U | ((point >> 6U) & 0x3FU));
        byte(0x80U | (point & 0x3FU));
    } else {
        byte(0xF0U | (point >> 18U));
        byte(0x80U | ((point >> 12U) & 0x3FU));
        byte(0x80U | ((point >> 6U) & 0x3FU));
        byte(0x80U | (point & 0x3FU));
    }
}

/// Reads from the front of `rest`; every method is false where something else stands there.
class Reader final {
 public:
    explicit Reader(std::string_view text) : rest_(text) {}

    bool Take(std::string_view what) {
        if (!rest_.starts_with(what)) {
            return false;
        }
        rest_.remove_prefix(what.size());
        return true;
    }
    [[nodiscard]] bool done() const { return rest_.empty(); }

    bool String(std::string& out) {
        if (!Take("\"")) {
            return false;
        }
        while (!rest_.empty()) {
            const char c = rest_.front();
            rest_.remove_prefix(1);
            if (c == '"') {
                return true;
            }
            if (c != '\\') {
                out.push_back(c);
            } else if (!Escape(out)) {
                return false;
            }
        }
        return false;
    }

 private:
    bool Escape(std::string& out) {
        if (Take("u")) {
            char32_t unit = 0;
            return Unit(unit) && Character(unit, out);
        }
        if (rest_.empty() || (rest_.front() != '"' && rest_.front() != '\\')) {
            return false;
        }
        out.push_back(rest_.front());
        rest_.remove_prefix(1);
        return true;
    }

    bool Character(char32_t unit, std::string& out) {
        if (unit >= 0xDC80 && unit <= 0xDCFF) {
            out.push_back(static_cast<char>(static_cast<unsigned char>(unit - 0xDC00)));
            return true;
        }
        if (unit >= 0xD800 && unit <= 0xDBFF) {
            char32_t low = 0;
            if (!Take("\\u") || !Unit(low) || low < 0xDC00 || low > 0xDFFF) {
                return false;
            }
            unit = 0x10000U + ((unit - 0xD800U) << 10U) + (low - 0xDC00U);
        } else if (unit >= 0xDC00 && unit <= 0xDFFF) {
            return false;
        }
        AppendUtf8(out, unit);
        return true;
    }

    bool Unit(char32_t& unit) {
        if (rest_.size() < 4) {
            return false;
        }
        for (int i = 0; i < 4; ++i) {
            const char c = rest_[static_cast<size_t>(i)];
            const int digit = c >= '0' && c <= '9'   ? c - '0'
                              : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                                     : -1;
            if (digit < 0) {
                return false;
            }
            unit = unit * 16 + static_cast<char32_t>(digit);
        }
        rest_.remove_prefix(4);
        return true;
    }

    std::string_view rest_;
};

}  // namespace

std::optional<std::string> ReadJsonText(std::string_view json) {
    Reader reader(json);
    std::string text;
    return reader.String(text) && reader.done() ? std::optional(std::move(text)) : std::nullopt;
}

std::optional<JsonMembers> ReadJsonMembers(std::string_view json) {
    Reader reader(json);
    JsonMembers members;
    if (!reader.Take("{")) {
        return std::nullopt;
    }
    while (!reader.Take("}")) {
        auto& [name, value] = members.emplace_back();
        if ((members.size() > 1 && !reader.Take(",")) || !reader.String(name) || !reader.Take(":")) {
            return std::nullopt;
        }
        if (!reader.Take("null") && !reader.String(value.emplace())) {
            return std::nullopt;
        }
    }
    return reader.done() ? std::optional(std::move(members)) : std::nullopt;
}

std::string WriteJsonMembers(const JsonMembers& members) {
    std::string json = "{";
    for (const auto& [name, value] : members) {
        json += json.size() > 1 ? "," : "";
        json += JsonText(name) + ":" + (value ? JsonText(*value) : "null");
    }
    return json + "}";
}

}  // namespace millrace::sql
