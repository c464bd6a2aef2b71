#include "connectors/postgres/table_list.h"

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_split.h"
#include "base/status.h"
#include "base/text.h"
#include "connectors/postgres/session.h"

namespace millrace::postgres {
namespace {

// One query for all tables. Sizes come from relpages, because functions that open the relation wait for its
// locks. Key names are joined in hexadecimal: a name may hold any character.
constexpr std::string_view kListQuery = R"(
WITH RECURSIVE roots AS (
    SELECT c.*, n.nspname, w.index AS chosen
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         LEFT JOIN unnest($1::text[], $2::text[]) AS w(name, index) ON w.name = n.nspname || '.' || c.relname
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
      AND n.nspname NOT IN ('pg_catalog', 'information_schema', '_millrace') AND n.nspname NOT LIKE 'pg\_toast%'
      AND n.nspname NOT LIKE 'pg\_temp\_%'
), tree(root, relid) AS (
    SELECT oid, oid FROM roots WHERE relkind = 'p'
    UNION ALL
    SELECT tree.root, h.inhrelid FROM tree JOIN pg_inherits h ON h.inhparent = tree.relid
), identities(root, relid) AS (
    SELECT r.oid, i.indexrelid FROM roots r JOIN pg_index i ON i.indrelid = r.oid AND i.indisreplident
    WHERE r.relkind = 'p' AND r.relreplident = 'i'
    UNION ALL
    SELECT x.root, h.inhrelid FROM identities x JOIN pg_inherits h ON h.inhparent = x.relid
), leaves AS (
    SELECT tree.root, sum(GREATEST(c.reltuples, 0)) AS rows, bool_or(c.reltuples < 0) AS unknown,
           sum(c.relpages::bigint + coalesce(t.relpages, 0)) AS pages,
           bool_or(CASE r.relreplident
                       WHEN 'i' THEN x.indrelid IS NULL
                       WHEN 'f' THEN c.relreplident <> 'f' AND (r.chosen IS NOT NULL OR c.relreplident <> 'd')
                       ELSE c.relreplident NOT IN ('d', 'f') END) AS broken,
           bool_or(c.relpersistence = 'u') AS unlogged
    FROM tree JOIN roots r ON r.oid = tree.root JOIN pg_class c ON c.oid = tree.relid AND c.relkind <> 'p'
         LEFT JOIN pg_class t ON t.oid = c.reltoastrelid
         LEFT JOIN (SELECT x.root, i.indrelid FROM identities x JOIN pg_index i ON i.indexrelid = x.relid
                    WHERE i.indisreplident) x ON x.root = r.oid AND x.indrelid = c.oid
    GROUP BY tree.root
), indexes AS (
    SELECT r.oid, i.indexrelid, x.relname AS name, i.indisunique, i.indimmediate, i.indisprimary, i.indisreplident,
           i.indpred IS NOT NULL OR i.indexprs IS NOT NULL AS partial,
           (SELECT bool_and(a.attnotnull) FROM pg_attribute a WHERE a.attrelid = r.oid AND a.attnum = ANY (k.columns)) AS whole,
           (SELECT bool_or(a.attgenerated <> '') FROM pg_attribute a WHERE a.attrelid = r.oid AND a.attnum = ANY (k.columns)) AS generated,
           k.columns
    FROM roots r JOIN pg_index i ON i.indrelid = r.oid AND i.indisvalid JOIN pg_class x ON x.oid = i.indexrelid
         CROSS JOIN LATERAL (SELECT (i.indkey::int2[])[0:i.indnkeyatts - 1] AS columns) k
), usable AS (
    SELECT * FROM indexes WHERE indisunique AND indimmediate AND NOT partial AND whole AND NOT generated
), files AS (
    SELECT tree.root, md5(string_agg(concat_ws(':', c.oid, c.relfilenode), ',' ORDER BY c.oid)) AS sum
    FROM tree JOIN pg_class c ON c.oid = tree.relid GROUP BY tree.root
), keys AS (
    SELECT r.oid, string_agg(encode(convert_to(a.attname, 'UTF8'), 'hex'), ',' ORDER BY a.attnum) AS names
    FROM roots r
    JOIN usable i ON i.oid = r.oid
         AND CASE r.relreplident WHEN 'i' THEN i.indisreplident WHEN 'n' THEN false
                 WHEN 'f' THEN CASE WHEN r.chosen IS NULL THEN i.indisprimary ELSE i.name = r.chosen END
                 ELSE i.indisprimary END
    JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum = ANY (i.columns)
    GROUP BY r.oid
)
SELECT r.nspname, r.relname, r.oid,
       CASE WHEN r.relkind = 'p' THEN CASE WHEN l.unknown OR l.rows IS NULL THEN -1 ELSE l.rows::bigint END
            WHEN r.reltuples < 0 THEN -1 ELSE r.reltuples::bigint END,
       CASE WHEN r.relkind = 'p' THEN coalesce(l.pages, 0) ELSE r.relpages::bigint + coalesce(t.relpages, 0) END
           * current_setting('block_size')::bigint,
       CASE WHEN NOT coalesce(l.broken, false) THEN k.names END,
       r.relpersistence = 'u' OR coalesce(l.unlogged, false),
       row_security_active(r.oid),
       has_schema_privilege(r.relnamespace, 'USAGE'),
       has_table_privilege(r.oid, 'SELECT'),
       pg_has_role(r.relowner, 'USAGE'),
       EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''),
       coalesce(r.chosen, ''),
       CASE WHEN r.chosen IS NULL THEN ''
            WHEN c.oid IS NULL THEN 'is no index of the table'
            WHEN NOT c.indisunique THEN 'is not unique'
            WHEN c.partial THEN 'covers some rows or expressions only'
            WHEN NOT c.indimmediate THEN 'is deferrable'
            WHEN c.generated THEN 'is over a generated column, which is not sent'
            WHEN NOT c.whole THEN 'is over a column that may be NULL'
            WHEN NOT coalesce(l.broken, false) AND (r.relreplident = 'f' OR (r.relreplident = 'i' AND c.indisreplident)
                 OR (r.relreplident = 'd' AND c.indisprimary)) THEN ''
            ELSE 'is not the replica identity' END,
       coalesce(u.name, ''),
       coalesce(f.sum, md5(concat_ws(':', r.oid, r.relfilenode))) || '/' || r.relnatts
FROM roots r LEFT JOIN files f ON f.root = r.oid LEFT JOIN leaves l ON l.root = r.oid LEFT JOIN keys k ON k.oid = r.oid
     LEFT JOIN indexes c ON c.oid = r.oid AND c.name = r.chosen
     LEFT JOIN (SELECT oid, min(name) AS name FROM usable GROUP BY oid) u ON u.oid = r.oid
     LEFT JOIN pg_class t ON t.oid = r.reltoastrelid
ORDER BY r.nspname COLLATE "C", r.relname COLLATE "C")";

