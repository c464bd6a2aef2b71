#include "data-plane/codec/json_text.h"

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace millrace::codec {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

/// Length of the UTF-8 sequence that `text` begins with; 0 when it begins with none.
std::size_t SequenceLength(std::string_view text) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned lead = byte(0);
    if (lead < 0x80U) {
        return 1;
    }
    const std::size_t length = lead >= 0xF0U ? 4 : lead >= 0xE0U ? 3 : 2;
    if (lead < 0xC2U || lead > 0xF4U || text.size() < length) {
        return 0;
    }
    for (std::size_t i = 1; i < length; ++i) {
        if ((byte(i) & 0xC0U) != 0x80U) {
            return 0;
        }
    }
    // Overlong forms, surrogates, and what is beyond U+10FFFF.
    const unsigned second = byte(1);
    const bool refused = (lead == 0xE0U && second < 0xA0U) || (lead == 0xEDU && second > 0x9FU) ||
                         (lead == 0xF0U && second < 0x90U) || (lead == 0xF4U && second > 0x8FU);
    return refused ? 0 : length;
}

void AppendUtf8(unsigned code, std::string& out) {
    if (code < 0x80U) {
        out += static_cast<char>(code);
        return;
    }
    if (code < 0x800U) {
        out += static_cast<char>(0xC0U | (code >> 6U));
    } else {
        if (code < 0x10000U) {
            out += static_cast<char>(0xE0U | (code >> 12U));
        } else {
            out += static_cast<char>(0xF0U | (code >> 18U));
            out += static_cast<char>(0x80U | ((code >> 12U) & 0x3FU));
        }
        out += static_cast<char>(0x80U | ((code >> 6U) & 0x3FU));
    }
    out += static_cast<char>(0x80U | (code & 0x3FU));
}

bool IsPlain(char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte >= 0x20U && byte < 0x80U && c != '"' && c != '\\';
}

void AppendControl(unsigned char byte, std::string& out) {
    constexpr std::string_view kHex = "0123456789abcdef";
    out += "\\u00";
    out += kHex[byte >> 4U];
    out += kHex[byte & 15U];
}

bool TakeDigits(std::string_view& text) {
    std::size_t digits = 0;
    while (digits < text.size() && text[digits] >= '0' && text[digits] <= '9') {
        ++digits;
    }
    text.remove_prefix(digits);
    return digits > 0;
}

/// The integer part.
bool TakeInteger(std::string_view& text) {
    if (text.starts_with('-')) {
        text.remove_prefix(1);
    }
    if (text.starts_with('0')) {
        text.remove_prefix(1);
        return true;
    }
    return TakeDigits(text);
}

bool IsSpace(char c) {
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

}  // namespace

bool AppendJsonText(std::string_view text, std::string& out) {
    bool exact = true;
    out += '"';
    while (!text.empty()) {
        std::size_t plain = 0;
        while (plain < text.size() && IsPlain(text[plain])) {
            ++plain;
        }
        out.append(text.substr(0, plain));
        text.remove_prefix(plain);
        if (text.empty()) {
            break;
        }
        const char c = text.front();
        std::size_t length = SequenceLength(text);
        if (length == 0) {
            out += kReplacement;
            exact = false;
            length = 1;
        } else if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (length == 1 && static_cast<unsigned char>(c) < 0x20U) {
            AppendControl(static_cast<unsigned char>(c), out);
        } else {
            out.append(text.substr(0, length));
        }
        text.remove_prefix(length);
    }
    out += '"';
    return exact;
}

bool IsJsonInteger(std::string_view text) {
    return TakeInteger(text) && text.empty();
}

bool IsJsonNumber(std::string_view text) {
    if (!TakeInteger(text)) {
        return false;
    }
    if (text.starts_with('.')) {
        text.remove_prefix(1);
        if (!TakeDigits(text)) {
            return false;
        }
    }
    if (text.starts_with('e') || text.starts_with('E')) {
        text.remove_prefix(1);
        if (text.starts_with('+') || text.starts_with('-')) {
            text.remove_prefix(1);
        }
        if (!TakeDigits(text)) {
            return false;
        }
    }
    return text.empty();
}

