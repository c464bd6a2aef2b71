#include "connectors/sdk/chunk.h"

#include <algorithm>

namespace millrace::sdk {
namespace {

constexpr size_t kBlockBytes = 256 * 1024;

}  // namespace

std::string_view RowBuffer::Keep(std::string_view text) {
    if (blocks_.empty() || blocks_.back().capacity() - blocks_.back().size() < text.size()) {
        blocks_.emplace_back().reserve(std::max(kBlockBytes, text.size()));
    }
    std::string& block = blocks_.back();
    const size_t begin = block.size();
    block.append(text);
    bytes_ += static_cast<int64_t>(text.size());
    return std::string_view(block).substr(begin);
}

void RowBuffer::Add(RowView row) {
    for (const Cell& cell : row) {
        cells_.push_back(cell.is_value() ? Cell::Value(Keep(cell.text())) : cell);
    }
}

}  // namespace millrace::sdk
