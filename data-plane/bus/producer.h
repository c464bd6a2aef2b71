/// A transactional Kafka producer. Not for: what is produced (codec), when to commit (publish).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "data-plane/bus/record.h"
#include "data-plane/config/pipeline_config.h"

namespace millrace::bus {

inline constexpr std::size_t kMaxHeaders = 4;

/// Used by one thread. Errors: Unavailable (broker away: retry the same call), Aborted reason FENCED (another
/// producer took the transactional id: stop), Aborted reason TXN_ABORTED (abort, restart from the stored
/// position), InvalidArgument reason RECORD_TOO_LARGE, others fatal.
class TransactionalProducer final {
 public:
    /// Called while a call blocks, at least every 500 ms; an error from it ends the call (the source's
    /// keepalives).
    using WhileWaiting = std::function<absl::Status()>;

    /// Does not touch the broker.
    static absl::StatusOr<std::unique_ptr<TransactionalProducer>> Create(const config::KafkaConfig& kafka,
                                                                         const std::string& transactional_id,
                                                                         WhileWaiting while_waiting);
    ~TransactionalProducer();

    /// Fences every older producer of the same id. Only ever by the holder of the source's slot (or copy
    /// lock).
    absl::Status Init();
    absl::Status Begin();
    /// Copies key, value and headers (at most kMaxHeaders). A full queue waits (backpressure).
    absl::Status Produce(const std::string& topic, std::string_view key, std::string_view value,
                         int64_t timestamp_ms, std::span<const RecordHeader> headers = {});
    /// Flushes and commits; on return every record since Begin is durable and will be visible (the broker
    /// writes its markers within milliseconds; Init of a later producer waits for them). RECORD_TOO_LARGE and
    /// TXN_ABORTED want Abort.
    absl::Status Commit();
    absl::Status Abort();
    [[nodiscard]] bool in_transaction() const;

    /// The topic whose record broke this transaction; empty when none did.
    [[nodiscard]] const std::string& failed_topic() const;
    /// A topic in which records came to stand before others that this producer had written to it: it was deleted
    /// and made anew. Empty while there is none.
    [[nodiscard]] const std::string& recreated_topic() const;

 private:
    struct Impl;
    explicit TransactionalProducer(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::bus
