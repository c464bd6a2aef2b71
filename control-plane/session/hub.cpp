#include "control-plane/session/hub.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/log.h"
#include "base/seal.h"
#include "base/status.h"
#include "control-plane/domain/resource_name.h"
#include "control-plane/session/snapshot.h"

namespace millrace::session {
namespace {

constexpr std::chrono::milliseconds kTimerStep{100};
constexpr absl::Duration kForgetAfter = absl::Minutes(10);

std::function<absl::Time()> SteadyClock() {
    return [wall = absl::Now(), start = std::chrono::steady_clock::now()] {
        return wall + absl::FromChrono(std::chrono::steady_clock::now() - start);
    };
}

absl::Status ShuttingDown() {
    return base::MakeError(absl::StatusCode::kUnavailable, "SHUTTING_DOWN",
                           "The control plane is shutting down.", "Connect again in some seconds.");
}

absl::Status NoWorker(const std::string& plane) {
    return base::MakeError(
        absl::StatusCode::kUnavailable, "NO_WORKER", absl::StrCat("No worker of ", plane, " is connected."),
        "Start millrace-worker, or look at its log why it does not reach the control plane.");
}

absl::Status CheckHello(const v1::Hello& hello) {
    const bool id_ok = !hello.worker_id().empty() && hello.worker_id().size() <= 128 &&
                       !hello.boot_id().empty() && hello.boot_id().size() <= 128;
    const bool role_ok = hello.role() == "publisher" || hello.role() == "consumer" || hello.role() == "all";
    if (id_ok && role_ok && domain::ParseName(domain::Collection::kDataPlanes, hello.data_plane()).ok()) {
        return absl::OkStatus();
    }
    return base::MakeError(
        absl::StatusCode::kInvalidArgument, "HELLO_INVALID",
        "The worker's greeting lacks a data plane, a worker id, a boot id or a known role.",
        "Run a version of millrace-worker that fits this control plane.");
}

std::shared_ptr<const Worker::PushedPipelines> PipelinesOf(const v1::ConfigSnapshot& snapshot) {
    auto pipelines = std::make_shared<Worker::PushedPipelines>();
    for (const v1::PipelineConfig& config : snapshot.pipelines()) {
        const bool deleted = config.spec().desired_state() == v1::PipelineSpec::DESIRED_STATE_DELETED;
        (*pipelines)[config.name()] = Worker::PushedPipeline{config.generation(), deleted};
    }
    return pipelines;
}

}  // namespace

Hub::Hub(store::Store& store, base::Metrics& metrics, HubOptions options)
    : store_(store), metrics_(metrics), options_(std::move(options)) {
    if (!options_.clock) {
        options_.clock = SteadyClock();
    }
    CountSessions();
}

absl::StatusOr<std::unique_ptr<Hub>> Hub::Start(store::Store& store, base::Metrics& metrics,
                                                HubOptions options) {
    std::unique_ptr<Hub> hub(new Hub(store, metrics, std::move(options)));
    ASSIGN_OR_RETURN(const int64_t revision, store.CurrentRevision());
    Hub* raw = hub.get();
    ASSIGN_OR_RETURN(hub->watch_, store.StartWatch(revision, [raw](const store::Change& change) {
        if (change.kind == store::kPlaneGenerationKind) {
            raw->Push(change.name);
        }
    }));
    hub->timer_ = std::thread([raw] { raw->RunTimer(); });
    return hub;
}

Hub::~Hub() {
    watch_.reset();
    Shutdown();
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    timer_wake_.notify_all();
    if (timer_.joinable()) {
        timer_.join();
    }
}

absl::StatusOr<int64_t> Hub::Connect(const v1::Hello& hello, std::shared_ptr<WorkerLink> link) {
    RETURN_IF_ERROR(CheckHello(hello));
    ASSIGN_OR_RETURN(const std::string fingerprint, base::Fingerprint(hello.public_key_pem()));
    const std::lock_guard push_lock(push_mutex_);
    RETURN_IF_ERROR(CheckKey(hello, fingerprint));
    RETURN_IF_ERROR(RememberPlane(hello, fingerprint));
    RETURN_IF_ERROR(CheckEpoch(hello));
    ASSIGN_OR_RETURN(const v1::ConfigSnapshot snapshot, BuildSnapshot(store_, hello.data_plane()));

    const int64_t session = Register(hello, fingerprint, std::move(link));
    if (session == 0) {
        return ShuttingDown();
    }
    PushLocked(hello.data_plane(), snapshot);
    return session;
}

absl::Status Hub::CheckKey(const v1::Hello& hello, const std::string& fingerprint) const {
    const std::lock_guard lock(mutex_);
    const auto plane = planes_.find(hello.data_plane());
    if (plane == planes_.end()) {
        return absl::OkStatus();
    }
    for (const auto& [id, worker] : plane->second.workers) {
        if (id != hello.worker_id() && worker.connected() && worker.key_fingerprint() != fingerprint) {
            return base::MakeError(absl::StatusCode::kFailedPrecondition, "PLANE_KEY_MISMATCH",
                                   absl::StrCat("Worker ", hello.worker_id(), " has the key ", fingerprint,
                                                ", connected worker ", id, " of the same data plane has ",
                                                worker.key_fingerprint(), "."),
                                   "Give all workers of a data plane the same key file.");
        }
    }
    return absl::OkStatus();
}

int64_t Hub::Register(const v1::Hello& hello, const std::string& fingerprint,
                      std::shared_ptr<WorkerLink> link) {
    int64_t superseded = 0;
    int64_t session = 0;
    {
        const std::lock_guard lock(mutex_);
        if (shutting_down_) {
            return 0;
        }
        session = next_session_++;
        Worker& worker = planes_[hello.data_plane()].workers[hello.worker_id()];
        if (worker.connected()) {
            superseded = worker.session();
            base::LogWarning("a worker's session is superseded", {{"plane", hello.data_plane()},
                                                                  {"worker", hello.worker_id()},
                                                                  {"old_boot", worker.boot_id()},
                                                                  {"new_boot", hello.boot_id()}});
            worker.link()->Close(base::MakeError(
                absl::StatusCode::kAborted, "SUPERSEDED",
                absl::StrCat("A newer process with the worker id ", hello.worker_id(), " has connected."),
                "Give every worker of a data plane its own --worker-id."));
            sessions_.erase(superseded);
        }
        v1::ConnectResponse welcome;
        welcome.mutable_welcome()->set_heartbeat_ms(
            static_cast<int32_t>(absl::ToInt64Milliseconds(options_.heartbeat)));
        link->Send(std::move(welcome));
        worker.Begin(session, hello, std::move(link), Now());
        worker.set_key_fingerprint(fingerprint);
        sessions_[session] = Address{hello.data_plane(), hello.worker_id()};
        CountSessions();
    }
    base::LogInfo("a worker has connected", {{"plane", hello.data_plane()},
                                             {"worker", hello.worker_id()},
                                             {"role", hello.role()},
                                             {"version", hello.version()},
                                             {"applied_generation", hello.applied_generation()}});
    if (superseded != 0) {
        commands_.Fail(superseded, NoWorker(hello.data_plane()));
    }
    return session;
}

void Hub::Disconnect(int64_t session) {
    Address address;
    {
        const std::lock_guard lock(mutex_);
        Worker* worker = Find(session);
        if (worker == nullptr) {
            return;
        }
        worker->End(Now());
        address = sessions_.at(session);
        sessions_.erase(session);
        CountSessions();
    }
    base::LogInfo("a worker has disconnected", {{"plane", address.plane}, {"worker", address.worker_id}});
    commands_.Fail(session, NoWorker(address.plane));
}

absl::Status Hub::Receive(int64_t session, const v1::ConnectRequest& message) {
    if (message.message_case() == v1::ConnectRequest::kCommandResult) {
        commands_.Complete(session, message.command_result());
        return absl::OkStatus();
    }
    std::string plane;
    std::map<std::string, int64_t> removals;
    std::vector<v1::PipelineFacts> told;
    {
        const std::lock_guard lock(mutex_);
        Worker* worker = Find(session);
        if (worker == nullptr) {
            return absl::OkStatus();
        }
        plane = sessions_.at(session).plane;
        if (message.message_case() == v1::ConnectRequest::kGoodbye) {
            base::LogInfo("a worker says goodbye", {{"worker", sessions_.at(session).worker_id},
                                                    {"why", message.goodbye().reason().substr(0, 200)}});
        }
        ASSIGN_OR_RETURN(const auto removed, worker->Take(message, Now()));
        for (const v1::PipelineFacts& facts : message.facts().pipelines()) {
            if (!facts.events().empty() && worker->Knows(facts.name())) {
                told.push_back(facts);
            }
        }
        removals = worker->ConfirmRemovals(removed);
        // A worker that still drains could make slot and topics anew behind the first one's back.
        std::erase_if(removals, [&](const auto& removal) {
            return !EveryWorkerConfirmed(plane, removal.first, removal.second);
        });
    }
    KeepEvents(told);
    FinishRemovals(plane, removals);
    return absl::OkStatus();
}

bool Hub::EveryWorkerConfirmed(const std::string& plane, const std::string& pipeline, int64_t generation) {
    for (const auto& [session, address] : sessions_) {
        const Worker* worker = Find(session);
        if (address.plane == plane && worker != nullptr && !worker->HasConfirmed(pipeline, generation)) {
            return false;
        }
    }
    return true;
}

void Hub::Dispatch(const std::string& plane, Choice choice, v1::Command command, absl::Duration timeout,
                   CommandDone done) {
    absl::Status refused = absl::OkStatus();
    {
        const std::lock_guard lock(mutex_);
        Worker* worker = Choose(plane, choice);
        if (worker == nullptr) {
            refused = NoWorker(plane);
        } else {
            // The worker is given a little less, so that its own sentence arrives before ours.
            command.set_deadline_ms(static_cast<int32_t>(absl::ToInt64Milliseconds(timeout * 0.9)));
            auto id = commands_.Add(worker->session(), Now() + timeout, done);
            refused = id.status();
            if (id.ok()) {
                command.set_id(*std::move(id));
                v1::ConnectResponse message;
                *message.mutable_command() = std::move(command);
                worker->link()->Send(std::move(message));
            }
        }
    }
    if (!refused.ok()) {
        done(refused);
    }
}

void Hub::Push(const std::string& plane) {
    const std::lock_guard push_lock(push_mutex_);
    const auto snapshot = BuildSnapshot(store_, plane);
    if (!snapshot.ok()) {
        base::LogError("a plane's configuration cannot be read",
                       {{"plane", plane}, base::LogField(snapshot.status())});
        return;
    }
    PushLocked(plane, *snapshot);
}

void Hub::PushLocked(const std::string& plane, const v1::ConfigSnapshot& snapshot) {
    metrics_
        .GetGauge("millrace_control_config_generation", "Generation of a data plane's desired state.",
                  {{"plane", plane}})
        .Set(static_cast<double>(snapshot.generation()));
    const auto pipelines = PipelinesOf(snapshot);
    const std::lock_guard lock(mutex_);
    for (auto& [id, worker] : planes_[plane].workers) {
        worker.Push(snapshot, pipelines);
    }
}

std::vector<domain::WorkerReport> Hub::Reports(const std::string& plane, const std::string& pipeline) const {
    const std::lock_guard lock(mutex_);
    std::vector<domain::WorkerReport> reports;
    if (const auto found = planes_.find(plane); found != planes_.end()) {
        for (const auto& [id, worker] : found->second.workers) {
            reports.push_back(worker.Report(pipeline));
        }
    }
    return reports;
}

std::vector<v1::WorkerStatus> Hub::Workers(const std::string& plane) const {
    const std::lock_guard lock(mutex_);
    std::vector<v1::WorkerStatus> workers;
    if (const auto found = planes_.find(plane); found != planes_.end()) {
        for (const auto& [id, worker] : found->second.workers) {
            workers.push_back(worker.Status());
        }
    }
    return workers;
}

void Hub::Shutdown() {
    std::vector<int64_t> ended;
    {
        const std::lock_guard lock(mutex_);
        shutting_down_ = true;
        for (auto& [session, address] : sessions_) {
            Worker& worker = planes_[address.plane].workers[address.worker_id];
            worker.link()->Close(ShuttingDown());
            worker.End(Now());
            ended.push_back(session);
        }
        sessions_.clear();
        CountSessions();
    }
    for (const int64_t session : ended) {
        commands_.Fail(session, ShuttingDown());
    }
}

Worker* Hub::Find(int64_t session) {
    const auto address = sessions_.find(session);
    return address == sessions_.end() ? nullptr
                                      : &planes_[address->second.plane].workers[address->second.worker_id];
}

Worker* Hub::Choose(const std::string& plane, Choice choice) {
    const auto found = planes_.find(plane);
    if (found == planes_.end()) {
        return nullptr;
    }
    Worker* chosen = nullptr;
    for (auto& [id, worker] : found->second.workers) {
        if (!worker.connected()) {
            continue;
        }
        if (chosen == nullptr || (choice == Choice::kFreshest && worker.last_seen() > chosen->last_seen())) {
            chosen = &worker;
        }
    }
    return chosen;
}

void Hub::CountSessions() {
    metrics_.GetGauge("millrace_control_sessions", "Workers that are connected.")
        .Set(static_cast<double>(sessions_.size()));
}

void Hub::RunTimer() {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
        timer_wake_.wait_for(lock, kTimerStep);
        ForgetLongGone();
        lock.unlock();
        commands_.Expire(Now());
        lock.lock();
    }
}

void Hub::ForgetLongGone() {
    const absl::Time limit = Now() - kForgetAfter;
    for (auto& [name, plane] : planes_) {
        std::erase_if(plane.workers, [&](const auto& entry) {
            return !entry.second.connected() && entry.second.last_seen() < limit;
        });
    }
}

}  // namespace millrace::session
