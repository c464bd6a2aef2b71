/// Joining text out of pieces, and bytes out of hexadecimal digits. absl may be built with a string_view of its own, to which std::string_view
/// does not convert; these take both. Not for: formatting of floating point, parsing.
#pragma once

#include <charconv>
#include <concepts>
#include <initializer_list>
#include <string>
#include <string_view>

#include "absl/strings/string_view.h"

namespace millrace::base {

inline absl::string_view ToAbsl(std::string_view text) {
    return {text.data(), text.size()};
}
inline std::string_view ToStd(absl::string_view text) {
    return {text.data(), text.size()};
}

/// One argument of Concat or Append: text or a whole number. Lives as long as the call.
class TextPiece final {
 public:
    template <typename Text>
    requires std::convertible_to<const Text&, std::string_view>
    explicit TextPiece(const Text& text) : view_(text) {}
    template <typename Text>
    requires(std::same_as<Text, absl::string_view> &&
             !std::same_as<absl::string_view, std::string_view>) explicit TextPiece(Text text)
        : view_(text.data(), text.size()) {}
    template <std::integral Number>
    requires(!std::same_as<Number, bool> && !std::same_as<Number, char>) explicit TextPiece(Number number)
        : view_(digits_, static_cast<size_t>(std::to_chars(digits_, digits_ + sizeof(digits_), number).ptr -
                                             digits_)) {}
    TextPiece(const TextPiece&) = delete;
    TextPiece& operator=(const TextPiece&) = delete;

    [[nodiscard]] std::string_view view() const { return view_; }

 private:
    char digits_[24] = {};
    std::string_view view_;
};

/// Appends the bytes that pairs of hexadecimal digits (0-9, a-f) stand for. False for anything else; `out` is of no use then.
bool AppendHexBytes(std::string_view digits, std::string& out);

/// Appends every piece to `text`.
void AppendPieces(std::string& text, std::initializer_list<TextPiece> pieces);

/// Appends text and whole numbers: Append(line, " port ", 5432).
template <typename... Pieces>
void Append(std::string& text, const Pieces&... pieces) {
    AppendPieces(text, {TextPiece(pieces)...});
}

/// Joins text and whole numbers: Concat("host ", host, " port ", 5432).
template <typename... Pieces>
std::string Concat(const Pieces&... pieces) {
    std::string text;
    AppendPieces(text, {TextPiece(pieces)...});
    return text;
}

}  // namespace millrace::base
