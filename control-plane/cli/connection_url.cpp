#include "control-plane/cli/connection_url.h"

#include <optional>

#include "base/status.h"

namespace millrace::cli {
namespace {

absl::Status Bad(std::string_view what) {
    return base::MakeError(
        absl::StatusCode::kInvalidArgument, "URL_INVALID", what,
        "Write it as scheme://user:password@host:port/database?option=value; special characters of a "
        "password are percent-encoded");
}

int HexDigit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

std::optional<std::string> Decode(std::string_view text) {
    std::string out;
    for (size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            out += text[i];
            continue;
        }
        if (i + 2 >= text.size() || HexDigit(text[i + 1]) < 0 || HexDigit(text[i + 2]) < 0) {
            return std::nullopt;
        }
        out += static_cast<char>(HexDigit(text[i + 1]) * 16 + HexDigit(text[i + 2]));
        i += 2;
    }
    return out;
}

absl::Status ParseHostPort(std::string_view text, ConnectionUrl& url) {
    if (text.starts_with('[')) {
        const size_t close = text.find(']');
        if (close == std::string_view::npos) {
            return Bad("the URL's IPv6 address has no closing bracket");
        }
        url.host = text.substr(1, close - 1);
        text = text.substr(close + 1);
    } else {
        const size_t colon = text.rfind(':');
        url.host = Decode(text.substr(0, colon)).value_or("");
        text = colon == std::string_view::npos ? std::string_view{} : text.substr(colon);
    }
    if (text.starts_with(':')) {
        url.port = text.substr(1);
        if (url.port.empty() || url.port.find_first_not_of("0123456789") != std::string::npos) {
            return Bad("the URL's port is not a number");
        }
    }
    return absl::OkStatus();
}

absl::Status ParseParameters(std::string_view query, ConnectionUrl& url) {
    while (!query.empty()) {
        const size_t amp = query.find('&');
        const std::string_view pair = query.substr(0, amp);
        query = amp == std::string_view::npos ? std::string_view{} : query.substr(amp + 1);
        const size_t equals = pair.find('=');
        auto key = Decode(pair.substr(0, equals));
        auto value = Decode(equals == std::string_view::npos ? std::string_view{} : pair.substr(equals + 1));
        if (!key || !value || key->empty()) {
            return Bad("an option after the URL's '?' is not of the form name=value");
        }
        url.parameters[*key] = *value;
    }
    return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ConnectionUrl> ParseConnectionUrl(std::string_view text) {
    ConnectionUrl url;
    const size_t colon = text.find(':');
    if (colon == std::string_view::npos || colon == 0) {
        return Bad("the URL has no scheme such as postgres:// or duckdb://");
    }
    url.scheme = text.substr(0, colon);
    std::string_view rest = text.substr(colon + 1);
    if (const size_t question = rest.find('?'); question != std::string_view::npos) {
        RETURN_IF_ERROR(ParseParameters(rest.substr(question + 1), url));
        rest = rest.substr(0, question);
    }
    if (rest.starts_with("//")) {
        rest = rest.substr(2);
        const size_t slash = rest.find('/');
        std::string_view authority = rest.substr(0, slash);
        rest = slash == std::string_view::npos ? std::string_view{} : rest.substr(slash);
        if (const size_t at = authority.rfind('@'); at != std::string_view::npos) {
            const std::string_view who = authority.substr(0, at);
            authority = authority.substr(at + 1);
            const size_t separator = who.find(':');
            auto user = Decode(who.substr(0, separator));
            auto password =
                Decode(separator == std::string_view::npos ? std::string_view{} : who.substr(separator + 1));
            if (!user || !password) {
                return Bad("the URL's user or password holds a '%' that is not percent-encoding");
            }
            url.user = *user;
            url.password = base::Secret(*std::move(password));
        }
        RETURN_IF_ERROR(ParseHostPort(authority, url));
    }
    auto path = Decode(rest);
    if (!path) {
        return Bad("the URL's path holds a '%' that is not percent-encoding");
    }
    url.path = *std::move(path);
    return url;
}

}  // namespace millrace::cli
