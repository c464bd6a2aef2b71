#include "data-plane/agent/agent.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "base/failpoint.h"
#include "base/log.h"
#include "base/status.h"
#include "data-plane/agent/descriptors.h"
#include "data-plane/agent/facts.h"
#include "millrace/v1/link.pb.h"

namespace millrace::agent {
namespace {

constexpr int kCommandThreads = 4;
constexpr size_t kMaxCommands = 64;
constexpr size_t kMaxEventsAtOnce = 200;
constexpr std::chrono::seconds kDefaultCommandDeadline{30};

}  // namespace

/// All but `pending` and `draining` are written by the applying thread (before it starts: by Start).
struct Agent::State final {
    /// What runs now, refused pipelines with the configuration that they had before; guarded by `mutex_`.
    v1::ConfigSnapshot applied;
    bool any_applied = false;
    /// The newest that came and was not begun yet; older ones are skipped.
    std::optional<v1::ConfigSnapshot> pending;
    bool draining = false;
};

Agent::Agent(WorkerIdentity identity, const sdk::ConnectorRegistry& registry, const Translator& translator,
             Commands& commands, LastGood last_good, runtime::Supervisor& supervisor, LinkOptions link,
             base::Metrics& metrics, const events::EventLog* events)
    : identity_(std::move(identity)),
      registry_(registry),
      translator_(translator),
      commands_(commands),
      last_good_(std::move(last_good)),
      supervisor_(supervisor),
      events_(events),
      generation_(metrics.GetGauge("millrace_config_generation", "Generation of the applied configuration.")),
      refusals_(
          metrics.GetCounter("millrace_config_refusals_total", "Pipeline configurations that were refused.")),
      state_(std::make_unique<State>()),
      link_(std::move(link), *this, metrics) {
    pool_.emplace(kCommandThreads, kMaxCommands);
}

Agent::~Agent() {
    Stop("");
}

void Agent::Start() {
    LoadLastGood();
    applier_ = std::jthread([this](const std::stop_token& stop) { ApplySnapshots(stop); });
    link_.Start();
}

void Agent::LoadLastGood() {
    v1::ConfigSnapshot snapshot;
    const absl::Status loaded = last_good_.Load(&snapshot);
    MILLRACE_FAILPOINT_QUIET("agent.after_last_good_loaded");
    if (absl::IsNotFound(loaded)) {
        return;
    }
    if (!loaded.ok()) {
        base::LogError("the last-good configuration is not used", {base::LogField(loaded)});
        return;
    }
    SwitchTo(snapshot);
    base::LogInfo("running the last-good configuration",
                  {{"epoch", snapshot.epoch()}, {"generation", snapshot.generation()}});
}

std::string Agent::Readiness() const {
    if (link_.connected()) {
        return "";
    }
    const std::lock_guard lock(mutex_);
    return state_->any_applied ? "" : "no configuration has been applied yet; waiting for the control plane";
}

void Agent::BeginDrain() {
    {
        const std::lock_guard lock(mutex_);
        state_->draining = true;
        state_->pending.reset();
    }
    applier_.request_stop();
    if (applier_.joinable()) {
        applier_.join();
    }
}

void Agent::Stop(const std::string& reason) {
    BeginDrain();
    link_.Stop(reason);
    pool_.reset();
}

void Agent::FillHello(v1::Hello* hello) {
    hello->set_data_plane(identity_.data_plane);
    hello->set_worker_id(identity_.worker_id);
    hello->set_boot_id(identity_.boot_id);
    hello->set_version(MILLRACE_VERSION);
    hello->set_role(identity_.role);
    hello->set_public_key_pem(identity_.public_key_pem);
    for (const sdk::Connector* connector : registry_.All()) {
        DescribeConnector(*connector, hello->add_descriptors());
    }
    const std::lock_guard lock(mutex_);
    // Whether the last ones of the connection before have arrived is not known: all that are kept go again.
    events_sent_ = 0;
    hello->set_applied_epoch(state_->applied.epoch());
    hello->set_applied_generation(state_->applied.generation());
}

void Agent::OnSnapshot(const v1::ConfigSnapshot& snapshot) {
    const std::lock_guard lock(mutex_);
    if (!state_->draining) {
        state_->pending = snapshot;
        pending_changed_.notify_one();
    }
}

void Agent::ApplySnapshots(const std::stop_token& stop) {
    while (true) {
        v1::ConfigSnapshot snapshot;
        {
            std::unique_lock lock(mutex_);
            if (!pending_changed_.wait(lock, stop, [this] { return state_->pending.has_value(); })) {
                return;
            }
            snapshot = *std::exchange(state_->pending, std::nullopt);
        }
        Apply(snapshot);
    }
}

void Agent::Apply(const v1::ConfigSnapshot& snapshot) {
    const v1::ConfigSnapshot& applied = state_->applied;
    if (state_->any_applied && snapshot.epoch() == applied.epoch() &&
        snapshot.generation() < applied.generation()) {
        base::LogWarning("an older configuration is refused",
                         {{"generation", snapshot.generation()}, {"applied", applied.generation()}});
        Answer(snapshot,
               {{identity_.data_plane,
                 base::MakeError(absl::StatusCode::kFailedPrecondition, "GENERATION_BACKWARDS",
                                 "generation " + std::to_string(snapshot.generation()) +
                                     " is older than the applied " + std::to_string(applied.generation()),
                                 "Begin a new epoch after restoring the control plane's store.")}});
        return;
    }
    MILLRACE_FAILPOINT_QUIET("agent.before_switch");
    const Assignment assignment = SwitchTo(snapshot);
    MILLRACE_FAILPOINT_QUIET("agent.before_last_good_saved");
    if (const absl::Status saved = last_good_.Save(state_->applied); !saved.ok()) {
        base::LogError("the applied configuration cannot be kept for the next start",
                       {base::LogField(saved)});
    }
    MILLRACE_FAILPOINT_QUIET("agent.after_last_good_saved");
    base::LogInfo("a configuration is applied", {{"epoch", snapshot.epoch()},
                                                 {"generation", snapshot.generation()},
                                                 {"pipelines", assignment.pipelines.size()},
                                                 {"refused", assignment.refused.size()}});
    Answer(snapshot, assignment.refused);
}

Assignment Agent::SwitchTo(const v1::ConfigSnapshot& snapshot) {
    Assignment assignment = translator_.Snapshot(snapshot);
    v1::ConfigSnapshot next;
    next.set_epoch(snapshot.epoch());
    next.set_generation(snapshot.generation());
    std::set<std::string> refused;
    for (const Refusal& refusal : assignment.refused) {
        refusals_.Add();
        refused.insert(refusal.resource);
        base::LogWarning("a pipeline's configuration is refused",
                         {{"pipeline", refusal.resource}, base::LogField(refusal.status)});
    }
    std::map<std::string, const v1::PipelineConfig*> before;
    for (const v1::PipelineConfig& pipeline : state_->applied.pipelines()) {
        before.emplace(pipeline.name(), &pipeline);
    }
    std::set<std::string> taken;
    for (const v1::PipelineConfig& pipeline : snapshot.pipelines()) {
        if (!taken.insert(pipeline.name()).second) {
            continue;
        }
        if (!refused.contains(pipeline.name())) {
            *next.add_pipelines() = pipeline;
            continue;
        }
        const auto found = before.find(pipeline.name());
        if (found == before.end() || found->second->uid() != pipeline.uid()) {
            continue;
        }
        if (auto earlier = translator_.Pipeline(*found->second); earlier.ok()) {
            assignment.pipelines.push_back(*std::move(earlier));
            *next.add_pipelines() = *found->second;
        }
    }
    supervisor_.Assign(assignment.pipelines);
    const std::lock_guard lock(mutex_);
    state_->applied = std::move(next);
    state_->any_applied = true;
    generation_.Set(static_cast<double>(snapshot.generation()));
    return assignment;
}

void Agent::Answer(const v1::ConfigSnapshot& snapshot, const std::vector<Refusal>& refused) {
    v1::ConnectRequest message;
    if (refused.empty()) {
        v1::Ack& ack = *message.mutable_ack();
        ack.set_nonce(snapshot.nonce());
        ack.set_epoch(snapshot.epoch());
        ack.set_generation(snapshot.generation());
        for (const std::string& name : supervisor_.Removed()) {
            ack.add_removed(name);
        }
    } else {
        v1::Nack& nack = *message.mutable_nack();
        nack.set_nonce(snapshot.nonce());
        nack.set_epoch(snapshot.epoch());
        nack.set_generation(snapshot.generation());
        for (const Refusal& refusal : refused) {
            v1::Rejection& rejection = *nack.add_rejected();
            rejection.set_resource(refusal.resource);
            rejection.set_reason(base::ReasonOf(refusal.status));
            rejection.set_message(base::Describe(refusal.status));
        }
    }
    link_.Send(message);
}

void Agent::OnCommand(const v1::Command& command) {
    const auto deadline = command.deadline_ms() > 0 ? std::chrono::milliseconds(command.deadline_ms())
                                                    : std::chrono::milliseconds(kDefaultCommandDeadline);
    const auto send = [this](const v1::CommandResult& result) {
        v1::ConnectRequest message;
        *message.mutable_command_result() = result;
        link_.Send(message);
    };
    pool_->Submit(
        deadline,
        [this, command, send]() -> std::function<void()> {
            v1::CommandResult result;
            commands_.Execute(command, &result);
            return [send, result] { send(result); };
        },
        [id = command.id(), send](const absl::Status& status) {
            v1::CommandResult result;
            result.set_id(id);
            result.set_code(static_cast<int>(status.code()));
            result.set_message(base::Describe(status));
            result.set_reason(base::ReasonOf(status));
            send(result);
        });
}

void Agent::FillFacts(v1::Facts* facts) {
    for (const runtime::PipelineFacts& pipeline : supervisor_.Facts()) {
        TranslateFacts(pipeline, identity_.worker_id, facts->add_pipelines());
    }
    if (events_ == nullptr) {
        return;
    }
    const std::lock_guard lock(mutex_);
    for (const events::LoggedEvent& logged : events_->Read(events_sent_, kMaxEventsAtOnce)) {
        for (v1::PipelineFacts& pipeline : *facts->mutable_pipelines()) {
            if (pipeline.name() == logged.pipeline) {
                TranslateEvent(logged, identity_.worker_id, pipeline.add_events());
            }
        }
    }
}

}  // namespace millrace::agent
