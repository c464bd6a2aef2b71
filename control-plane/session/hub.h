/// The connected workers of all planes: pushes configuration, takes acknowledgements and facts, forwards
/// commands. Not for: the wire (api/link_service.cpp), what users may do (api), deriving status (domain).
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/metrics.h"
#include "control-plane/domain/status.h"
#include "control-plane/session/command_table.h"
#include "control-plane/session/worker.h"
#include "control-plane/session/worker_link.h"
#include "control-plane/store/store.h"
#include "millrace/v1/link.pb.h"

namespace millrace::session {

struct HubOptions final {
    absl::Duration heartbeat = absl::Seconds(1);
    /// Must not go backwards, so that no fact looks younger than it is; the default follows the steady clock.
    std::function<absl::Time()> clock;
};

/// Which worker of a plane a command goes to.
enum class Choice {
    /// The one heard of last.
    kFreshest,
    /// The same one at every call as long as it is connected: it remembers what it was asked.
    kSteady,
};

/// Any thread. `store` and `metrics` outlive it; the hub outlives every link that is connected to it.
class Hub final {
 public:
    static absl::StatusOr<std::unique_ptr<Hub>> Start(store::Store& store, base::Metrics& metrics,
                                                      HubOptions options);
    ~Hub();
    Hub(const Hub&) = delete;
    Hub& operator=(const Hub&) = delete;

    /// Admits a worker: keeps its plane's key and descriptors, ends an older stream of the same worker id
    /// (Aborted, reason SUPERSEDED), sends Welcome and the plane's snapshot. Returns the session.
    /// InvalidArgument (HELLO_INVALID), NotFound (PLANE_UNKNOWN), FailedPrecondition (PLANE_KEY_MISMATCH:
    /// another connected worker has another key), Unavailable (SHUTTING_DOWN, or the store's). The caller
    /// ends the stream with it.
    absl::StatusOr<int64_t> Connect(const v1::Hello& hello, std::shared_ptr<WorkerLink> link);
    /// Messages after Hello. InvalidArgument (LINK_PROTOCOL) for what a worker must not send: end the stream.
    absl::Status Receive(int64_t session, const v1::ConnectRequest& message);
    /// The stream has ended; nothing happens for a session that was superseded.
    void Disconnect(int64_t session);

    /// Sends the command to a connected worker of the plane. `done` is called once: with the worker's answer,
    /// whatever its code; Unavailable (NO_WORKER) when none is connected or the link breaks; DeadlineExceeded
    /// (WORKER_SILENT); ResourceExhausted (TOO_MANY_COMMANDS).
    void Dispatch(const std::string& plane, Choice choice, v1::Command command, absl::Duration timeout,
                  CommandDone done);

    /// What every worker of the plane last said of the pipeline.
    std::vector<domain::WorkerReport> Reports(const std::string& plane, const std::string& pipeline) const;
    std::vector<v1::WorkerStatus> Workers(const std::string& plane) const;
    [[nodiscard]] absl::Time Now() const { return options_.clock(); }
    [[nodiscard]] absl::Duration heartbeat() const { return options_.heartbeat; }

    /// Ends every stream with Unavailable (SHUTTING_DOWN) and admits no more.
    void Shutdown();

 private:
    struct Plane {
        std::map<std::string, Worker> workers;
    };
    struct Address {
        std::string plane;
        std::string worker_id;
    };

    Hub(store::Store& store, base::Metrics& metrics, HubOptions options);

    absl::Status RememberPlane(const v1::Hello& hello, const std::string& fingerprint);
    absl::Status CheckEpoch(const v1::Hello& hello);
    absl::Status CheckKey(const v1::Hello& hello, const std::string& fingerprint) const;
    int64_t Register(const v1::Hello& hello, const std::string& fingerprint,
                     std::shared_ptr<WorkerLink> link);
    void Push(const std::string& plane);
    void PushLocked(const std::string& plane, const v1::ConfigSnapshot& snapshot);
    /// Appends to the pipelines' logs what the worker tells of.
    void KeepEvents(const std::vector<v1::PipelineFacts>& told);
    void FinishRemovals(const std::string& plane, const std::map<std::string, int64_t>& removals);
    /// nullptr when the session is not the worker's current one.
    Worker* Find(int64_t session);
    /// Under mutex_.
    bool EveryWorkerConfirmed(const std::string& plane, const std::string& pipeline, int64_t generation);
    Worker* Choose(const std::string& plane, Choice choice);
    void CountSessions();
    void RunTimer();
    void ForgetLongGone();

    store::Store& store_;
    base::Metrics& metrics_;
    HubOptions options_;
    CommandTable commands_;

    /// Serialises reading a snapshot and sending it, so that an older one never follows a newer one. Taken
    /// before mutex_.
    std::mutex push_mutex_;
    mutable std::mutex mutex_;
    std::condition_variable timer_wake_;
    std::map<std::string, Plane> planes_;
    std::map<int64_t, Address> sessions_;
    int64_t next_session_ = 1;
    bool shutting_down_ = false;
    bool stopping_ = false;
    std::unique_ptr<store::Store::Watch> watch_;
    std::thread timer_;
};

}  // namespace millrace::session
