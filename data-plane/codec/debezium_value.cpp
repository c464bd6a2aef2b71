#include "data-plane/codec/debezium_value.h"

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/text.h"
#include "base/time_text.h"
#include "data-plane/codec/base64.h"
#include "data-plane/codec/debezium_types.h"
#include "data-plane/codec/decimal_bytes.h"
#include "data-plane/codec/json_text.h"

namespace millrace::codec {
namespace {

using base::AppendDate;
using base::AppendTime;
using base::AppendTimestamp;
using base::AppendUtcTime;
using base::AppendUtcTimestamp;
using base::AppendZonedTimestamp;
using base::DaysOfDate;
using base::MicrosOfInterval;
using base::MicrosOfTime;
using base::MicrosOfTimestamp;

constexpr int64_t kMicrosOfMilli = 1000;

bool AppendNumber(std::optional<int64_t> number, std::string& json) {
    if (number) {
        json += std::to_string(*number);
    }
    return number.has_value();
}

std::optional<int64_t> Millis(std::optional<int64_t> micros) {
    return micros && *micros % kMicrosOfMilli == 0 ? std::optional(*micros / kMicrosOfMilli) : std::nullopt;
}

bool AppendQuoted(bool (*convert)(std::string_view, std::string&), std::string_view text, std::string& json) {
    json += '"';
    const bool made = convert(text, json);
    json += '"';
    return made;
}

void AppendQuotedBase64(std::string_view bytes, std::string& json) {
    json += '"';
    AppendBase64(bytes, json);
    json += '"';
}

bool AppendByteText(std::string_view text, std::string& json) {
    std::string bytes;
    bytes.reserve(text.size() / 2);
    if (!text.starts_with("\\x") || !base::AppendHexBytes(text.substr(2), bytes)) {
        return false;
    }
    AppendQuotedBase64(bytes, json);
    return true;
}

bool AppendDecimal(std::string_view text, int scale, std::string& json) {
    std::string bytes;
    if (!DecimalToBytes(text, scale, bytes)) {
        return false;
    }
    AppendQuotedBase64(bytes, json);
    return true;
}

bool AppendVariableDecimal(std::string_view text, std::string& json) {
    const std::size_t point = text.find('.');
    const std::size_t scale = point == std::string_view::npos ? 0 : text.size() - point - 1;
    if (text.size() > kMaxDecimalDigits) {
        return false;
    }
    json += "{\"scale\":" + std::to_string(scale) + ",\"value\":";
    const bool made = AppendDecimal(text, static_cast<int>(scale), json);
    json += '}';
    return made;
}

bool AppendFloat(std::string_view text, std::string& json) {
    if (IsJsonNumber(text)) {
        json += text;
        return true;
    }
    if (text == "NaN" || text == "Infinity" || text == "-Infinity") {
        AppendJsonText(text, json);
        return true;
    }
    return false;
}

/// Appends a value; false when there is none, whatever was appended by then.
bool AppendScalar(DebeziumType type, const sdk::Column& column, std::string_view text, std::string& json) {
    switch (type) {
        case DebeziumType::kBoolean:
            json += text == "t" ? "true" : "false";
            return text == "t" || text == "f";
        case DebeziumType::kInt16:
        case DebeziumType::kInt32:
        case DebeziumType::kInt64:
            json += text;
            return IsJsonInteger(text);
        case DebeziumType::kFloat32:
        case DebeziumType::kFloat64:
            return AppendFloat(text, json);
        case DebeziumType::kDecimal:
            return AppendDecimal(text, column.scale, json);
        case DebeziumType::kVariableDecimal:
            return AppendVariableDecimal(text, json);
        case DebeziumType::kBytes:
            return AppendByteText(text, json);
        case DebeziumType::kDate:
            return AppendNumber(DaysOfDate(text), json);
        case DebeziumType::kTime:
            return AppendNumber(Millis(MicrosOfTime(text)), json);
        case DebeziumType::kMicroTime:
            return AppendNumber(MicrosOfTime(text), json);
        case DebeziumType::kTimestamp:
            return AppendNumber(Millis(MicrosOfTimestamp(text)), json);
        case DebeziumType::kMicroTimestamp:
            return AppendNumber(MicrosOfTimestamp(text), json);
        case DebeziumType::kMicroDuration:
            return AppendNumber(MicrosOfInterval(text), json);
        case DebeziumType::kZonedTime:
            return AppendQuoted(AppendUtcTime, text, json);
        case DebeziumType::kZonedTimestamp:
            return AppendQuoted(AppendZonedTimestamp, text, json);
        case DebeziumType::kString:
        case DebeziumType::kUuid:
        case DebeziumType::kJson:
        case DebeziumType::kXml:
        case DebeziumType::kEnum:
            AppendJsonText(text, json);
            return true;
        case DebeziumType::kArray:
            break;
    }
    return false;
}

void AppendElement(const sdk::Column& column, std::string_view text, bool quoted, std::string& json) {
    const std::size_t begin = json.size();
    if ((!quoted && text == "NULL") || !AppendScalar(ElementTypeOf(column), column, text, json)) {
        json.resize(begin);
        json += "null";
    }
}

/// Takes one element, unescaped, off the front of an array's text.
bool TakeElement(std::string_view& text, std::string& element, bool& quoted) {
    quoted = text.starts_with('"');
    std::size_t at = quoted ? 1 : 0;
    for (; at < text.size(); ++at) {
        const char c = text[at];
        if (c == '\\' && at + 1 < text.size()) {
            element += text[++at];
        } else if (quoted ? c == '"' : (c == ',' || c == '}' || c == '{' || c == ';')) {
            break;
        } else {
            element += c;
        }
    }
    at += quoted ? 1 : 0;
    if (at >= text.size() || (text[at] != ',' && text[at] != '}')) {
        return false;
    }
    text.remove_prefix(at);
    return true;
}

/// Arrays of one dimension that begin at 1.
bool AppendArray(const sdk::Column& column, std::string_view text, std::string& json) {
    if (text == "{}") {
        json += "[]";
        return true;
    }
    if (!text.starts_with('{')) {
        return false;
    }
    std::string element;
    char before = '[';
    do {
        text.remove_prefix(1);
        element.clear();
        bool quoted = false;
        if (!TakeElement(text, element, quoted)) {
            return false;
        }
        json += before;
        before = ',';
        AppendElement(column, element, quoted, json);
    } while (text.front() == ',');
    json += ']';
    return text.size() == 1;
}

std::optional<int64_t> Number(std::string_view json) {
    int64_t number = 0;
    const auto [end, error] = std::from_chars(json.data(), json.data() + json.size(), number);
    return error == std::errc() && end == json.data() + json.size() ? std::optional(number) : std::nullopt;
}

std::optional<int64_t> Micros(std::string_view json) {
    const auto millis = Number(json);
    int64_t micros = 0;
    return millis && !__builtin_mul_overflow(*millis, kMicrosOfMilli, &micros) ? std::optional(micros)
                                                                               : std::nullopt;
}

bool With(std::optional<int64_t> number, bool (*append)(int64_t, std::string&), std::string& text) {
    return number && append(*number, text);
}

/// The string that `json` is.
bool TextOf(std::string_view json, std::string& text) {
    return JsonReader(json).Text(text);
}

bool AppendHexText(std::string_view json, std::string& text) {
    constexpr std::string_view kHex = "0123456789abcdef";
    std::string base64;
    std::string bytes;
    if (!TextOf(json, base64) || !DecodeBase64(base64, bytes)) {
        return false;
    }
    text.reserve(text.size() + 2 + 2 * bytes.size());
    text += "\\x";
    for (const char c : bytes) {
        const auto byte = static_cast<unsigned char>(c);
        text += kHex[byte >> 4U];
        text += kHex[byte & 15U];
    }
    return true;
}

bool AppendDecimalText(std::string_view json, int scale, std::string& text) {
    std::string base64;
    std::string bytes;
    return TextOf(json, base64) && DecodeBase64(base64, bytes) && BytesToDecimal(bytes, scale, text);
}

bool AppendVariableDecimalText(std::string_view json, std::string& text) {
    std::optional<int64_t> scale;
    std::string_view value;
    const bool read = JsonReader(json).Object([&](JsonReader& in, std::string_view name) {
        std::string_view raw;
        if (!in.Raw(raw)) {
            return false;
        }
        if (name == "scale") {
            scale = Number(raw);
        } else if (name == "value") {
            value = raw;
        }
        return true;
    });
    return read && scale && *scale >= 0 && *scale <= static_cast<int64_t>(kMaxDecimalDigits) &&
           AppendDecimalText(value, static_cast<int>(*scale), text);
}

bool AppendZonedText(std::string_view json, std::string& text) {
    std::string zoned;
    return TextOf(json, zoned) && AppendUtcTimestamp(zoned, text);
}

bool AppendZonedTimeText(std::string_view json, std::string& text) {
    std::string zoned;
    if (!TextOf(json, zoned) || !zoned.ends_with('Z')) {
        return false;
    }
    zoned.pop_back();
    text += zoned;
    text += "+00";
    return true;
}

bool AppendFloatText(std::string_view json, std::string& text) {
    if (json.starts_with('"')) {
        return TextOf(json, text);
    }
    text += json;
    return IsJsonNumber(json);
}

}  // namespace

bool AppendCellText(const sdk::Column& column, std::string_view json, std::string& text) {
    switch (TypeOf(column)) {
        case DebeziumType::kBoolean:
            text += json == "true" ? 't' : 'f';
            return json == "true" || json == "false";
        case DebeziumType::kInt16:
        case DebeziumType::kInt32:
        case DebeziumType::kInt64:
            text += json;
            return IsJsonInteger(json);
        case DebeziumType::kFloat32:
        case DebeziumType::kFloat64:
            return AppendFloatText(json, text);
        case DebeziumType::kDecimal:
            return AppendDecimalText(json, column.scale, text);
        case DebeziumType::kVariableDecimal:
            return AppendVariableDecimalText(json, text);
        case DebeziumType::kBytes:
            return AppendHexText(json, text);
        case DebeziumType::kDate:
            return With(Number(json), AppendDate, text);
        case DebeziumType::kTime:
            return With(Micros(json), AppendTime, text);
        case DebeziumType::kMicroTime:
            return With(Number(json), AppendTime, text);
        case DebeziumType::kTimestamp:
            return With(Micros(json), AppendTimestamp, text);
        case DebeziumType::kMicroTimestamp:
            return With(Number(json), AppendTimestamp, text);
        case DebeziumType::kZonedTime:
            return AppendZonedTimeText(json, text);
        case DebeziumType::kZonedTimestamp:
            return AppendZonedText(json, text);
        case DebeziumType::kString:
        case DebeziumType::kUuid:
        case DebeziumType::kJson:
        case DebeziumType::kXml:
        case DebeziumType::kEnum:
            return TextOf(json, text);
        case DebeziumType::kMicroDuration:
        case DebeziumType::kArray:
            break;
    }
    return false;
}

bool AppendCellValue(const sdk::Column& column, std::string_view text, std::string& json) {
    const DebeziumType type = TypeOf(column);
    if (IsText(type)) {
        return AppendJsonText(text, json);
    }
    const std::size_t begin = json.size();
    const bool made = type == DebeziumType::kArray ? AppendArray(column, text, json)
                                                   : AppendScalar(type, column, text, json);
    if (!made) {
        json.resize(begin);
        json += "null";
        return false;
    }
    std::string again;
    return AppendCellText(column, std::string_view(json).substr(begin), again) && again == text;
}

void AppendUnavailable(const sdk::Column& column, std::string& json) {
    const DebeziumType type = TypeOf(column);
    if (IsText(type)) {
        AppendJsonText(kUnavailable, json);
    } else if (type == DebeziumType::kBytes) {
        AppendQuotedBase64(kUnavailable, json);
    } else if (type == DebeziumType::kArray && IsText(ElementTypeOf(column))) {
        json += '[';
        AppendJsonText(kUnavailable, json);
        json += ']';
    } else {
        json += "null";
    }
}

}  // namespace millrace::codec
