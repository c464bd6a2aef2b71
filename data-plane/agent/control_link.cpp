#include "data-plane/agent/control_link.h"

#include <google/protobuf/util/time_util.h>
#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "base/backoff.h"
#include "base/log.h"
#include "millrace/v1/link.grpc.pb.h"

namespace millrace::agent {
namespace {

using Clock = std::chrono::steady_clock;
using Stream = grpc::ClientReaderWriter<v1::ConnectRequest, v1::ConnectResponse>;

constexpr size_t kMaxQueued = 1000;
constexpr std::chrono::milliseconds kDefaultHeartbeat{1000};
constexpr std::chrono::seconds kGoodbyeTime{1};

bool IsLoopback(const std::string& endpoint) {
    return endpoint.starts_with("127.") || endpoint.starts_with("localhost:") ||
           endpoint.starts_with("[::1]");
}

std::shared_ptr<grpc::Channel> MakeChannel(const LinkOptions& options) {
    grpc::ChannelArguments args;
    // A control plane that vanished without a FIN is noticed within half a minute.
    args.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 20'000);
    args.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
    args.SetMaxReceiveMessageSize(64 << 20);
    // Every attempt dials anew: retries are paced by our backoff, not by the channel's.
    args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    if (IsLoopback(options.endpoint)) {
        args.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    }
    if (options.tls_ca_pem.empty()) {
        return grpc::CreateCustomChannel(options.endpoint, grpc::InsecureChannelCredentials(), args);
    }
    grpc::SslCredentialsOptions tls;
    tls.pem_root_certs = options.tls_ca_pem;
    return grpc::CreateCustomChannel(options.endpoint, grpc::SslCredentials(tls), args);
}

}  // namespace

struct ControlLink::Impl final {
    Impl(LinkOptions link_options, LinkHandler& link_handler, base::Metrics& metrics)
        : options(std::move(link_options)),
          handler(link_handler),
          up(metrics.GetGauge("millrace_link_up", "1 while the control plane's stream is open.")),
          connects(
              metrics.GetCounter("millrace_link_connects_total", "Attempts to reach the control plane.")),
          backoff(options.first_retry, options.max_retry) {}

    void Run();
    grpc::Status RunSession();
    void Receive(const v1::ConnectResponse& message);
    void Write(Stream& stream);
    bool WriteFacts(Stream& stream);
    void WaitBeforeRetry(const grpc::Status& status);
    void Stop(const std::string& reason);

    const LinkOptions options;
    LinkHandler& handler;
    base::Gauge& up;
    base::Counter& connects;

    std::mutex mutex;
    std::condition_variable changed;
    bool stopping = false;
    // Of the session that is open.
    grpc::ClientContext* context = nullptr;
    bool closed = true;
    bool welcomed = false;
    bool goodbye_queued = false;
    std::chrono::milliseconds heartbeat = kDefaultHeartbeat;
    std::deque<v1::ConnectRequest> queue;
    // Of the link's thread.
    base::Backoff backoff;
    std::string last_complaint;

