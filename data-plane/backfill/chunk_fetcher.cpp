#include "data-plane/backfill/chunk_fetcher.h"

#include <utility>

namespace millrace::backfill {

ChunkFetcher::ChunkFetcher(std::unique_ptr<sdk::ChunkReader> reader)
    : reader_(std::move(reader)), thread_([this](const std::stop_token& stop) { Run(stop); }) {}

ChunkFetcher::~ChunkFetcher() {
    thread_.request_stop();
    reader_->Cancel();
}

void ChunkFetcher::Ask(sdk::ChunkRequest request) {
    on_its_way_ = true;
    {
        const std::lock_guard lock(mutex_);
        request_ = std::move(request);
    }
    asked_.notify_one();
}

std::optional<ChunkFetcher::Answer> ChunkFetcher::Take() {
    const std::lock_guard lock(mutex_);
    auto taken = std::exchange(answer_, std::nullopt);
    on_its_way_ = on_its_way_ && !taken;
    return taken;
}

void ChunkFetcher::Run(const std::stop_token& stop) {
    while (true) {
        sdk::ChunkRequest request;
        {
            std::unique_lock lock(mutex_);
            if (!asked_.wait(lock, stop, [this] { return request_.has_value(); })) {
                return;
            }
            request = *std::exchange(request_, std::nullopt);
        }
        const auto began = std::chrono::steady_clock::now();
        auto chunk = reader_->Read(request);
        const auto took = std::chrono::steady_clock::now() - began;
        const std::lock_guard lock(mutex_);
        answer_.emplace(std::move(chunk), took);
    }
}

}  // namespace millrace::backfill
