/// Which tables a database has and by what their rows are identified. Not for: columns (catalog.h).
#pragma once

#include <cstdint>
#include <map>
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
    /// Whether any column of it is sent: a table without columns, or of generated ones alone, has nothing to replicate.
    bool has_columns = false;
    /// Why the index that the user chose cannot identify its rows ("is not unique"); "" where it can or none was chosen.
    std::string key_index_problem;
    /// A unique index over columns that are never NULL; "" where there is none.
    std::string unique_index;
};

/// Every ordinary and partitioned table outside system schemas and our own, in name order; partitions are
/// part of their root. The key is that of the replica identity: primary key under DEFAULT, the named index under
/// USING INDEX, and under FULL the index that `keys` ("schema.table" → its name) chooses, else the primary key. It is
/// empty where there is none that identifies rows at every moment (none, deferrable, over a generated column) or where a
/// partition does not send the key of its root.
absl::StatusOr<std::vector<ListedTable>> ListAllTables(base::PqConnection& session,
                                                       const std::map<std::string, std::string>& keys);

/// Those that `selection` selects and that can be replicated.
std::vector<sdk::SourceTable> SelectTables(const std::vector<ListedTable>& tables,
                                           const sdk::TableSelection& selection);

/// See sdk::Source::ListColumns; generated columns are left out, as the stream leaves them out.
absl::StatusOr<std::vector<std::vector<std::string>>> ListColumnNames(
    base::PqConnection& session, const std::vector<sdk::SourceTable>& tables);

}  // namespace millrace::postgres
