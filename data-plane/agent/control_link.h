/// The worker's end of the link: dials the control plane, keeps one stream, reconnects for ever.
/// Not for: what configurations and commands mean (LinkHandler does that); nothing in the data path waits for
/// it.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "base/metrics.h"
#include "base/secret.h"

namespace millrace::v1 {
class Command;
class ConfigSnapshot;
class ConnectRequest;
class Facts;
class Hello;
}  // namespace millrace::v1

namespace millrace::agent {

/// What the link asks of its owner. No call may block for long.
class LinkHandler {
 public:
    virtual ~LinkHandler() = default;
    /// At every connection, on the link's thread.
    virtual void FillHello(v1::Hello* hello) = 0;
    /// On the link's thread; answered later through ControlLink::Send.
    virtual void OnSnapshot(const v1::ConfigSnapshot& snapshot) = 0;
    virtual void OnCommand(const v1::Command& command) = 0;
    /// Every heartbeat and before each answer to a command, on the stream's writing thread.
    virtual void FillFacts(v1::Facts* facts) = 0;
};

struct LinkOptions final {
    /// "host:port".
    std::string endpoint;
    base::Secret token;
    /// PEM of the authority that signed the control plane's certificate; empty: plain text.
    std::string tls_ca_pem;
    std::chrono::milliseconds first_retry{200};
    std::chrono::milliseconds max_retry{10'000};
    /// After another process with this worker's id has taken the session over.
    std::chrono::milliseconds superseded_retry{30'000};
};

/// Thread-safe. `handler` and `metrics` outlive it.
class ControlLink final {
 public:
    ControlLink(LinkOptions options, LinkHandler& handler, base::Metrics& metrics);
    /// Stops without a goodbye.
    ~ControlLink();

    void Start();
    /// Queues a message for the stream that is open; without one, or when 1000 wait, it is dropped: the next
    /// session begins with the whole state anyway.
    void Send(const v1::ConnectRequest& message);
    /// True between Welcome and the end of the stream.
    [[nodiscard]] bool connected() const;
    /// Says goodbye and closes; returns within two seconds.
    void Stop(const std::string& reason);

 private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::agent
