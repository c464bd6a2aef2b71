/// /healthz, /readyz and /metrics over HTTP/1.1 on a thread of its own. Not for: the API, the UI.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/metrics.h"

namespace millrace::base {

class AdminServer final {
  public:
    /// Returns "" when ready, else one sentence saying what is missing. Called on the server's thread; must not block.
    using Readiness = std::function<std::string()>;

    /// Binds `host:port` (port 0 takes a free one). Unavailable names the address when it is taken. `metrics` must
    /// outlive the server.
    static absl::StatusOr<std::unique_ptr<AdminServer>> Start(const std::string& host, uint16_t port,
                                                              const Metrics& metrics, Readiness readiness);
    ~AdminServer();

    [[nodiscard]] uint16_t port() const;

  private:
    struct Impl;
    explicit AdminServer(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::base
