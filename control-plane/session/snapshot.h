/// The desired state of a plane as its workers are sent it. Not for: sending (hub.h).
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "control-plane/store/store.h"
#include "millrace/v1/link.pb.h"

namespace millrace::session {

/// Epoch, generation and every deployed pipeline of `plane` ("tenants/{t}/dataPlanes/{d}"), in order of name,
/// from one consistent view; without a nonce. Errors of the store.
absl::StatusOr<v1::ConfigSnapshot> BuildSnapshot(const store::Store& store, const std::string& plane);

}  // namespace millrace::session