ListedTable ReadTable(const base::PqResult& result, int row) {
    ListedTable listed;
    listed.table.schema = result.Get(row, 0);
    listed.table.table = result.Get(row, 1);
    listed.oid = static_cast<uint32_t>(result.GetInt(row, 2));
    listed.table.id = listed.oid;
    listed.table.estimated_rows = result.GetInt(row, 3);
    listed.table.bytes = result.GetInt(row, 4);
    if (!result.IsNull(row, 5)) {
        for (const auto name : absl::StrSplit(base::ToAbsl(result.Get(row, 5)), ',')) {
            listed.table.key.push_back(absl::HexStringToBytes(name));
        }
    }
    listed.unlogged = result.GetBool(row, 6);
    listed.row_security = result.GetBool(row, 7);
    listed.may_use_schema = result.GetBool(row, 8);
    listed.may_select = result.GetBool(row, 9);
    listed.owned = result.GetBool(row, 10);
    listed.has_columns = result.GetBool(row, 11);
    listed.table.key_index = result.Get(row, 12);
    listed.key_index_problem = result.Get(row, 13);
    listed.unique_index = result.Get(row, 14);
    // As StorageOf makes it of a table looked at alone.
    listed.table.storage = result.Get(row, 15);
    return listed;
}

}  // namespace

absl::StatusOr<std::vector<ListedTable>> ListAllTables(base::PqConnection& session,
                                                       const std::map<std::string, std::string>& keys) {
    std::vector<std::string> names;
    std::vector<std::string> indexes;
    for (const auto& [name, index] : keys) {
        names.push_back(name);
        indexes.push_back(index);
    }
    ASSIGN_OR_RETURN(
        const base::PqResult result,
        session.ExecuteParams(std::string(kListQuery), {ArrayLiteral(names), ArrayLiteral(indexes)}));
    std::vector<ListedTable> tables;
    tables.reserve(static_cast<size_t>(result.rows()));
    for (int row = 0; row < result.rows(); ++row) {
        tables.push_back(ReadTable(result, row));
    }
    return tables;
}

std::vector<sdk::SourceTable> SelectTables(const std::vector<ListedTable>& tables,
                                           const sdk::TableSelection& selection) {
    std::vector<sdk::SourceTable> selected;
    for (const ListedTable& listed : tables) {
        if (!listed.unlogged && listed.has_columns && selection.Selects(listed.table.schema, listed.table.table)) {
            selected.push_back(listed.table);
        }
    }
    return selected;
}

absl::StatusOr<std::vector<std::vector<std::string>>> ListColumnNames(
    base::PqConnection& session, const std::vector<sdk::SourceTable>& tables) {
    std::vector<std::string> schemas;
    std::vector<std::string> names;
    for (const sdk::SourceTable& table : tables) {
        schemas.push_back(table.schema);
        names.push_back(table.table);
    }
    ASSIGN_OR_RETURN(
        const base::PqResult result,
        session.ExecuteParams(
            "SELECT w.place, a.attname FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS w(schema, "
            "name, place) "
            "JOIN pg_namespace n ON n.nspname = w.schema JOIN pg_class c ON c.relnamespace = n.oid AND "
            "c.relname = w.name "
            "AND c.relkind IN ('r', 'p') JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT "
            "a.attisdropped AND a.attgenerated = '' ORDER BY w.place, a.attnum",
            {ArrayLiteral(schemas), ArrayLiteral(names)}));
    std::vector<std::vector<std::string>> columns(tables.size());
    for (int row = 0; row < result.rows(); ++row) {
        columns[static_cast<size_t>(result.GetInt(row, 0) - 1)].emplace_back(result.Get(row, 1));
    }
    return columns;
}

}  // namespace millrace::postgres
