/// Which tables a database has and by what their rows are identified. Not for: columns (catalog.h).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/pq.h"
#include "connectors/sdk/source.h"

namespace millrace::postgres {

/// A table that could be replicated, or one that could not and why.
struct ListedTable final {
    sdk::SourceTable table;
    uint32_t oid = 0;
    bool unlogged = false;
    /// A policy would hide rows from this session's role.
    bool row_security = false;
    bool may_use_schema = false;
    bool may_select = false;
    /// The session's role owns the table, or is a member of the role that does.
    bool owned = false;
};

/// Every ordinary and partitioned table outside system schemas and our own, in name order; partitions are
/// part of their root. The key is that of the replica identity: primary key under DEFAULT and FULL, the named
/// index under USING INDEX; empty where there is none that identifies rows at every moment (none, deferrable,
/// over a generated column) or where a partition's identity differs from its root's.
absl::StatusOr<std::vector<ListedTable>> ListAllTables(base::PqConnection& session);

/// Those that `selection` selects and that can be replicated.
std::vector<sdk::SourceTable> SelectTables(const std::vector<ListedTable>& tables,
                                           const sdk::TableSelection& selection);

/// See sdk::Source::ListColumns; generated columns are left out, as the stream leaves them out.
absl::StatusOr<std::vector<std::vector<std::string>>> ListColumnNames(
    base::PqConnection& session, const std::vector<sdk::SourceTable>& tables);

}  // namespace millrace::postgres
