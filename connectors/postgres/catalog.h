/// Reads what tables and types look like from a server's catalogue. Not for: deciding what is selected or
/// published.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/pq.h"
#include "connectors/postgres/pgoutput_decoder.h"
#include "connectors/postgres/type_map.h"

namespace millrace::postgres {

struct CatalogColumn final {
    std::string name;
    uint32_t type_oid = 0;
    int32_t typmod = -1;
    int attnum = 0;
    bool not_null = false;
    /// Part of the primary key, or of the index that the user chose in its place.
    bool primary_key = false;
    /// Part of the identity index (primary key under identity DEFAULT, the named index under USING INDEX).
    bool identity = false;
    /// What rows have that are older than the column and were not rewritten since; nullopt: NULL.
    std::optional<std::string> missing = {};
    /// Differs once the column's description was altered; 0 where partitions differ in `missing`.
    uint64_t version = 0;
};

/// A table as the session's snapshot sees it. Generated columns are left out: the stream does not carry them.
struct CatalogTable final {
    uint32_t oid = 0;
    std::string schema;
    std::string table;
    char kind = 'r';
    /// pg_class.relreplident.
    char identity = 'd';
    std::vector<CatalogColumn> columns;
    /// What the stream flags as key is not the whole of one: a key column is generated and not sent, or a
    /// partition does not send the key of its root.
    bool broken_identity = false;
    /// Changes when the table, or a partition of it, gets another shape or another file.
    std::string fingerprint;
    /// The files of the table and its partitions, and the number of columns that it ever had: see StorageOf.
    std::string files;
    int columns_ever = 0;
    /// attnum of each column that was dropped, in order. With one, names and places of the others say less about which is
    /// which.
    std::vector<int> dropped;
};

/// Nothing when no table has this oid. `key_index` is the unique index that the user chose as key, or empty.
absl::StatusOr<std::optional<CatalogTable>> ReadCatalogTable(base::PqConnection& session, uint32_t oid,
                                                             const std::string& key_index);

/// Nothing when there is no such table or partitioned table.
absl::StatusOr<std::optional<CatalogTable>> FindCatalogTable(base::PqConnection& session,
                                                             const std::string& schema,
                                                             const std::string& table,
                                                             const std::string& key_index);

/// One type for each column, in order; a type that no longer exists reads as text.
absl::StatusOr<std::vector<ColumnType>> ResolveTypes(base::PqConnection& session,
                                                     const std::vector<RelationColumn>& columns);

}  // namespace millrace::postgres
