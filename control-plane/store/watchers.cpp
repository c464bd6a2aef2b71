#include "control-plane/store/watchers.h"

#include <chrono>
#include <utility>

#include "base/log.h"

namespace millrace::store {

class Watchers::Handle final : public Store::Watch {
 public:
    Handle(Watchers& watchers, int64_t id) : watchers_(watchers), id_(id) {}
    ~Handle() override { watchers_.Remove(id_); }

 private:
    Watchers& watchers_;
    int64_t id_;
};

Watchers::Watchers(ReadChanges read) : read_(std::move(read)), thread_([this] { Run(); }) {}

Watchers::~Watchers() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    woken_.notify_all();
    thread_.join();
}

std::unique_ptr<Store::Watch> Watchers::Add(int64_t revision, std::function<void(const Change&)> callback) {
    const std::lock_guard lock(mutex_);
    const int64_t id = next_id_++;
    watchers_.emplace(id, Watcher{revision, std::move(callback)});
    dirty_ = true;
    woken_.notify_all();
    return std::make_unique<Handle>(*this, id);
}

void Watchers::Wake() {
    const std::lock_guard lock(mutex_);
    dirty_ = true;
    woken_.notify_all();
}

void Watchers::Remove(int64_t id) {
    std::unique_lock lock(mutex_);
    idle_.wait(lock, [&] { return !watchers_.at(id).running; });
    watchers_.erase(id);
}

void Watchers::Run() {
    std::unique_lock lock(mutex_);
    while (true) {
        woken_.wait(lock, [&] { return stopping_ || dirty_; });
        if (stopping_) {
            return;
        }
        dirty_ = false;
        std::vector<int64_t> ids;
        for (const auto& [id, watcher] : watchers_) {
            ids.push_back(id);
        }
        for (const int64_t id : ids) {
            Deliver(id, lock);
        }
    }
}

void Watchers::Deliver(int64_t id, std::unique_lock<std::mutex>& lock) {
    const auto found = watchers_.find(id);
    if (found == watchers_.end()) {
        return;
    }
    Watcher& watcher = found->second;
    watcher.running = true;
    lock.unlock();
    const auto changes = read_(watcher.revision);
    if (changes.ok()) {
        for (const Change& change : *changes) {
            watcher.callback(change);
            watcher.revision = change.revision;
        }
    } else {
        base::LogError("the store's changes cannot be read", {base::LogField(changes.status())});
    }
    lock.lock();
    watcher.running = false;
    idle_.notify_all();
    if (!changes.ok()) {
        // Try again without waiting for the next commit, but not at once.
        woken_.wait_for(lock, std::chrono::seconds(1), [&] { return stopping_; });
        dirty_ = true;
    }
}

}  // namespace millrace::store
