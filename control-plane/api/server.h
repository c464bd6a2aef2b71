/// The control plane's gRPC server: API, link, health, reflection. Not for: the admin endpoints
/// (base/admin_server.h).
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/metrics.h"
#include "control-plane/api/access.h"
#include "control-plane/session/hub.h"
#include "control-plane/store/store.h"

namespace millrace::api {

struct ServerOptions final {
    /// "host:port"; port 0 takes a free one.
    std::string listen = "127.0.0.1:7443";
    Tokens tokens;
    /// PEM; both empty for plain text.
    std::string tls_certificate;
    base::Secret tls_key;
};

/// Any thread. `store`, `hub` and `metrics` outlive it.
class Server final {
 public:
    /// Unavailable (LISTEN_FAILED) names the address when it cannot be bound.
    static absl::StatusOr<std::unique_ptr<Server>> Start(store::Store& store, session::Hub& hub,
                                                         base::Metrics& metrics, ServerOptions options);
    /// Shuts down.
    ~Server();

    [[nodiscard]] int port() const;
    /// Health says NOT_SERVING, streams and the hub's sessions end with Unavailable, calls under way have
    /// some seconds.
    void Shutdown();

 private:
    struct Impl;
    explicit Server(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::api
