/// What the supervisor runs for one pipeline on this worker: its replication, or its removal. Not for:
/// deciding which pipelines run (supervisor).
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "data-plane/config/pipeline_config.h"
#include "data-plane/runtime/pipeline_facts.h"

namespace millrace::runtime {

/// Works on threads of its own from construction on and survives every absent server by itself: errors stand
/// in Facts().
class Runner {
 public:
    /// Waits for what still runs, however long; Drained first.
    virtual ~Runner() = default;
    /// Takes a change over that CompareConfigs calls hot. Called by the supervisor's one assigning thread.
    virtual void Update(const config::PipelineConfig& pipeline) = 0;
    /// Any thread; never waits for servers.
    [[nodiscard]] virtual PipelineFacts Facts() const = 0;
    /// Asks to drain; returns at once.
    virtual void RequestStop() = 0;
    /// After RequestStop: waits until it has drained; false when `deadline` passes before (a destination that
    /// hangs).
    virtual bool Drained(std::chrono::steady_clock::time_point deadline) = 0;
};

using RunnerFactory = std::function<std::unique_ptr<Runner>(const config::PipelineConfig&)>;

}  // namespace millrace::runtime
