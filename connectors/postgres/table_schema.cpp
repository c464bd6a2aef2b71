#include "connectors/postgres/table_schema.h"

#include <algorithm>
#include <memory>
#include <utility>

namespace millrace::postgres {
namespace {

// By column of the relation. A key of which one column is missing identifies nothing.
std::vector<bool> KeyFlags(const Relation& relation, const std::optional<CatalogTable>& table) {
    std::vector<bool> flags(relation.columns.size(), false);
    if (relation.identity == 'n' || (table && table->broken_identity)) {
        return flags;
    }
    if (relation.identity != 'f' || !table) {
        for (size_t i = 0; i < flags.size(); ++i) {
            flags[i] = relation.columns[i].key;
        }
        return flags;
    }
    for (const CatalogColumn& column : table->columns) {
        if (!column.primary_key) {
            continue;
        }
        const auto found = std::find_if(relation.columns.begin(), relation.columns.end(),
                                        [&](const RelationColumn& c) { return c.name == column.name; });
        if (found == relation.columns.end()) {
            return std::vector<bool>(relation.columns.size(), false);
        }
        flags[static_cast<size_t>(found - relation.columns.begin())] = true;
    }
    return flags;
}

}  // namespace

bool SameShape(const Relation& relation, const CatalogTable& table) {
    return std::equal(relation.columns.begin(), relation.columns.end(), table.columns.begin(),
                      table.columns.end(), [](const RelationColumn& a, const CatalogColumn& b) {
                          return a.name == b.name && a.type_oid == b.type_oid && a.typmod == b.typmod;
                      });
}

Relation RelationFromCatalog(const CatalogTable& table) {
    Relation relation{.oid = table.oid,
                      .schema = table.schema,
                      .table = table.table,
                      .identity = table.identity,
                      .columns = {}};
    for (const CatalogColumn& column : table.columns) {
        relation.columns.push_back({.name = column.name,
                                    .type_oid = column.type_oid,
                                    .typmod = column.typmod,
                                    .key = table.identity == 'f' || column.identity});
    }
    return relation;
}

sdk::SchemaPtr BuildSchema(const Relation& relation, const std::optional<CatalogTable>& table,
                           const std::vector<ColumnType>& types) {
    const bool same = table && SameShape(relation, *table);
    const std::vector<bool> key = KeyFlags(relation, table);
    auto schema = std::make_shared<sdk::TableSchema>();
    schema->source = "postgres";
    schema->schema = relation.schema;
    schema->table = relation.table;
    schema->source_table_id = relation.oid;
    int ordinal = 0;
    for (size_t i = 0; i < relation.columns.size(); ++i) {
        sdk::Column column;
        column.name = relation.columns[i].name;
        column.source_type = types[i].source_type;
        column.type = types[i].type;
        column.element = types[i].element;
        column.precision = types[i].precision;
        column.scale = types[i].scale;
        column.declared_type = types[i].declared_type;
        column.nullable = !same || !table->columns[i].not_null;
        column.key_ordinal = key[i] ? ++ordinal : 0;
        column.source_id = same ? table->columns[i].attnum : 0;
        schema->columns.push_back(std::move(column));
    }
    schema->append_only = ordinal == 0;
    schema->id = sdk::ComputeSchemaId(*schema);
    return schema;
}

}  // namespace millrace::postgres
