/// A small pool of destination sessions. Not for: the source half, limits across destinations.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

#include "base/pq.h"
#include "connectors/postgres/sql_session.h"

namespace millrace::postgres {

/// Connects when asked, keeps at most `limit` sessions; those that broke are closed, not given out again.
class SessionPool final : public sql::SessionProvider {
 public:
    SessionPool(base::PqParameters parameters, size_t limit);

    /// Waits up to half a minute for a session in use. Unavailable, reason DST_BUSY, after that.
    absl::StatusOr<sql::SessionLease> Acquire() override;

 private:
    void GiveBack(std::unique_ptr<SqlSession> session);
    [[nodiscard]] sql::SessionLease Lease(std::unique_ptr<SqlSession> session);

    const base::PqParameters parameters_;
    const size_t limit_;
    std::mutex mutex_;
    std::condition_variable given_back_;
    /// Last used last.
    std::vector<std::unique_ptr<SqlSession>> idle_;
    size_t in_use_ = 0;
};

}  // namespace millrace::postgres
