#include "control-plane/api/watches.h"

#include <chrono>
#include <map>
#include <utility>

#include "base/status.h"

namespace millrace::api {
namespace {

constexpr std::chrono::milliseconds kStep{250};

}  // namespace

Watches::Watches(const Pipelines& pipelines) : pipelines_(pipelines), thread_([this] { Run(); }) {}

Watches::~Watches() {
    Shutdown();
}

absl::Status Watches::ShuttingDown() {
    return base::MakeError(absl::StatusCode::kUnavailable, "SHUTTING_DOWN",
                           "The control plane is shutting down.", "Connect again in some seconds.");
}

bool Watches::Add(std::shared_ptr<Watcher> watcher) {
    const std::lock_guard lock(mutex_);
    if (stopping_) {
        return false;
    }
    watchers_.push_back(std::move(watcher));
    added_ = true;
    wake_.notify_all();
    return true;
}

void Watches::Remove(const Watcher* watcher) {
    const std::lock_guard lock(mutex_);
    std::erase_if(watchers_, [&](const auto& other) { return other.get() == watcher; });
}

void Watches::Shutdown() {
    std::vector<std::shared_ptr<Watcher>> ended;
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
        ended.swap(watchers_);
    }
    wake_.notify_all();
    if (thread_.joinable()) {
        thread_.join();
    }
    for (const auto& watcher : ended) {
        watcher->End(ShuttingDown());
    }
}

void Watches::Run() {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
        wake_.wait_for(lock, kStep, [&] { return stopping_ || added_; });
        added_ = false;
        const auto watchers = watchers_;
        lock.unlock();
        LookAround(watchers);
        lock.lock();
    }
}

void Watches::LookAround(const std::vector<std::shared_ptr<Watcher>>& watchers) const {
    struct Seen {
        absl::StatusOr<v1::Pipeline> pipeline;
        std::string bytes;
    };
    std::map<std::string, Seen> seen;
    for (const auto& watcher : watchers) {
        auto [at, is_new] = seen.try_emplace(watcher->name());
        if (is_new) {
            at->second.pipeline = pipelines_.Get(watcher->name());
            at->second.bytes = at->second.pipeline.ok() ? at->second.pipeline->SerializeAsString() : "";
        }
        if (at->second.pipeline.ok()) {
            watcher->Offer(*at->second.pipeline, at->second.bytes);
        } else {
            watcher->End(at->second.pipeline.status());
        }
    }
}

}  // namespace millrace::api
