/// Makes the pipelines that run on this worker those that are assigned to it. Not for: how one pipeline runs
/// (runner), where assignments come from (agent).
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "data-plane/config/pipeline_config.h"
#include "data-plane/runtime/runner.h"

namespace millrace::runtime {

class Supervisor final {
 public:
    /// `grace`: how long a pipeline may take to drain. One that takes longer is left to end by itself (the
    /// fence makes it harmless) and no longer holds the others up.
    Supervisor(RunnerFactory make_runner, std::chrono::milliseconds grace);
    /// Waits for what was left to end by itself, too.
    ~Supervisor();
    Supervisor(const Supervisor&) = delete;
    Supervisor& operator=(const Supervisor&) = delete;

    /// Stops what is assigned no more or has changed, updates what can be changed while it runs, starts what
    /// is new. Pipelines that did not change are not touched. Returns once switched, after `grace` at the
    /// latest. Calls from several threads take turns.
    void Assign(const std::vector<config::PipelineConfig>& pipelines);

    /// Any thread, any time.
    [[nodiscard]] std::vector<PipelineFacts> Facts() const;

    /// Names of the pipelines whose removal is complete.
    [[nodiscard]] std::vector<std::string> Removed() const;

    /// Drains everything; nothing can be assigned afterwards. False when something still ran after `grace`.
    bool Stop();

 private:
    struct Seat final {
        config::PipelineConfig config;
        std::shared_ptr<Runner> runner;
    };

    bool StopAndDrop(const std::vector<std::string>& names);

    RunnerFactory make_runner_;
    const std::chrono::milliseconds grace_;
    std::mutex assigning_;
    /// Written under both mutexes, so that the assigning thread may read without `mutex_`.
    std::map<std::string, Seat> seats_;
    mutable std::mutex mutex_;
    bool stopped_ = false;
    /// Each destroys a runner that did not drain in time.
    std::vector<std::jthread> lingering_;
};

}  // namespace millrace::runtime
