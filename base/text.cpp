#include "base/text.h"

namespace millrace::base {
namespace {

int HexValue(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

}  // namespace

bool AppendHexBytes(std::string_view digits, std::string& out) {
    if (digits.size() % 2 != 0) {
        return false;
    }
    for (size_t i = 0; i < digits.size(); i += 2) {
        const int high = HexValue(digits[i]);
        const int low = HexValue(digits[i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        out.push_back(static_cast<char>(high * 16 + low));
    }
    return true;
}

void AppendPieces(std::string& text, std::initializer_list<TextPiece> pieces) {
    size_t size = text.size();
    for (const TextPiece& piece : pieces) {
        size += piece.view().size();
    }
    text.reserve(size);
    for (const TextPiece& piece : pieces) {
        text.append(piece.view());
    }
}

}  // namespace millrace::base
