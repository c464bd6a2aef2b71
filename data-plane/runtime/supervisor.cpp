#include "data-plane/runtime/supervisor.h"

#include <utility>

#include "base/failpoint.h"
#include "base/log.h"
#include "data-plane/runtime/config_change.h"

namespace millrace::runtime {

Supervisor::Supervisor(RunnerFactory make_runner, std::chrono::milliseconds grace)
    : make_runner_(std::move(make_runner)), grace_(grace) {}

Supervisor::~Supervisor() {
    Stop();
}

void Supervisor::Assign(const std::vector<config::PipelineConfig>& pipelines) {
    const std::lock_guard assigning(assigning_);
    if (stopped_) {
        return;
    }
    std::map<std::string, const config::PipelineConfig*> wanted;
    for (const config::PipelineConfig& pipeline : pipelines) {
        wanted.emplace(pipeline.name, &pipeline);
    }
    std::vector<std::string> leaving;
    for (const auto& [name, seat] : seats_) {
        const auto found = wanted.find(name);
        if (found == wanted.end() || CompareConfigs(seat.config, *found->second) == ConfigChange::kRestart) {
            leaving.push_back(name);
        }
    }
    StopAndDrop(leaving);
    for (const auto& [name, pipeline] : wanted) {
        const auto found = seats_.find(name);
        if (found != seats_.end()) {
            found->second.runner->Update(*pipeline);
            const std::lock_guard lock(mutex_);
            found->second.config = *pipeline;
            continue;
        }
        base::LogInfo(pipeline->removed ? "removing a pipeline" : "starting a pipeline",
                      {{"pipeline", name}, {"generation", pipeline->generation}});
        MILLRACE_FAILPOINT_QUIET("runtime.before_runner");
        std::shared_ptr<Runner> runner = make_runner_(*pipeline);
        MILLRACE_FAILPOINT_QUIET("runtime.after_runner");
        const std::lock_guard lock(mutex_);
        seats_.emplace(name, Seat{*pipeline, std::move(runner)});
    }
}

bool Supervisor::StopAndDrop(const std::vector<std::string>& names) {
    for (const std::string& name : names) {
        base::LogInfo("stopping a pipeline", {{"pipeline", name}});
        seats_.at(name).runner->RequestStop();
    }
    const auto deadline = std::chrono::steady_clock::now() + grace_;
    bool all = true;
    for (const std::string& name : names) {
        std::shared_ptr<Runner> runner = seats_.at(name).runner;
        const bool drained = runner->Drained(deadline);
        {
            const std::lock_guard lock(mutex_);
            seats_.erase(name);
        }
        if (!drained) {
            all = false;
            base::LogWarning("a pipeline did not stop in time and is left to end by itself",
                             {{"pipeline", name}});
            lingering_.emplace_back([runner = std::move(runner)]() mutable { runner.reset(); });
        }
    }
    return all;
}

std::vector<PipelineFacts> Supervisor::Facts() const {
    std::vector<std::shared_ptr<Runner>> runners;
    {
        const std::lock_guard lock(mutex_);
        for (const auto& [name, seat] : seats_) {
            runners.push_back(seat.runner);
        }
    }
    std::vector<PipelineFacts> facts;
    facts.reserve(runners.size());
    for (const auto& runner : runners) {
        facts.push_back(runner->Facts());
    }
    return facts;
}

std::vector<std::string> Supervisor::Removed() const {
    std::vector<std::string> names;
    for (const PipelineFacts& facts : Facts()) {
        if (facts.removed) {
            names.push_back(facts.name);
        }
    }
    return names;
}

bool Supervisor::Stop() {
    const std::lock_guard assigning(assigning_);
    stopped_ = true;
    std::vector<std::string> names;
    for (const auto& [name, seat] : seats_) {
        names.push_back(name);
    }
    return StopAndDrop(names);
}

}  // namespace millrace::runtime
