#include "connectors/postgres/table_schema.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "base/text.h"

namespace millrace::postgres {
namespace {

// The catalogue's column behind each of the relation's, nullptr where that is not certain. Columns keep their
// order for good; those that were added later stand behind, and of those dropped since only their number is
// known.
std::vector<const CatalogColumn*> Match(const Relation& relation, const std::optional<CatalogTable>& table) {
    std::vector<const CatalogColumn*> matches(relation.columns.size(), nullptr);
    if (!table || relation.columns.size() > table->columns.size()) {
        return matches;
    }
    bool all_names = true;
    bool each_alike = true;
    for (size_t i = 0; i < matches.size(); ++i) {
        const RelationColumn& then = relation.columns[i];
        const CatalogColumn& now = table->columns[i];
        all_names = all_names && then.name == now.name;
        each_alike = each_alike &&
                     (then.name == now.name || (then.type_oid == now.type_oid && then.typmod == now.typmod));
    }
    if (all_names || (each_alike && !table->has_dropped)) {
        for (size_t i = 0; i < matches.size(); ++i) {
            matches[i] = &table->columns[i];
        }
    }
    return matches;
}

// By column of the relation. A key of which one column is missing identifies nothing.
std::vector<bool> KeyFlags(const Relation& relation, const std::optional<CatalogTable>& table,
                           const std::vector<const CatalogColumn*>& matches) {
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
        size_t i = 0;
        while (i < flags.size() && matches[i] != &column &&
               (matches[i] != nullptr || relation.columns[i].name != column.name)) {
            ++i;
        }
        if (i == flags.size()) {
            return std::vector<bool>(relation.columns.size(), false);
        }
        flags[i] = true;
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

std::string StorageOf(const CatalogTable& table) {
    return base::Concat(table.files, "/", table.columns_ever);
}

sdk::SchemaPtr BuildSchema(const Relation& relation, const std::optional<CatalogTable>& table,
                           const std::vector<ColumnType>& types) {
    const bool same = table && SameShape(relation, *table);
    const std::vector<const CatalogColumn*> matches = Match(relation, table);
    const std::vector<bool> key = KeyFlags(relation, table, matches);
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
        column.labels = types[i].labels;
        if (const CatalogColumn* const match = matches[i]; match != nullptr) {
            column.source_id = match->attnum;
            column.fill = match->missing;
            column.source_version = match->version;
        }
        schema->columns.push_back(std::move(column));
    }
    schema->append_only = ordinal == 0;
    schema->id = sdk::ComputeSchemaId(*schema);
    schema->storage = table ? StorageOf(*table) : "";
    schema->behind = !same;
    return schema;
}

}  // namespace millrace::postgres
