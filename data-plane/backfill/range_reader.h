/// Reads one range of a table's keys after the other on a connection of its own, ahead of what has been written of it. Not for:
/// what its chunks mean beside the stream (chunk_window), which range is read when (publish/table_backfill).
#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "connectors/sdk/chunk.h"
#include "data-plane/backfill/chunk_fetcher.h"
#include "data-plane/backfill/chunk_window.h"
#include "data-plane/backfill/key_range.h"

namespace millrace::backfill {

/// One thread, its caller's.
class RangeReader final {
 public:
    struct Ready final {
        sdk::Chunk chunk;
        ChunkWindow::Asked asked;
    };
    struct Answer final {
        /// The chunk is in ready() when it could be read.
        absl::Status status;
        std::chrono::steady_clock::duration took{};
    };

    explicit RangeReader(std::unique_ptr<sdk::ChunkReader> reader) : fetcher_(std::move(reader)) {}

    /// The range that is being read, by its place among the table's; nothing when there is none.
    [[nodiscard]] std::optional<size_t> place() const { return place_; }
    void Begin(size_t place, const KeyRange& range);
    /// From `range.cursor`; what is there or on its way counts for nothing.
    void Again(const KeyRange& range);
    /// The range is done with.
    void End() { place_.reset(); }

    /// A chunk of the range can be asked for.
    [[nodiscard]] bool Hungry() const;
    /// Nothing was asked for that has not been taken.
    [[nodiscard]] bool Rests() const { return !fetcher_.on_its_way() && ready_.empty(); }
    /// `request` says how much and of what; where in the range is filled in. `floor`: what a snapshot saw that was taken before
    /// now on the same server.
    void Ask(sdk::ChunkRequest request, const sdk::Visibility& floor, ChunkWindow::Asked asked);
    /// What was asked for, once it is there and still wanted.
    std::optional<Answer> Take();
    /// Chunks in the order of their keys.
    [[nodiscard]] std::deque<Ready>& ready() { return ready_; }
    [[nodiscard]] const std::deque<Ready>& ready() const { return ready_; }

    /// Adds what every chunk that was asked for and is not taken out of ready() sees at the least.
    void AddFloors(std::vector<const sdk::Visibility*>& floors) const;

 private:
    std::optional<size_t> place_;
    /// What is to be read of the range: ahead of what has been written.
    KeyRange ahead_;
    std::deque<Ready> ready_;
    sdk::Visibility floor_;
    ChunkWindow::Asked asked_;
    /// What is on its way is not wanted any more.
    bool in_vain_ = false;
    ChunkFetcher fetcher_;
};

}  // namespace millrace::backfill
