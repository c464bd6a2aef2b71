/// One gRPC call on the server: who it is from, how it ended, and how errors are put on the wire (errors.h).
/// Not for: what calls do. Only .cpp files of this folder include it: it draws in grpcpp.
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/metrics.h"
#include "base/secret.h"

namespace millrace::api {

/// Counts and logs the call when it is finished. Made at its beginning, on any thread; lives until Finish.
class Call final {
 public:
    /// `method` as in the proto, e.g. "ConnectorService/GetConnector". `quiet` calls are logged only when
    /// they fail.
    Call(grpc::CallbackServerContext& context, base::Metrics& metrics, const char* method, bool quiet);

    /// Unauthenticated when the call's token is not `expected`.
    [[nodiscard]] absl::Status Authenticate(const base::Secret& expected) const;
    /// When the client stops waiting; InfiniteFuture without a deadline.
    [[nodiscard]] absl::Time deadline() const;
    [[nodiscard]] const std::string& request_id() const { return request_id_; }

    /// The status to give gRPC; puts reason, remedy and findings into the trailing metadata. Once.
    grpc::Status Finish(const absl::Status& status);

 private:
    grpc::CallbackServerContext& context_;
    base::Metrics& metrics_;
    const char* method_;
    bool quiet_;
    std::string request_id_;
    std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
};

}  // namespace millrace::api
