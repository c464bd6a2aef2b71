/// The gRPC services of control.proto over the handlers. Not for: what calls do (planes.h, connectors.h,
/// pipelines.h).
#pragma once

#include <memory>
#include <vector>

#include "base/metrics.h"
#include "base/secret.h"
#include "control-plane/api/connectors.h"
#include "control-plane/api/pipelines.h"
#include "control-plane/api/planes.h"
#include "control-plane/api/watches.h"

namespace grpc {
class Service;
}

namespace millrace::api {

/// What the services need; all of it outlives them.
struct ServiceContext final {
    Planes& planes;
    Connectors& connectors;
    Pipelines& pipelines;
    Watches& watches;
    base::Metrics& metrics;
    const base::Secret& token;
};

std::vector<std::unique_ptr<grpc::Service>> MakeServices(const ServiceContext& context);

}  // namespace millrace::api
