#include "connectors/postgres/session_pool.h"

#include <chrono>
#include <utility>

#include "base/status.h"

namespace millrace::postgres {

SessionPool::SessionPool(base::PqParameters parameters, size_t limit)
    : parameters_(std::move(parameters)), limit_(limit) {}

absl::StatusOr<sql::SessionLease> SessionPool::Acquire() {
    std::unique_lock lock(mutex_);
    if (!given_back_.wait_for(lock, std::chrono::seconds(30), [this] { return in_use_ < limit_; })) {
        return base::MakeError(absl::StatusCode::kUnavailable, "DST_BUSY",
                               "all connections to the destination have been in use for 30 s",
                               "Raise the destination's option max_connections, or find what keeps it busy.");
    }
    ++in_use_;
    while (!idle_.empty()) {
        std::unique_ptr<SqlSession> session = std::move(idle_.back());
        idle_.pop_back();
        if (session->Reusable()) {
            return Lease(std::move(session));
        }
    }
    lock.unlock();
    auto session = SqlSession::Connect(parameters_);
    if (!session.ok()) {
        GiveBack(nullptr);
        return session.status();
    }
    return Lease(std::move(*session));
}

sql::SessionLease SessionPool::Lease(std::unique_ptr<SqlSession> session) {
    return {session.release(), [this](sql::SqlSession* released) {
                // Only sessions of ours are leased.
                std::unique_ptr<SqlSession> ours(static_cast<SqlSession*>(released));
                ours->Rollback();
                GiveBack(ours->Reusable() ? std::move(ours) : nullptr);
            }};
}

void SessionPool::GiveBack(std::unique_ptr<SqlSession> session) {
    const std::lock_guard lock(mutex_);
    --in_use_;
    if (session != nullptr) {
        idle_.push_back(std::move(session));
    }
    given_back_.notify_one();
}

}  // namespace millrace::postgres
