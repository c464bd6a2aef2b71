#include "data-plane/agent/caught_up.h"

#include <charconv>
#include <utility>

#include "base/status.h"
#include "base/text.h"
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

constexpr size_t kShown = 5;

// The first few, and how many more there are.
std::vector<std::string> Few(std::vector<std::string> sentences, std::string_view what) {
    if (sentences.size() > kShown) {
        const size_t more = sentences.size() - kShown;
        sentences.resize(kShown);
        sentences.push_back(base::Concat("and ", more, " more ", what));
    }
    return sentences;
}

std::vector<std::string> Unapplied(const Offsets& ends, const Offsets& applied) {
    std::vector<std::string> sentences;
    for (const auto& [topic, end] : ends) {
        const auto found = applied.find(topic);
        const int64_t next = found == applied.end() ? 0 : found->second;
        if (next < end) {
            sentences.push_back(base::Concat("topic ", topic, " is applied up to offset ", next, " of ", end));
        }
    }
    return Few(std::move(sentences), "topics");
}

// Somebody deleted it: its table waits for a person, and so does whoever waits for the table.
bool IsMissingTopic(const absl::Status& status) {
    return base::ReasonOf(status) == publish::kTopicMissingReason;
}

// What the publisher will notice when it looks at the source's tables next.
std::vector<std::string> Uncopied(const SourceTables& tables, const SourceTables& copied) {
    std::vector<std::string> sentences;
    for (const auto& [topic, now] : tables) {
        const auto found = copied.find(topic);
        const SourceTableId then = found == copied.end() ? SourceTableId() : found->second;
        if (found == copied.end() || (now.id != 0 && then.id != 0 && then.id != now.id)) {
            sentences.push_back(base::Concat("the table of topic ", topic, " is new at the source and not copied yet"));
        } else if (then.stream_entry != 0 && then.stream_entry != now.stream_entry) {
            sentences.push_back(base::Concat("the table of topic ", topic, " left the publication and is not copied anew yet"));
        }
    }
    return Few(std::move(sentences), "tables");
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
                                               PipelineProgress& progress, const ListSource& list_source) {
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
        const absl::StatusOr<SourceTables> tables = list_source();
        if (!tables.ok()) {
            return CaughtUpAnswer{false, {base::Concat("the source's tables cannot be listed: ", tables.status().message())}};
        }
        if (std::vector<std::string> missing = Uncopied(*tables, durable->copied); !missing.empty()) {
            return CaughtUpAnswer{false, std::move(missing)};
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
