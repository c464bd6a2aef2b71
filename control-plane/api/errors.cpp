#include "control-plane/api/errors.h"

#include "absl/strings/ascii.h"
#include "base/status.h"

namespace millrace::api {
namespace {

constexpr char kHex[] = "0123456789ABCDEF";

bool IsPlain(char c) {
    return c >= 0x20 && c <= 0x7E && c != '%';
}

/// Length of the UTF-8 character that begins with `first`; 1 for a byte that begins none.
size_t CharacterLength(char first) {
    const auto byte = static_cast<unsigned char>(first);
    if (byte >= 0xF0) {
        return 4;
    }
    if (byte >= 0xE0) {
        return 3;
    }
    return byte >= 0xC0 ? 2 : 1;
}

int HexValue(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    const char lower = absl::ascii_tolower(static_cast<unsigned char>(c));
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

}  // namespace

std::string EncodeMetadataText(std::string_view text, size_t max_bytes) {
    std::string out;
    for (size_t at = 0; at < text.size();) {
        const std::string_view character = text.substr(at, CharacterLength(text[at]));
        std::string encoded;
        for (const char c : character) {
            if (IsPlain(c)) {
                encoded += c;
            } else {
                const auto byte = static_cast<unsigned char>(c);
                encoded += {'%', kHex[byte >> 4], kHex[byte & 15]};
            }
        }
        if (out.size() + encoded.size() > max_bytes) {
            break;
        }
        out += encoded;
        at += character.size();
    }
    return out;
}

std::string DecodeMetadataText(std::string_view value) {
    std::string out;
    for (size_t at = 0; at < value.size(); ++at) {
        const bool escaped = value[at] == '%' && at + 2 < value.size() && HexValue(value[at + 1]) >= 0 &&
                             HexValue(value[at + 2]) >= 0;
        if (escaped) {
            out += static_cast<char>(HexValue(value[at + 1]) * 16 + HexValue(value[at + 2]));
            at += 2;
        } else {
            out += value[at];
        }
    }
    return out;
}

absl::Status ErrorFromWire(int code, std::string_view grpc_message, std::string_view reason,
                           std::string_view remedy) {
    if (code == 0) {
        return absl::OkStatus();
    }
    const std::string plain_remedy = DecodeMetadataText(remedy);
    std::string message(grpc_message);
    if (!plain_remedy.empty() && message.ends_with(plain_remedy)) {
        message.resize(message.size() - plain_remedy.size());
        absl::StripTrailingAsciiWhitespace(&message);
    }
    return base::MakeError(static_cast<absl::StatusCode>(code), reason, message, plain_remedy);
}

}  // namespace millrace::api