    std::thread thread;
};

void ControlLink::Impl::Run() {
    std::unique_lock lock(mutex);
    while (!stopping) {
        lock.unlock();
        connects.Add();
        const grpc::Status status = RunSession();
        up.Set(0);
        lock.lock();
        if (stopping) {
            return;
        }
        lock.unlock();
        WaitBeforeRetry(status);
        lock.lock();
    }
}

void ControlLink::Impl::WaitBeforeRetry(const grpc::Status& status) {
    std::chrono::milliseconds delay = backoff.Next();
    std::string complaint;
    if (status.error_code() == grpc::StatusCode::ABORTED) {
        delay = options.superseded_retry;
        base::LogError(
            "another process has taken over this worker's session; give each worker its own --worker-id",
            {{"reason", "SUPERSEDED"}, {"retry_ms", delay.count()}});
    } else if (status.error_code() == grpc::StatusCode::UNAUTHENTICATED ||
               status.error_code() == grpc::StatusCode::PERMISSION_DENIED) {
        complaint = "the control plane refuses this worker; check --plane-token-file and --plane";
    } else {
        complaint = "no link to the control plane; the data path runs on";
    }
    // The same complaint at every attempt would bury the rest of the log.
    if (!complaint.empty() && complaint != last_complaint) {
        base::LogWarning(complaint, {{"endpoint", options.endpoint}, {"error", status.error_message()}});
    }
    last_complaint = complaint;
    std::unique_lock lock(mutex);
    changed.wait_for(lock, delay, [this] { return stopping; });
}

grpc::Status ControlLink::Impl::RunSession() {
    const auto stub = v1::DataPlaneLinkService::NewStub(MakeChannel(options));
    grpc::ClientContext session;
    session.AddMetadata("authorization", "Bearer " + options.token.Reveal());
    v1::ConnectRequest hello;
    handler.FillHello(hello.mutable_hello());
    {
        const std::lock_guard lock(mutex);
        if (stopping) {
            return grpc::Status::CANCELLED;
        }
        context = &session;
        closed = false;
        welcomed = false;
        goodbye_queued = false;
        queue.clear();
        queue.push_back(std::move(hello));
    }
    const std::unique_ptr<Stream> stream = stub->Connect(&session);
    std::thread writer([this, &stream] { Write(*stream); });
    v1::ConnectResponse message;
    while (stream->Read(&message)) {
        Receive(message);
    }
    {
        const std::lock_guard lock(mutex);
        closed = true;
        welcomed = false;
        changed.notify_all();
    }
    writer.join();
    const grpc::Status status = stream->Finish();
    const std::lock_guard lock(mutex);
    context = nullptr;
    return status;
}

void ControlLink::Impl::Receive(const v1::ConnectResponse& message) {
    switch (message.message_case()) {
        case v1::ConnectResponse::kWelcome: {
            const std::lock_guard lock(mutex);
            welcomed = true;
            heartbeat = message.welcome().heartbeat_ms() > 0
                            ? std::chrono::milliseconds(message.welcome().heartbeat_ms())
                            : kDefaultHeartbeat;
            changed.notify_all();
            backoff.Reset();
            last_complaint.clear();
            up.Set(1);
            base::LogInfo("linked to the control plane", {{"endpoint", options.endpoint}});
            break;
        }
        case v1::ConnectResponse::kSnapshot:
            handler.OnSnapshot(message.snapshot());
            break;
        case v1::ConnectResponse::kCommand:
            handler.OnCommand(message.command());
            break;
        case v1::ConnectResponse::MESSAGE_NOT_SET:
            base::LogWarning("a message of the control plane is of a kind that this worker does not know");
            break;
    }
}

bool ControlLink::Impl::WriteFacts(Stream& stream) {
    v1::ConnectRequest message;
    *message.mutable_facts()->mutable_time() = google::protobuf::util::TimeUtil::GetCurrentTime();
    handler.FillFacts(message.mutable_facts());
    return stream.Write(message);
}

// The stream's only writer: what is queued first, facts at every heartbeat, goodbye last. An answer to a command
// comes after facts that are as new as itself: whoever heard "caught up" finds the tables that are.
void ControlLink::Impl::Write(Stream& stream) {
    Clock::time_point next_facts = Clock::now();
    std::unique_lock lock(mutex);
    while (!closed) {
        const auto work = [this] { return closed || !queue.empty(); };
        if (!welcomed) {
            changed.wait(lock, [&] { return work() || welcomed; });
        } else {
            changed.wait_until(lock, next_facts, work);
        }
        if (closed) {
            return;
        }
        if (!queue.empty()) {
            const v1::ConnectRequest message = std::move(queue.front());
            queue.pop_front();
            const bool last = message.has_goodbye();
            lock.unlock();
            const bool written = (!message.has_command_result() || WriteFacts(stream)) && stream.Write(message);
            if (last) {
                stream.WritesDone();
            }
            lock.lock();
            if (!written || last) {
                return;
            }
        } else if (welcomed && Clock::now() >= next_facts) {
            next_facts = Clock::now() + heartbeat;
            lock.unlock();
            const bool written = WriteFacts(stream);
            lock.lock();
            if (!written) {
                return;
            }
        }
    }
}

void ControlLink::Impl::Stop(const std::string& reason) {
    std::unique_lock lock(mutex);
    stopping = true;
    if (!reason.empty() && !closed && welcomed && !goodbye_queued) {
        v1::ConnectRequest goodbye;
        goodbye.mutable_goodbye()->set_reason(reason);
        queue.push_back(std::move(goodbye));
        goodbye_queued = true;
        changed.notify_all();
        changed.wait_for(lock, kGoodbyeTime, [this] { return closed; });
    }
    changed.notify_all();
    if (context != nullptr) {
        context->TryCancel();
    }
    lock.unlock();
    if (thread.joinable()) {
        thread.join();
    }
}

ControlLink::ControlLink(LinkOptions options, LinkHandler& handler, base::Metrics& metrics)
    : impl_(std::make_unique<Impl>(std::move(options), handler, metrics)) {}

ControlLink::~ControlLink() {
    impl_->Stop("");
}

void ControlLink::Start() {
    impl_->thread = std::thread([this] { impl_->Run(); });
}

void ControlLink::Send(const v1::ConnectRequest& message) {
    const std::lock_guard lock(impl_->mutex);
    if (impl_->closed || impl_->queue.size() >= kMaxQueued) {
        base::LogDebug("a message to the control plane is dropped: no link");
        return;
    }
    impl_->queue.push_back(message);
    impl_->changed.notify_all();
}

bool ControlLink::connected() const {
    const std::lock_guard lock(impl_->mutex);
    return impl_->welcomed;
}

void ControlLink::Stop(const std::string& reason) {
    impl_->Stop(reason);
}

}  // namespace millrace::agent
