#include "data-plane/bus/table_positions.h"

namespace millrace::bus {
namespace {

constexpr std::chrono::seconds kMissingPatience{15};
constexpr std::chrono::seconds kMissingRetry{1};

}  // namespace

TablePositions::Topic* TablePositions::Find(std::string_view name) {
    const auto found = topics_.find(name);
    return found != topics_.end() ? &found->second : nullptr;
}

TablePositions::Topic& TablePositions::Insert(const std::string& name, int64_t offset) {
    Topic& topic = topics_[name];
    topic = Topic{};
    topic.next_offset = offset;
    return topic;
}

void TablePositions::Erase(const std::string& name) {
    topics_.erase(name);
    ++changes_;
}

std::vector<std::string> TablePositions::Assigned() const {
    std::vector<std::string> names;
    for (const auto& [name, topic] : topics_) {
        if (topic.assigned) {
            names.push_back(name);
        }
    }
    return names;
}

void TablePositions::SetAssigned(Topic& topic, bool assigned) {
    topic.assigned = assigned;
    topic.change = ++changes_;
}

TablePositions::Verdict TablePositions::Judge(const Topic* topic, int64_t offset, uint64_t changes_before) {
    if (topic == nullptr || !topic->assigned) {
        return Verdict::kDrop;
    }
    if (topic->change > changes_before) {
        return Verdict::kReassign;
    }
    return offset >= topic->next_offset ? Verdict::kDeliver : Verdict::kDrop;
}

void TablePositions::SetMissing(Topic& topic, Clock::time_point now) {
    if (topic.missing_since == Clock::time_point()) {
        topic.missing_since = now;
    }
    topic.retry_at = now + kMissingRetry;
}

std::vector<std::string> TablePositions::MissingForGood(Clock::time_point now) const {
    std::vector<std::string> names;
    for (const auto& [name, topic] : topics_) {
        const bool missing = topic.missing_since != Clock::time_point() && !topic.paused && !topic.failed;
        if (missing && now - topic.missing_since >= kMissingPatience) {
            names.push_back(name);
        }
    }
    return names;
}

std::vector<std::string> TablePositions::Due(Clock::time_point now) const {
    std::vector<std::string> names;
    for (const auto& [name, topic] : topics_) {
        const bool waits =
            topic.retry_at != Clock::time_point() && !topic.assigned && !topic.paused && !topic.failed;
        if (waits && now >= topic.retry_at) {
            names.push_back(name);
        }
    }
    return names;
}

}  // namespace millrace::bus
