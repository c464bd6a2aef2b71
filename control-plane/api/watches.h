/// Pipelines that clients watch, looked at four times a second on one thread. Not for: the wire
/// (services.cpp).
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "control-plane/api/pipelines.h"

namespace millrace::api {

/// One watching client. Called on the thread of Watches; must not block.
class Watcher {
 public:
    virtual ~Watcher() = default;
    /// "tenants/{t}/pipelines/{p}".
    [[nodiscard]] virtual const std::string& name() const = 0;
    /// The pipeline now; `bytes` is it serialised, so that watchers skip what they have sent. One that is
    /// still writing skips it too and is offered the then current one later.
    virtual void Offer(const v1::Pipeline& pipeline, const std::string& bytes) = 0;
    virtual void End(const absl::Status& status) = 0;
};

/// Any thread. `pipelines` outlives it.
class Watches final {
 public:
    explicit Watches(const Pipelines& pipelines);
    ~Watches();
    Watches(const Watches&) = delete;
    Watches& operator=(const Watches&) = delete;

    /// The first offer comes at once. False after Shutdown: end the watcher.
    [[nodiscard]] bool Add(std::shared_ptr<Watcher> watcher);
    void Remove(const Watcher* watcher);
    /// Ends all watchers.
    void Shutdown();
    static absl::Status ShuttingDown();

 private:
    void Run();
    void LookAround(const std::vector<std::shared_ptr<Watcher>>& watchers) const;

    const Pipelines& pipelines_;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::vector<std::shared_ptr<Watcher>> watchers_;
    bool added_ = false;
    bool stopping_ = false;
    std::thread thread_;
};

}  // namespace millrace::api
