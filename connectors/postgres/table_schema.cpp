#include "connectors/postgres/table_schema.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <utility>

#include "base/text.h"

namespace millrace::postgres {
namespace {

/// What the catalogue knows of a column of the relation.
struct Match final {
    /// 0: not certain which one it is.
    int attnum = 0;
    /// nullptr: not certain, or dropped since.
    const CatalogColumn* column = nullptr;
};

// Columns keep their order for good, and those that were added later stand behind. Of one that was dropped the catalogue keeps
// its number alone: where between two that kept their names as many are unknown as were ever dropped, those are the ones.
std::vector<Match> MatchAroundDropped(const Relation& relation, const CatalogTable& table) {
    std::vector<Match> matches;
    auto dropped = table.dropped.begin();
    const auto fill_gap = [&](size_t end, int before) {
        const auto last = std::find_if(dropped, table.dropped.end(), [&](int attnum) { return attnum >= before; });
        const bool certain = std::cmp_equal(last - dropped, end - matches.size());
        while (matches.size() < end) {
            matches.push_back({.attnum = certain ? *dropped++ : 0});
        }
        dropped = last;
    };
    for (const CatalogColumn& column : table.columns) {
        size_t place = matches.size();
        while (place < relation.columns.size() && relation.columns[place].name != column.name) {
            ++place;
        }
        if (place == relation.columns.size()) {
            return std::vector<Match>(relation.columns.size());
        }
        fill_gap(place, column.attnum);
        matches.push_back({.attnum = column.attnum, .column = &column});
    }
    fill_gap(relation.columns.size(), std::numeric_limits<int>::max());
    return matches;
}

std::vector<Match> MatchColumns(const Relation& relation, const std::optional<CatalogTable>& table) {
    std::vector<Match> matches(relation.columns.size());
    if (!table) {
        return matches;
    }
    if (relation.columns.size() > table->columns.size()) {
        return MatchAroundDropped(relation, *table);
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
    if (all_names || (each_alike && table->dropped.empty())) {
        for (size_t i = 0; i < matches.size(); ++i) {
            matches[i] = {.attnum = table->columns[i].attnum, .column = &table->columns[i]};
        }
    }
    return matches;
}

// By column of the relation. A key of which one column is missing identifies nothing.
std::vector<bool> KeyFlags(const Relation& relation, const std::optional<CatalogTable>& table,
                           const std::vector<Match>& matches) {
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
        while (i < flags.size() && matches[i].column != &column &&
               (matches[i].attnum != 0 || relation.columns[i].name != column.name)) {
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
    const std::vector<Match> matches = MatchColumns(relation, table);
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
        column.source_id = matches[i].attnum;
        if (const CatalogColumn* const match = matches[i].column; match != nullptr) {
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
