#include "data-plane/config/topic_name.h"

#include <cstddef>
#include <cstdint>

namespace millrace::config {
namespace {

constexpr std::size_t kMaxTopicLength = 200;
constexpr std::string_view kHexDigits = "0123456789abcdef";
/// No escape ever starts so ('h' is no hex digit): it marks a name whose tail is a hash.
constexpr std::string_view kHashMark = "_h";
/// A lone '_' is no escape either: it stands for a schema or table without a name (sources that have no
/// schemas).
constexpr std::string_view kEmptyMark = "_";

bool IsPlain(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
}

std::string Escape(std::string_view text) {
    if (text.empty()) {
        return std::string(kEmptyMark);
    }
    std::string out;
    out.reserve(text.size());
    for (const char c : text) {
        if (IsPlain(c)) {
            out += c;
        } else {
            const auto byte = static_cast<unsigned char>(c);
            out += '_';
            out += kHexDigits[byte >> 4U];
            out += kHexDigits[byte & 15U];
        }
    }
    return out;
}

std::optional<std::string> Unescape(std::string_view text) {
    if (text == kEmptyMark) {
        return std::string();
    }
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '_') {
            if (!IsPlain(text[i])) {
                return std::nullopt;
            }
            out += text[i];
            continue;
        }
        if (i + 2 >= text.size()) {
            return std::nullopt;
        }
        const std::size_t high = kHexDigits.find(text[i + 1]);
        const std::size_t low = kHexDigits.find(text[i + 2]);
        if (high == std::string_view::npos || low == std::string_view::npos) {
            return std::nullopt;
        }
        const char decoded = static_cast<char>(high * 16 + low);
        if (IsPlain(decoded)) {
            return std::nullopt;  // Escape never writes it so: two names for one table must not exist.
        }
        out += decoded;
        i += 2;
    }
    return out.empty() ? std::nullopt : std::optional(out);
}

/// 64-bit FNV-1a as 16 digits.
std::string Hash(std::string_view text) {
    uint64_t hash = 14695981039346656037U;
    for (const char c : text) {
        hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211U;
    }
    std::string out(16, '0');
    for (std::size_t i = 0; i < 16; ++i) {
        out[15 - i] = kHexDigits[(hash >> (4 * i)) & 15U];
    }
    return out;
}

std::string Stem(std::string_view prefix, std::string_view pipeline) {
    std::string out(prefix);
    out += '.';
    out += pipeline;
    return out;
}

}  // namespace

std::string TableTopic(std::string_view prefix, std::string_view pipeline, std::string_view schema,
                       std::string_view table) {
    const std::string stem = Stem(prefix, pipeline) + ".";
    std::string tail = Escape(schema) + "." + Escape(table);
    if (stem.size() + tail.size() <= kMaxTopicLength) {
        return stem + tail;
    }
    const std::string hash = std::string(kHashMark) + Hash(tail);
    const std::size_t taken = stem.size() + hash.size() + 1;
    const std::size_t room = taken < kMaxTopicLength ? kMaxTopicLength - taken : 0;
    tail.resize(room);
    // The pattern of table topics wants both components, wherever the cut fell.
    if (tail.find('.') == std::string::npos) {
        tail += '.';
    }
    return stem + tail + hash;
}

std::optional<TableName> TableOfTopic(std::string_view prefix, std::string_view pipeline,
                                      std::string_view topic) {
    const std::string stem = Stem(prefix, pipeline) + ".";
    if (topic.substr(0, stem.size()) != stem) {
        return std::nullopt;
    }
    topic.remove_prefix(stem.size());
    const std::size_t dot = topic.find('.');
    if (dot == std::string_view::npos) {
        return std::nullopt;
    }
    auto schema = Unescape(topic.substr(0, dot));
    auto table = Unescape(topic.substr(dot + 1));
    if (!schema || !table) {
        return std::nullopt;
    }
    return TableName{*std::move(schema), *std::move(table)};
}

std::string TableTopicPattern(std::string_view prefix, std::string_view pipeline) {
    std::string out = "^";
    for (const char c : Stem(prefix, pipeline)) {
        // Of what a topic name may hold, only the dot means something in a regular expression.
        if (c == '.') {
            out += '\\';
        }
        out += c;
    }
    return out + "\\.[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+$";
}

std::string ControlTopic(std::string_view prefix, std::string_view pipeline) {
    return Stem(prefix, pipeline) + ".__control";
}

std::string SchemaTopic(std::string_view prefix, std::string_view pipeline) {
    return Stem(prefix, pipeline) + ".__schemas";
}

std::string AssignmentGroup(std::string_view prefix, std::string_view pipeline) {
    return Stem(prefix, pipeline) + ".assign";
}

std::string AppliedGroup(std::string_view prefix, std::string_view pipeline) {
    return Stem(prefix, pipeline) + ".applied";
}

std::string TransactionalId(std::string_view prefix, std::string_view pipeline) {
    return Stem(prefix, pipeline);
}

}  // namespace millrace::config
