/// Asking a data plane's worker and reading its answer as a status. Not for: choosing what to ask.
#pragma once

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "control-plane/session/hub.h"
#include "millrace/v1/control.pb.h"
#include "millrace/v1/link.pb.h"

namespace millrace::api {

/// Called exactly once, on any thread.
template <typename Response>
using Done = std::function<void(absl::StatusOr<Response>)>;

/// How long the client waits, at most kMaxCommandTime.
absl::Duration CommandTime(absl::Time client_deadline);
inline constexpr absl::Duration kMaxCommandTime = absl::Seconds(50);

/// Dispatches the command; an answer with an error code becomes that error, with its reason and remedy.
void Ask(session::Hub& hub, const std::string& plane, session::Choice choice, v1::Command command,
         absl::Time client_deadline, Done<v1::CommandResult> done);

/// FailedPrecondition whose message and remedy are those of the critical findings, with all findings attached
/// (gravest first); OK when none is critical.
absl::Status StatusOf(const google::protobuf::RepeatedPtrField<v1::Finding>& findings);

/// The findings attached to an error, serialised as CheckConnectorResponse in at most `max_bytes`; "" without
/// any.
std::string FindingsOf(const absl::Status& status, size_t max_bytes);

}  // namespace millrace::api
