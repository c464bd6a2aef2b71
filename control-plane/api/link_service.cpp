#include "control-plane/api/link_service.h"

#include <atomic>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>

#include "base/status.h"
#include "control-plane/api/call.h"
#include "millrace/v1/link.grpc.pb.h"

namespace millrace::api {
namespace {

/// One worker's stream. The hub holds it as WorkerLink; it owns itself until gRPC is done with it. Reading
/// blocks the worker while the hub works: that is its backpressure.
class LinkStream final : public grpc::ServerBidiReactor<v1::ConnectRequest, v1::ConnectResponse>,
                         public session::WorkerLink,
                         public std::enable_shared_from_this<LinkStream> {
 public:
    LinkStream(session::Hub& hub, grpc::CallbackServerContext* context, base::Metrics& metrics)
        : hub_(hub), call_(*context, metrics, "DataPlaneLinkService/Connect", false) {}

    void Begin(const base::Secret& token) {
        self_ = shared_from_this();
        if (const absl::Status refused = call_.Authenticate(token); !refused.ok()) {
            Close(refused);
            return;
        }
        StartRead(&incoming_);
    }

    void Send(v1::ConnectResponse message) override {
        {
            const std::lock_guard lock(mutex_);
            if (end_) {
                return;
            }
            if (message.has_snapshot()) {
                std::erase_if(waiting_, [](const auto& other) { return other.has_snapshot(); });
            }
            waiting_.push_back(std::move(message));
            if (!TakeNext()) {
                return;
            }
        }
        StartWrite(&outgoing_);
    }

    void Close(const absl::Status& status) override {
        {
            const std::lock_guard lock(mutex_);
            if (end_) {
                return;
            }
            end_ = status;
            waiting_.clear();
            if (writing_) {
                return;
            }
        }
        Finish(call_.Finish(*end_));
    }

    void OnReadDone(bool ok) override {
        if (!ok) {
            hub_.Disconnect(session_);
            Close(absl::OkStatus());
            return;
        }
        if (const absl::Status status = Take(); !status.ok()) {
            hub_.Disconnect(session_);
            Close(status);
            return;
        }
        if (Ended()) {
            // It was cancelled while it was being admitted.
            hub_.Disconnect(session_);
            return;
        }
        StartRead(&incoming_);
    }

    void OnWriteDone(bool ok) override {
        // Looked at once, under the lock: Close may come between, and leaves the end to the write that begins here.
        bool ended = false;
        {
            const std::lock_guard lock(mutex_);
            writing_ = false;
            ended = end_.has_value();
            // After a failed write the stream is broken: the read that is under way fails too and ends it.
            if (!ended && (!ok || !TakeNext())) {
                return;
            }
        }
        if (ended) {
            Finish(call_.Finish(*end_));
        } else {
            StartWrite(&outgoing_);
        }
    }

    void OnCancel() override {
        hub_.Disconnect(session_);
        Close(absl::CancelledError("the worker has gone"));
    }

    void OnDone() override {
        hub_.Disconnect(session_);
        self_.reset();
    }

 private:
    absl::Status Take() {
        const bool greeted = session_ != 0;
        if (greeted) {
            return hub_.Receive(session_, incoming_);
        }
        if (!incoming_.has_hello()) {
            return base::MakeError(absl::StatusCode::kInvalidArgument, "LINK_PROTOCOL",
                                   "The first message of a worker must be its greeting.",
                                   "Run a version of millrace-worker that fits this control plane.");
        }
        const auto session = hub_.Connect(incoming_.hello(), shared_from_this());
        if (session.ok()) {
            session_ = *session;
        }
        return session.status();
    }

    bool Ended() {
        const std::lock_guard lock(mutex_);
        return end_.has_value();
    }

    /// Under the lock: moves the next message out to be written. False when there is none or one is being
    /// written.
    bool TakeNext() {
        if (writing_ || waiting_.empty()) {
            return false;
        }
        outgoing_ = std::move(waiting_.front());
        waiting_.pop_front();
        writing_ = true;
        return true;
    }

    session::Hub& hub_;
    Call call_;
    std::shared_ptr<LinkStream> self_;
    /// Written by the reading side only, read by others when reading has ended.
    std::atomic<int64_t> session_ = 0;
    v1::ConnectRequest incoming_;
    std::mutex mutex_;
    std::deque<v1::ConnectResponse> waiting_;
    v1::ConnectResponse outgoing_;
    bool writing_ = false;
    std::optional<absl::Status> end_;
};

class LinkService final : public v1::DataPlaneLinkService::CallbackService {
 public:
    LinkService(session::Hub& hub, base::Metrics& metrics, const base::Secret& token)
        : hub_(hub), metrics_(metrics), token_(token) {}

    grpc::ServerBidiReactor<v1::ConnectRequest, v1::ConnectResponse>* Connect(
        grpc::CallbackServerContext* context) override {
        const auto stream = std::make_shared<LinkStream>(hub_, context, metrics_);
        stream->Begin(token_);
        return stream.get();
    }

 private:
    session::Hub& hub_;
    base::Metrics& metrics_;
    const base::Secret& token_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeLinkService(session::Hub& hub, base::Metrics& metrics,
                                               const base::Secret& token) {
    return std::make_unique<LinkService>(hub, metrics, token);
}

}  // namespace millrace::api
