/// One worker's stream as the hub sees it. Not for: the wire (api/link_service.cpp implements it).
#pragma once

#include "absl/status/status.h"

namespace millrace::v1 {
class ConnectResponse;
}

namespace millrace::session {

/// Any thread; no call blocks or calls the hub back.
class WorkerLink {
 public:
    virtual ~WorkerLink() = default;
    /// Queues the message. A snapshot takes the place of one that still waits. Dropped after Close.
    virtual void Send(v1::ConnectResponse message) = 0;
    /// Ends the stream with this status after what is being written; what still waits is dropped.
    virtual void Close(const absl::Status& status) = 0;
};

}  // namespace millrace::session
