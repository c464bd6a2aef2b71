/// Where each table topic of a reader stands, and which fetched records are still wanted.
/// Not for: talking to Kafka (table_reader).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace millrace::bus {

/// Positions are ours, not the client library's: a topic is always assigned at the offset after the last
/// record that was handed over, so that whatever is dropped on the way (paused, repositioned, overtaken) is
/// fetched again and never lost. Not thread-safe.
class TablePositions final {
 public:
    using Clock = std::chrono::steady_clock;
    /// What to do with something fetched.
    enum class Verdict {
        kDeliver,
        /// Not wanted, or will be fetched again.
        kDrop,
        /// Not known to belong to the present assignment: assign the topic anew at its position.
        kReassign,
    };

    struct Topic final {
        int64_t next_offset = 0;
        /// Of the last assignment or its end.
        uint64_t change = 0;
        bool assigned = false;
        bool paused = false;
        bool failed = false;
        /// Something of it has been delivered.
        bool heard = false;
        /// When Kafka first said that the topic is missing, without a word of it since.
        Clock::time_point missing_since;
        /// When to assign a missing one again.
        Clock::time_point retry_at;
    };

    /// Nullptr when there is none.
    Topic* Find(std::string_view name);
    Topic& Insert(const std::string& name, int64_t offset);
    void Erase(const std::string& name);
    /// Those that are assigned.
    [[nodiscard]] std::vector<std::string> Assigned() const;

    void SetAssigned(Topic& topic, bool assigned);
    /// Grows with every assignment and its end; remember it before fetching.
    [[nodiscard]] uint64_t changes() const { return changes_; }

    /// Of a record or an end at `offset`, fetched by a call that began at `changes_before`.
    [[nodiscard]] static Verdict Judge(const Topic* topic, int64_t offset, uint64_t changes_before);

    /// Kafka says that the topic is missing, which it also does while a broker starts: it is due again in a
    /// second, and missing for good when nothing of it came for a while.
    static void SetMissing(Topic& topic, Clock::time_point now);
    [[nodiscard]] std::vector<std::string> MissingForGood(Clock::time_point now) const;
    /// Names of the topics to be assigned again now.
    [[nodiscard]] std::vector<std::string> Due(Clock::time_point now) const;

 private:
    std::map<std::string, Topic, std::less<>> topics_;
    uint64_t changes_ = 0;
};

}  // namespace millrace::bus
