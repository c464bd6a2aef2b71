#include "data-plane/apply/record_joins.h"

#include <algorithm>

#include "data-plane/codec/event_codec.h"

namespace millrace::apply {

/// What a joined record's views point into.
struct RecordJoins::Joined final {
    std::unique_ptr<Room> room;
    std::string key;
    std::string value;
    /// Name and value of each header but the part's.
    std::deque<std::pair<std::string, std::string>> headers;
};

bool RecordJoins::Fits(int64_t bytes) const {
    const int64_t taken = memory_->taken;
    return taken == 0 || taken + bytes <= budget_;
}

bool RecordJoins::Waits(const std::string& topic) const {
    return std::any_of(waiting_.begin(), waiting_.end(),
                       [&](const Waiting& waiting) { return waiting.topic == topic; });
}

bool RecordJoins::Unfinished(const std::string& topic) const {
    return joins_.contains(topic) || Waits(topic);
}

RecordJoins::Outcome RecordJoins::Take(const std::string& topic, bus::Record& record) {
    if (record.headers.empty() && joins_.empty()) {
        return Outcome::kWhole;
    }
    if (!record.Header(codec::kAsideHeader).empty()) {
        return Outcome::kMore;
    }
    const std::string_view header = record.Header(codec::kPartHeader);
    if (header.empty()) {
        if (const auto join = joins_.find(topic); join != joins_.end()) {
            // The parts before it will never be whole; that must not go unnoticed.
            joins_.erase(join);
            record.headers.push_back({codec::kPartHeader, "?"});
        }
        return Outcome::kWhole;
    }
    const absl::StatusOr<codec::RecordPart> part = codec::ParsePartHeader(header);
    if (!part.ok()) {
        joins_.erase(topic);
        return Outcome::kWhole;
    }
    return TakePart(topic, *part, record);
}

RecordJoins::Outcome RecordJoins::TakePart(const std::string& topic, const codec::RecordPart& part,
                                           bus::Record& record) {
    auto join = joins_.find(topic);
    const auto bytes = static_cast<int64_t>(part.bytes);
    if (join == joins_.end()) {
        if (part.index != 1) {
            return Outcome::kWhole;
        }
        if (!waiting_.empty() || !Fits(bytes)) {
            waiting_.push_back({topic, record.offset, bytes});
            crowded_ = true;
            return Outcome::kNoRoom;
        }
        join = joins_.emplace(topic, Join()).first;
    }
    if (join->second.room == nullptr) {
        join->second.room = std::make_unique<Room>(memory_, bytes);
    }
    if (!join->second.parts.Add(part, record.value).ok()) {
        joins_.erase(join);
        return Outcome::kWhole;
    }
    if (!join->second.parts.complete()) {
        return Outcome::kMore;
    }
    HandOn(join->second, record);
    joins_.erase(join);
    return Outcome::kWhole;
}

void RecordJoins::HandOn(Join& join, bus::Record& record) const {
    auto joined = std::make_shared<Joined>();
    joined->room = std::move(join.room);
    joined->room->HandOn();
    joined->key = record.key;
    joined->value = join.parts.Take();
    std::vector<bus::RecordHeader> headers;
    for (const bus::RecordHeader& header : record.headers) {
        if (header.name != codec::kPartHeader) {
            const auto& kept = joined->headers.emplace_back(header.name, header.value);
            headers.push_back({kept.first, kept.second});
        }
    }
    record.key = joined->key;
    record.value = joined->value;
    record.headers = std::move(headers);
    record.owner = std::move(joined);
}

std::optional<std::pair<std::string, int64_t>> RecordJoins::NextWithRoom() {
    if (waiting_.empty() || !Fits(waiting_.front().bytes)) {
        return std::nullopt;
    }
    const Waiting next = std::move(waiting_.front());
    waiting_.pop_front();
    crowded_ = !waiting_.empty();
    // Its first part comes again; others that come first must not take the room.
    joins_[next.topic].room = std::make_unique<Room>(memory_, next.bytes);
    return std::pair(next.topic, next.offset);
}

void RecordJoins::Forget(const std::string& topic) {
    joins_.erase(topic);
    std::erase_if(waiting_, [&](const Waiting& waiting) { return waiting.topic == topic; });
    crowded_ = !waiting_.empty();
}

}  // namespace millrace::apply
