/// The worker as the control plane sees it: takes configurations over, keeps the last good one, reports
/// facts, answers commands. Not for: running pipelines (runtime), the stream itself (control_link).
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "base/metrics.h"
#include "connectors/sdk/connector.h"
#include "data-plane/agent/assignment.h"
#include "data-plane/agent/command_pool.h"
#include "data-plane/agent/commands.h"
#include "data-plane/agent/control_link.h"
#include "data-plane/agent/last_good.h"
#include "data-plane/events/event_log.h"
#include "data-plane/runtime/supervisor.h"

namespace millrace::agent {

struct WorkerIdentity final {
    /// "tenants/{t}/dataPlanes/{d}".
    std::string data_plane;
    std::string worker_id;
    std::string boot_id;
    std::string role;
    std::string public_key_pem;
};

/// Thread-safe. What it is given outlives it.
class Agent final : public LinkHandler {
 public:
    Agent(WorkerIdentity identity, const sdk::ConnectorRegistry& registry, const Translator& translator,
          Commands& commands, LastGood last_good, runtime::Supervisor& supervisor, LinkOptions link,
          base::Metrics& metrics, const events::EventLog* events = nullptr);
    ~Agent() override;

    /// Applies the last-good configuration, if there is one, then dials.
    void Start();
    /// "" once a configuration has been applied or the control plane has answered, else a sentence for
    /// /readyz.
    [[nodiscard]] std::string Readiness() const;
    /// Takes nothing new in; the link goes on reporting.
    void BeginDrain();
    /// Says goodbye.
    void Stop(const std::string& reason);

    void FillHello(v1::Hello* hello) override;
    void OnSnapshot(const v1::ConfigSnapshot& snapshot) override;
    void OnCommand(const v1::Command& command) override;
    void FillFacts(v1::Facts* facts) override;

 private:
    struct State;

    void ApplySnapshots(const std::stop_token& stop);
    void LoadLastGood();
    void Apply(const v1::ConfigSnapshot& snapshot);
    /// What runs afterwards: refused pipelines keep the configuration that they ran with.
    Assignment SwitchTo(const v1::ConfigSnapshot& snapshot);
    void Answer(const v1::ConfigSnapshot& snapshot, const std::vector<Refusal>& refused);

    const WorkerIdentity identity_;
    const sdk::ConnectorRegistry& registry_;
    const Translator& translator_;
    Commands& commands_;
    const LastGood last_good_;
    runtime::Supervisor& supervisor_;
    const events::EventLog* const events_;
    base::Gauge& generation_;
    base::Counter& refusals_;

    mutable std::mutex mutex_;
    std::condition_variable_any pending_changed_;
    /// Events before it were sent in this connection.
    uint64_t events_sent_ = 0;
    std::unique_ptr<State> state_;
    ControlLink link_;
    std::optional<CommandPool> pool_;
    std::jthread applier_;
};

}  // namespace millrace::agent
