/// Turns what the stream and the catalogue say about a table into the schema that its events carry; pure.
/// Not for: queries (catalog.h), caching (relation_cache.h).
#pragma once

#include <optional>
#include <vector>

#include "connectors/postgres/catalog.h"
#include "connectors/postgres/pgoutput_decoder.h"
#include "connectors/postgres/type_map.h"
#include "connectors/sdk/schema.h"

namespace millrace::postgres {

/// Whether the catalogue's columns are those of `relation` by name and type, in order.
bool SameShape(const Relation& relation, const CatalogTable& table);

/// The relation message that the server would send for this table now.
Relation RelationFromCatalog(const CatalogTable& table);

/// TableSchema::storage: "files/columns that it ever had".
std::string StorageOf(const CatalogTable& table);

/// `relation` is the truth about columns. Nullability comes from `table` when it still has that shape, else
/// every column is nullable. Ids, fills and versions come from `table` where it is certain which column is
/// which. Key: the identity columns that `relation` flags; under identity FULL the catalogue's primary key,
/// and all columns only if the table is gone from the catalogue. Without a whole key the table is
/// append-only.
sdk::SchemaPtr BuildSchema(const Relation& relation, const std::optional<CatalogTable>& table,
                           const std::vector<ColumnType>& types);

}  // namespace millrace::postgres
