/// Decoded messages into change events: positions, schemas, old and new rows. Not for: bytes
/// (pgoutput_decoder.h), I/O.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "connectors/postgres/pgoutput_decoder.h"
#include "connectors/postgres/relation_cache.h"
#include "connectors/sdk/source.h"

namespace millrace::postgres {

/// Prefix of our own logical messages.
inline constexpr std::string_view kHeartbeatPrefix = "millrace.heartbeat";

class ChangeAssembler final {
 public:
    explicit ChangeAssembler(RelationCache::Resolver resolver) : relations_(std::move(resolver)) {}

    /// Hands what `message` means to `handler`; may move values from the old row into the new one. Errors of
    /// the handler are passed on. DataLoss: the stream contradicts itself.
    absl::Status Handle(PgoutputMessage& message, sdk::ChangeHandler& handler);

    [[nodiscard]] bool in_transaction() const { return in_transaction_; }
    /// Change events handed over so far.
    [[nodiscard]] uint64_t events() const { return events_; }

 private:
    absl::Status Begin(const PgoutputMessage& message);
    absl::Status Commit(const PgoutputMessage& message, sdk::ChangeHandler& handler);
    absl::Status Change(PgoutputMessage& message, sdk::ChangeHandler& handler);
    absl::Status Truncate(const PgoutputMessage& message, sdk::ChangeHandler& handler);
    absl::Status Emit(sdk::ChangeHandler& handler);

    RelationCache relations_;
    bool in_transaction_ = false;
    uint64_t events_ = 0;
    /// Reused; its position counts every change of the transaction.
    sdk::ChangeEvent event_;
};

}  // namespace millrace::postgres
