/// DataPlaneLinkService: each worker's stream, between gRPC and the hub. Not for: what messages mean
/// (session).
#pragma once

#include <memory>

#include "base/metrics.h"
#include "base/secret.h"
#include "control-plane/session/hub.h"

namespace grpc {
class Service;
}

namespace millrace::api {

/// All arguments outlive the service.
std::unique_ptr<grpc::Service> MakeLinkService(session::Hub& hub, base::Metrics& metrics,
                                               const base::Secret& token);

}  // namespace millrace::api
