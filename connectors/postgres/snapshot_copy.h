/// The rows that existed before streaming began, read under a slot's exported snapshot. Not for: streaming.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "base/pq.h"
#include "connectors/postgres/catalog.h"
#include "connectors/postgres/session.h"
#include "connectors/sdk/source.h"

namespace millrace::postgres {

class SnapshotCopy final {
 public:
    /// Creates the slot (with `new_slot` after dropping an unused one of ours; else a temporary one, gone at
    /// once) and opens a transaction that reads its snapshot. Aborted, reason SLOT_WAITING, after `patience`.
    static absl::StatusOr<std::unique_ptr<SnapshotCopy>> Open(const base::PqParameters& parameters,
                                                              const ObjectNames& names, bool new_slot,
                                                              std::chrono::milliseconds patience);

    /// Every commit below is in the snapshot, no other is.
    [[nodiscard]] uint64_t consistent_point() const { return consistent_point_; }

    /// NotFound, reason TBL_MISSING; Aborted, reason TABLE_CHANGED: rewritten or altered since the snapshot,
    /// which can no longer read it truly; begin the copy again.
    /// Its lock is held until the table is copied or another one is described.
    absl::StatusOr<sdk::SchemaPtr> Describe(const sdk::SourceTable& table);

    /// See sdk::Source::CopyTable.
    absl::StatusOr<int64_t> Copy(const sdk::SourceTable& table, uint64_t first_seq,
                                 sdk::ChangeHandler& handler);

 private:
    SnapshotCopy(std::unique_ptr<base::PqConnection> session, std::unique_ptr<base::PqConnection> present,
                 uint64_t consistent_point);

    /// A table whose lock is held, from Describe to the Copy that follows.
    struct Described final {
        CatalogTable table;
        sdk::SchemaPtr schema;
    };

    absl::StatusOr<Described> LockAndDescribe(const sdk::SourceTable& table);
    absl::StatusOr<int64_t> CopyLocked(uint64_t first_seq, sdk::ChangeHandler& handler);
    absl::StatusOr<CatalogTable> Lock(const sdk::SourceTable& table);
    /// Gives the lock of the described table back.
    absl::Status LetGo();
    absl::StatusOr<sdk::SchemaPtr> SchemaOf(const CatalogTable& table);

    /// Holds the snapshot.
    std::unique_ptr<base::PqConnection> session_;
    /// Sees the catalogue as it is now.
    std::unique_ptr<base::PqConnection> present_;
    uint64_t consistent_point_;
    int64_t opened_us_;
    std::optional<Described> described_;
};

}  // namespace millrace::postgres
