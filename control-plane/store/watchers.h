/// Delivers committed changes to watchers, in order, on one thread. Not for: keeping changes (the store's log
/// does).
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "control-plane/store/store.h"

namespace millrace::store {

class Watchers final {
 public:
    /// Reads the changes after a revision from the store's log.
    using ReadChanges = std::function<absl::StatusOr<std::vector<Change>>(int64_t revision)>;

    explicit Watchers(ReadChanges read);
    /// Every Watch must be gone.
    ~Watchers();

    std::unique_ptr<Store::Watch> Add(int64_t revision, std::function<void(const Change&)> callback);
    /// There may be something new. Any thread; does not block on callbacks.
    void Wake();

 private:
    struct Watcher {
        int64_t revision;
        std::function<void(const Change&)> callback;
        bool running = false;
    };
    class Handle;

    void Run();
    void Deliver(int64_t id, std::unique_lock<std::mutex>& lock);
    void Remove(int64_t id);

    ReadChanges read_;
    std::mutex mutex_;
    std::condition_variable woken_;
    std::condition_variable idle_;
    std::map<int64_t, Watcher> watchers_;
    int64_t next_id_ = 0;
    bool dirty_ = false;
    bool stopping_ = false;
    std::thread thread_;
};

}  // namespace millrace::store
