#include "data-plane/backfill/range_reader.h"

#include <utility>

namespace millrace::backfill {
namespace {

/// The next one is read while one waits for the stream.
constexpr size_t kReadAhead = 2;

}  // namespace

void RangeReader::Begin(size_t place, const KeyRange& range) {
    place_ = place;
    ahead_ = range;
}

void RangeReader::Again(const KeyRange& range) {
    ready_.clear();
    in_vain_ = fetcher_.on_its_way();
    ahead_ = range;
}

bool RangeReader::Hungry() const {
    return place_ && !ahead_.scanned && !fetcher_.on_its_way() && ready_.size() < kReadAhead;
}

void RangeReader::Ask(sdk::ChunkRequest request, const sdk::Visibility& floor, ChunkWindow::Asked asked) {
    if (place_) {
        request.after = ahead_.cursor;
        request.bound = ahead_.bound;
    }
    floor_ = floor;
    asked_ = asked;
    fetcher_.Ask(std::move(request));
}

std::optional<RangeReader::Answer> RangeReader::Take() {
    auto answer = fetcher_.Take();
    if (!answer || std::exchange(in_vain_, false)) {
        return std::nullopt;
    }
    Answer told{.status = answer->chunk.status(), .took = answer->took};
    if (!told.status.ok()) {
        return told;
    }
    sdk::Chunk& chunk = *answer->chunk;
    if (place_) {
        if (ahead_.bound.empty()) {
            ahead_.bound = chunk.bound;
        }
        if (!chunk.last_key.empty()) {
            ahead_.cursor = chunk.last_key;
        }
        ahead_.scanned = chunk.complete;
    }
    ready_.push_back({.chunk = std::move(chunk), .asked = asked_});
    return told;
}

void RangeReader::AddFloors(std::vector<const sdk::Visibility*>& floors) const {
    for (const Ready& one : ready_) {
        floors.push_back(&one.chunk.seen);
    }
    if (fetcher_.on_its_way()) {
        floors.push_back(&floor_);
    }
}

}  // namespace millrace::backfill
