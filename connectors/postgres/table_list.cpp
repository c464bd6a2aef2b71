#include "connectors/postgres/table_list.h"

#include <utility>

#include "absl/strings/str_split.h"
#include "base/status.h"
#include "base/text.h"
#include "connectors/postgres/session.h"

namespace millrace::postgres {
namespace {

// One query for all tables. Sizes come from relpages, because functions that open the relation wait for its
// locks. Key names are joined by a byte that no name holds in practice and that quoting cannot produce.
constexpr std::string_view kListQuery = R"(
WITH RECURSIVE roots AS (
    SELECT c.*, n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
      AND n.nspname NOT IN ('pg_catalog', 'information_schema', '_millrace') AND n.nspname NOT LIKE 'pg\_toast%'
      AND n.nspname NOT LIKE 'pg\_temp\_%'
), tree(root, relid) AS (
    SELECT oid, oid FROM roots WHERE relkind = 'p'
    UNION ALL
    SELECT tree.root, h.inhrelid FROM tree JOIN pg_inherits h ON h.inhparent = tree.relid
), leaves AS (
    SELECT tree.root, sum(GREATEST(c.reltuples, 0)) AS rows, bool_or(c.reltuples < 0) AS unknown,
           sum(c.relpages::bigint + coalesce(t.relpages, 0)) AS pages,
           count(DISTINCT c.relreplident) AS identities, min(c.relreplident::text) AS identity,
           bool_or(c.relpersistence = 'u') AS unlogged
    FROM tree JOIN pg_class c ON c.oid = tree.relid AND c.relkind <> 'p' LEFT JOIN pg_class t ON t.oid = c.reltoastrelid
    GROUP BY tree.root
), keys AS (
    SELECT r.oid, string_agg(a.attname, E'\x1f' ORDER BY a.attnum) AS names
    FROM roots r
    JOIN pg_index i ON i.indrelid = r.oid AND i.indisunique AND i.indimmediate AND i.indpred IS NULL
         AND i.indexprs IS NULL
         AND CASE r.relreplident WHEN 'i' THEN i.indisreplident WHEN 'n' THEN false ELSE i.indisprimary END
    JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])
    GROUP BY r.oid
    HAVING bool_and(a.attgenerated = '' AND a.attnotnull)
)
SELECT r.nspname, r.relname, r.oid,
       CASE WHEN r.relkind = 'p' THEN CASE WHEN l.unknown OR l.rows IS NULL THEN -1 ELSE l.rows::bigint END
            WHEN r.reltuples < 0 THEN -1 ELSE r.reltuples::bigint END,
       CASE WHEN r.relkind = 'p' THEN coalesce(l.pages, 0) ELSE r.relpages::bigint + coalesce(t.relpages, 0) END
           * current_setting('block_size')::bigint,
       CASE WHEN l.identities > 1 OR l.identity <> r.relreplident::text THEN NULL ELSE k.names END,
       r.relpersistence = 'u' OR coalesce(l.unlogged, false),
       row_security_active(r.oid),
       has_schema_privilege(r.relnamespace, 'USAGE'),
       has_table_privilege(r.oid, 'SELECT'),
       pg_has_role(r.relowner, 'USAGE')
FROM roots r LEFT JOIN leaves l ON l.root = r.oid LEFT JOIN keys k ON k.oid = r.oid
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
        listed.table.key = absl::StrSplit(base::ToAbsl(result.Get(row, 5)), '\x1f');
    }
    listed.unlogged = result.GetBool(row, 6);
    listed.row_security = result.GetBool(row, 7);
    listed.may_use_schema = result.GetBool(row, 8);
    listed.may_select = result.GetBool(row, 9);
    listed.owned = result.GetBool(row, 10);
    return listed;
}

}  // namespace

absl::StatusOr<std::vector<ListedTable>> ListAllTables(base::PqConnection& session) {
    ASSIGN_OR_RETURN(const base::PqResult result, session.Execute(std::string(kListQuery)));
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
        if (!listed.unlogged && selection.Selects(listed.table.schema, listed.table.table)) {
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