char JsonReader::Peek() {
    while (at_ != end_ && IsSpace(*at_)) {
        ++at_;
    }
    return at_ == end_ ? '\0' : *at_;
}

bool JsonReader::Take(char wanted) {
    if (Peek() != wanted || at_ == end_) {
        return false;
    }
    ++at_;
    return true;
}

bool JsonReader::Text(std::string& out) {
    if (!Take('"')) {
        return false;
    }
    while (at_ != end_) {
        const char* plain = at_;
        while (plain != end_ && *plain != '"' && *plain != '\\') {
            ++plain;
        }
        out.append(at_, plain);
        at_ = plain;
        if (at_ == end_) {
            return false;
        }
        if (*at_++ == '"') {
            return true;
        }
        if (!Escape(out)) {
            return false;
        }
    }
    return false;
}

bool JsonReader::Escape(std::string& out) {
    if (at_ == end_) {
        return false;
    }
    constexpr std::string_view kNames = "\"\\/bfnrt";
    constexpr std::string_view kMeant = "\"\\/\b\f\n\r\t";
    const char name = *at_++;
    if (const std::size_t known = kNames.find(name); known != std::string_view::npos) {
        out += kMeant[known];
        return true;
    }
    unsigned code = 0;
    if (name != 'u' || !FourHex(code)) {
        return false;
    }
    if (code >= 0xD800U && code < 0xDC00U) {
        unsigned low = 0;
        if (end_ - at_ < 2 || at_[0] != '\\' || at_[1] != 'u') {
            return false;
        }
        at_ += 2;
        if (!FourHex(low) || low < 0xDC00U || low > 0xDFFFU) {
            return false;
        }
        code = 0x10000U + ((code - 0xD800U) << 10U) + (low - 0xDC00U);
    } else if (code >= 0xDC00U && code < 0xE000U) {
        return false;
    }
    AppendUtf8(code, out);
    return true;
}

bool JsonReader::FourHex(unsigned& code) {
    if (end_ - at_ < 4) {
        return false;
    }
    code = 0;
    for (int i = 0; i < 4; ++i) {
        const char c = *at_++;
        code <<= 4U;
        if (c >= '0' && c <= '9') {
            code |= static_cast<unsigned>(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            code |= static_cast<unsigned>(c - 'a' + 10);
        } else if (c >= 'A' && c <= 'F') {
            code |= static_cast<unsigned>(c - 'A' + 10);
        } else {
            return false;
        }
    }
    return true;
}

bool JsonReader::SkipText() {
    ++at_;
    while (at_ != end_) {
        const char c = *at_++;
        if (c == '"') {
            return true;
        }
        if (c == '\\') {
            if (at_ == end_) {
                return false;
            }
            ++at_;
        }
    }
    return false;
}

bool JsonReader::Raw(std::string_view& raw) {
    if (Peek() == '\0') {
        return false;
    }
    const char* const begin = at_;
    std::size_t depth = 0;
    do {
        const char c = *at_;
        if (c == '"') {
            if (!SkipText()) {
                return false;
            }
        } else if (c == '{' || c == '[') {
            ++depth;
            ++at_;
        } else if (c == '}' || c == ']') {
            if (depth == 0) {
                return false;
            }
            --depth;
            ++at_;
        } else if (depth > 0) {
            ++at_;
        } else {
            while (at_ != end_ && *at_ != ',' && *at_ != '}' && *at_ != ']' && !IsSpace(*at_)) {
                ++at_;
            }
        }
    } while (depth > 0 && at_ != end_);
    raw = std::string_view(begin, static_cast<std::size_t>(at_ - begin));
    return depth == 0 && !raw.empty();
}

}  // namespace millrace::codec
