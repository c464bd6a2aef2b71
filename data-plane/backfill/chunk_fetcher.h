/// Reads chunks on a thread of its own, so that the stream never waits for the source's answer. Not for: what is asked for
/// next, what becomes of it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "absl/status/statusor.h"
#include "connectors/sdk/chunk.h"

namespace millrace::backfill {

/// Used by one thread; holds one chunk at most.
class ChunkFetcher final {
 public:
    struct Answer final {
        absl::StatusOr<sdk::Chunk> chunk;
        std::chrono::steady_clock::duration took{};
    };

    explicit ChunkFetcher(std::unique_ptr<sdk::ChunkReader> reader);
    /// Cancels a read that is under way and waits for its end.
    ~ChunkFetcher();

    /// Only while nothing is on its way.
    void Ask(sdk::ChunkRequest request);
    /// Asked for and not taken yet.
    [[nodiscard]] bool on_its_way() const { return on_its_way_; }
    /// The answer, once it is there.
    std::optional<Answer> Take();

 private:
    void Run(const std::stop_token& stop);

    const std::unique_ptr<sdk::ChunkReader> reader_;
    bool on_its_way_ = false;
    std::mutex mutex_;
    std::condition_variable_any asked_;
    std::optional<sdk::ChunkRequest> request_;
    std::optional<Answer> answer_;
    std::jthread thread_;
};

}  // namespace millrace::backfill
