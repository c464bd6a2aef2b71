/// The transaction in which rows are read beside the stream: how it begins, what it sees, and the shape of the table in it. Not for:
/// which rows are read (chunk_reader, whole_reader), copies under a slot's snapshot (snapshot_copy).
#pragma once

#include <chrono>
#include <cstdint>
#include <set>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/pq.h"
#include "connectors/postgres/catalog.h"
#include "connectors/sdk/chunk.h"
#include "connectors/sdk/source.h"

namespace millrace::postgres {

/// `text` is "xmin:xmax:running,…" as pg_current_snapshot() writes it. A standby names no running transactions, so of its
/// snapshots only what lies below xmin is taken for seen. DataLoss: it is no snapshot.
absl::StatusOr<sdk::Visibility> ParseSnapshot(std::string_view text, bool standby);

/// What the session's snapshot sees: that of its transaction, or one that is taken now.
absl::StatusOr<sdk::Visibility> TakeSnapshot(base::PqConnection& session);

/// Transactions that hold the lock on their own id. They give it up after others see their effects.
absl::StatusOr<std::set<uint32_t>> RunningTransactions(base::PqConnection& session);

/// What `seen`, a snapshot that was taken after `running` was asked for, does not see although its commit may be in the log: a
/// transaction that is idle now had not begun to commit then. What another role's session does may be hidden from ours.
absl::StatusOr<sdk::Sight> SightOf(base::PqConnection& session, const std::set<uint32_t>& running, sdk::Visibility seen);

/// BEGIN, READ ONLY, with the table locked as whoever reads it does, before there is a snapshot: what that sees has the shape that is
/// read. Unavailable, reason TABLE_LOCKED: after `patience`.
absl::Status BeginReading(base::PqConnection& session, const sdk::SourceTable& table, std::chrono::milliseconds patience);

/// The table without what `table.excluded` names; sets shape, left_out and the rows' width of `chunk`. NotFound, reason TBL_MISSING.
absl::StatusOr<CatalogTable> DescribeRead(base::PqConnection& session, const sdk::SourceTable& table, sdk::Chunk& chunk);

/// Where the log ends, or, on a standby, has been replayed up to.
absl::StatusOr<uint64_t> LogPosition(base::PqConnection& session);

/// `"schema"."table" AS alias`, without the rows of tables that inherit from it, with those of partitions.
std::string FromClause(const CatalogTable& table, std::string_view alias);

/// The table's columns, for a SELECT.
std::string ColumnList(const CatalogTable& table);

}  // namespace millrace::postgres
