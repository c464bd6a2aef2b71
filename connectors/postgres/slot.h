/// The pipeline's replication slot: what state it is in, making and dropping it. Not for: streaming from it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "base/pq.h"

namespace millrace::postgres {

struct SlotState final {
    bool active = false;
    /// Invalidated: log that it needs is gone, or will be never sent again.
    bool lost = false;
    uint64_t confirmed = 0;
    uint64_t restart = 0;
};

/// Nothing when there is no such slot. FailedPrecondition, reason SLOT_TAKEN: a slot of that name belongs to
/// another database or plugin.
absl::StatusOr<std::optional<SlotState>> ReadSlot(base::PqConnection& session, const std::string& slot);

struct CreatedSlot final {
    uint64_t consistent_point = 0;
    /// Can be taken over while the creating session does nothing else.
    std::string snapshot;
};

/// Creates the slot on a replication session and exports its snapshot. The server first waits for every
/// transaction that is running now. Aborted, reason SLOT_WAITING: they did not end within `patience`; retry.
absl::StatusOr<CreatedSlot> CreateSlot(base::PqConnection& replication, const std::string& slot,
                                       bool temporary, std::chrono::milliseconds patience);

/// Drops the slot if it exists. Aborted, reason SLOT_ACTIVE: somebody receives from it (asked again for
/// `patience`).
absl::Status DropSlot(base::PqConnection& session, const std::string& slot,
                      std::chrono::milliseconds patience);

/// Aborted, reason SLOT_ACTIVE.
absl::Status SlotActiveError(const std::string& slot);
/// FailedPrecondition, reason SLOT_LOST.
absl::Status SlotLostError(const std::string& slot);

}  // namespace millrace::postgres
