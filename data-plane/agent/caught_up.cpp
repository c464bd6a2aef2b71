#include "data-plane/agent/caught_up.h"

#include <charconv>
#include <utility>

#include "base/status.h"
#include "data-plane/publish/error_policy.h"
#include "data-plane/publish/stream_position.h"

namespace millrace::agent {
namespace {

std::optional<uint64_t> ParseNumber(std::string_view text, int base) {
    uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (error != std::errc() || end != text.data() + text.size()) {
        return std::nullopt;
    }
    return value;
}

std::vector<std::string> Unapplied(const Offsets& ends, const Offsets& applied) {
    constexpr size_t kShown = 5;
    std::vector<std::string> sentences;
    size_t more = 0;
    for (const auto& [topic, end] : ends) {
        const auto found = applied.find(topic);
        const int64_t next = found == applied.end() ? 0 : found->second;
        if (next >= end) {
            continue;
        }
        if (sentences.size() == kShown) {
            ++more;
            continue;
        }
        sentences.push_back("topic " + topic + " is applied up to offset " + std::to_string(next) + " of " +
                            std::to_string(end));
    }
    if (more > 0) {
        sentences.push_back("and " + std::to_string(more) + " more topics");
    }
    return sentences;
}

// Somebody deleted it: its table waits for a person, and so does whoever waits for the table.
bool IsMissingTopic(const absl::Status& status) {
    return base::ReasonOf(status) == publish::kTopicMissingReason;
}

}  // namespace

std::optional<uint64_t> ParsePosition(std::string_view text) {
    const size_t slash = text.find('/');
    if (slash == std::string_view::npos) {
        return ParseNumber(text, 10);
    }
    const auto high = ParseNumber(text.substr(0, slash), 16);
    const auto low = ParseNumber(text.substr(slash + 1), 16);
    if (!high || !low || *high > 0xffffffff || *low > 0xffffffff) {
        return std::nullopt;
    }
    return *high << 32 | *low;
}

std::optional<Offsets> CaughtUp::Remembered(const std::string& key) {
    const std::lock_guard lock(mutex_);
    for (const auto& [known, ends] : ends_) {
        if (known == key) {
            return ends;
        }
    }
    return std::nullopt;
}

Offsets CaughtUp::Remember(const std::string& key, Offsets ends) {
    const std::lock_guard lock(mutex_);
    for (const auto& [known, earlier] : ends_) {
        if (known == key) {
            return earlier;
        }
    }
    if (ends_.size() >= capacity_) {
        ends_.pop_front();
    }
    return ends_.emplace_back(key, std::move(ends)).second;
}

void CaughtUp::Forget(const std::string& key) {
    const std::lock_guard lock(mutex_);
    std::erase_if(ends_, [&](const auto& known) { return known.first == key; });
}

absl::StatusOr<CaughtUpAnswer> CaughtUp::Check(const std::string& pipeline_uid, const std::string& position,
                                               PipelineProgress& progress) {
    const std::optional<uint64_t> wanted = ParsePosition(position);
    if (!wanted) {
        return base::MakeError(absl::StatusCode::kInvalidArgument, "POSITION_INVALID",
                               "the position asked about is none that this data plane gave out",
                               "Take a position with MarkSourcePosition first.");
    }
    const std::string key = pipeline_uid + "\n" + position;
    std::optional<Offsets> ends = Remembered(key);
    if (!ends) {
        ASSIGN_OR_RETURN(const std::optional<DurableProgress> durable, progress.Durable());
        if (!durable) {
            return CaughtUpAnswer{false, {"the publisher has not written anything to Kafka yet"}};
        }
        if (!durable->streaming) {
            return CaughtUpAnswer{false, {"the first copy of the tables is running"}};
        }
        if (durable->end_lsn < *wanted) {
            return CaughtUpAnswer{false,
                                  {"the publisher is durable up to " + publish::PositionText(durable->end_lsn) +
                                   ", " + publish::PositionText(*wanted) + " is awaited"}};
        }
        if (!durable->held.empty()) {
            return CaughtUpAnswer{false, durable->held};
        }
        // Only now: records of changes up to the position are in the topics from here on, so their ends cover
        // them.
        absl::StatusOr<Offsets> taken = progress.Ends();
        if (IsMissingTopic(taken.status())) {
            return CaughtUpAnswer{false, {std::string(taken.status().message())}};
        }
        RETURN_IF_ERROR(taken.status());
        ends = Remember(key, *std::move(taken));
    }
    const absl::StatusOr<Offsets> applied = progress.Applied(*ends);
    if (IsMissingTopic(applied.status())) {
        // The topic that is made in its place has ends of its own.
        Forget(key);
        return CaughtUpAnswer{false, {std::string(applied.status().message())}};
    }
    RETURN_IF_ERROR(applied.status());
    CaughtUpAnswer answer;
    answer.waiting_for = Unapplied(*ends, *applied);
    answer.caught_up = answer.waiting_for.empty();
    return answer;
}

}  // namespace millrace::agent
