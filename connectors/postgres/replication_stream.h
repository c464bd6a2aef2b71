/// The replication connection in streaming mode: framing, keepalives, feedback. Not for: what a payload says
/// (pgoutput_decoder.h), which slot or where to begin (source.cpp).
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/pq.h"
#include "connectors/postgres/session.h"

namespace millrace::postgres {

/// One frame; views are valid until the next call of Next.
struct Frame final {
    enum class Kind : uint8_t { kNone, kData, kKeepalive };
    Kind kind = Kind::kNone;
    /// kKeepalive: everything below was decoded and sent.
    uint64_t position = 0;
    std::string_view payload;
};

class ReplicationStream final {
 public:
    /// Connects and starts after `start`. Aborted, reason SLOT_ACTIVE; FailedPrecondition, reason SLOT_LOST;
    /// errors of the connection.
    static absl::StatusOr<std::unique_ptr<ReplicationStream>> Open(const base::PqParameters& parameters,
                                                                   const ObjectNames& names, uint64_t start);
    ~ReplicationStream();
    ReplicationStream(const ReplicationStream&) = delete;
    ReplicationStream& operator=(const ReplicationStream&) = delete;

    /// The next frame that is here already, kNone if there is none; answers keepalives that ask for it.
    /// Unavailable: the connection is gone.
    absl::StatusOr<Frame> Next();

    /// Waits until more can be read, feedback is due or `timeout` is over, and takes what has arrived. False
    /// when nothing has.
    absl::StatusOr<bool> Wait(std::chrono::milliseconds timeout);

    /// Monotonic; goes out with the next feedback, which is then due soon.
    void Acknowledge(uint64_t end);

    absl::Status SendFeedbackIfDue();
    absl::Status SendFeedback();

 private:
    using Clock = std::chrono::steady_clock;

    ReplicationStream(std::unique_ptr<base::PqConnection> connection, std::string slot, uint64_t start,
                      std::chrono::milliseconds interval);

    absl::StatusOr<Frame> Parse(std::string_view bytes);
    absl::Status Ended();
    [[nodiscard]] Clock::time_point FeedbackDue() const;
    void FreeBuffer();

    std::unique_ptr<base::PqConnection> connection_;
    std::string slot_;
    std::chrono::milliseconds interval_;
    char* buffer_ = nullptr;
    bool lost_ = false;
    uint64_t received_;
    uint64_t acknowledged_;
    uint64_t reported_;
    Clock::time_point last_feedback_;
};

}  // namespace millrace::postgres
