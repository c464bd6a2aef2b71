#include "base/text.h"

namespace millrace::base {

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
