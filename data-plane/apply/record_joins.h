/// Joins the parts of the split records of a consumer's tables, within one budget of memory for all of them.
/// Not for: the form of parts (codec/record_parts), reading them (record_feed).
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "data-plane/bus/record.h"
#include "data-plane/codec/record_parts.h"

namespace millrace::apply {

/// Memory of joined records, from their first part until they are applied or dropped. A record that finds no
/// room waits at its first part, in the order of coming; one that is larger than the budget is taken when
/// nothing else is held. The poll thread's, but for what joined records give back when the last of their
/// owners lets go.
class RecordJoins final {
 public:
    enum class Outcome {
        /// The record is a whole one: as it was, or joined; or a loose part that nothing can be made of, with
        /// its header.
        kWhole,
        /// More parts are to come, or it is an aside, which is not for us.
        kMore,
        /// Stop reading the topic; NextWithRoom says when to read it again from this record's offset on.
        kNoRoom,
    };

    explicit RecordJoins(int64_t budget) : budget_(budget) {}

    /// Takes the next record of `topic`.
    Outcome Take(const std::string& topic, bus::Record& record);
    /// The topic's records are not wanted now, because it waits for room.
    [[nodiscard]] bool Waits(const std::string& topic) const;
    /// Parts of an unfinished record are held, or it waits.
    [[nodiscard]] bool Unfinished(const std::string& topic) const;
    /// A topic for whose record there is room now, and the offset to read it from. It keeps the room.
    std::optional<std::pair<std::string, int64_t>> NextWithRoom();
    /// Drops what is held of the topic.
    void Forget(const std::string& topic);

    /// Some record waits: whoever holds one should apply it or let it go. Any thread.
    [[nodiscard]] bool crowded() const { return crowded_; }
    /// Memory of the records that were handed on and are not given back yet.
    [[nodiscard]] int64_t handed_on() const { return memory_->handed_on; }

 private:
    struct Memory final {
        std::atomic<int64_t> taken{0};
        std::atomic<int64_t> handed_on{0};
    };
    /// Some bytes of the budget, given back at its end.
    class Room final {
     public:
        Room(std::shared_ptr<Memory> memory, int64_t bytes) : memory_(std::move(memory)), bytes_(bytes) {
            memory_->taken += bytes_;
        }
        ~Room() {
            memory_->taken -= bytes_;
            memory_->handed_on -= handed_on_ ? bytes_ : 0;
        }
        Room(const Room&) = delete;
        Room& operator=(const Room&) = delete;

        void HandOn() {
            handed_on_ = true;
            memory_->handed_on += bytes_;
        }

     private:
        const std::shared_ptr<Memory> memory_;
        const int64_t bytes_;
        bool handed_on_ = false;
    };
    struct Joined;
    struct Join final {
        codec::PartJoiner parts;
        std::unique_ptr<Room> room;
    };
    struct Waiting final {
        std::string topic;
        int64_t offset = 0;
        int64_t bytes = 0;
    };

    [[nodiscard]] bool Fits(int64_t bytes) const;
    Outcome TakePart(const std::string& topic, const codec::RecordPart& part, bus::Record& record);
    void HandOn(Join& join, bus::Record& record) const;

    const int64_t budget_;
    const std::shared_ptr<Memory> memory_ = std::make_shared<Memory>();
    std::map<std::string, Join> joins_;
    std::deque<Waiting> waiting_;
    std::atomic<bool> crowded_{false};
};

}  // namespace millrace::apply
