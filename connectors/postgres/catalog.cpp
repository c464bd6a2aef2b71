#include "connectors/postgres/catalog.h"

#include <charconv>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "base/status.h"
#include "base/text.h"
#include "connectors/postgres/session.h"

namespace millrace::postgres {
namespace {

// Deferrable indexes identify rows only at commit, partial and expression ones never do. $1 is the name of the index
// that the user chose as key, or empty.
constexpr std::string_view kTableQuery = R"(
WITH RECURSIVE t AS (
    SELECT c.*, n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND %s
), tree(relid) AS (
    SELECT oid FROM t
    UNION ALL
    SELECT h.inhrelid FROM pg_inherits h JOIN tree ON h.inhparent = tree.relid
    JOIN pg_class p ON p.oid = tree.relid AND p.relkind = 'p'
), identities(relid) AS (
    SELECT i.indexrelid FROM t JOIN pg_index i ON i.indrelid = t.oid AND i.indisreplident WHERE t.relreplident = 'i'
    UNION ALL
    SELECT h.inhrelid FROM identities x JOIN pg_inherits h ON h.inhparent = x.relid
), leaves AS (
    SELECT f.* FROM tree JOIN pg_class f ON f.oid = tree.relid JOIN t ON t.oid <> f.oid WHERE f.relkind <> 'p'
), indexes AS (
    SELECT i.*, x.relname, (i.indkey::int2[])[0:i.indnkeyatts - 1] AS columns
    FROM t JOIN pg_index i ON i.indrelid = t.oid AND i.indisvalid JOIN pg_class x ON x.oid = i.indexrelid
), usable AS (
    SELECT * FROM indexes i WHERE indisunique AND indimmediate AND indpred IS NULL AND indexprs IS NULL
        AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.columns)
                        AND NOT a.attnotnull)
)
SELECT t.oid, t.nspname, t.relname, t.relkind, t.relreplident,
       (SELECT md5(string_agg(concat_ws(':', f.oid, f.relfilenode, f.relreplident), ',' ORDER BY f.oid))
        FROM tree JOIN pg_class f ON f.oid = tree.relid),
       a.attname, a.atttypid, a.atttypmod, a.attnum, a.attnotnull,
       EXISTS (SELECT FROM usable i WHERE a.attnum = ANY (i.columns)
               AND CASE WHEN $1 = '' THEN i.indisprimary ELSE i.relname = $1 END),
       EXISTS (SELECT FROM usable i WHERE a.attnum = ANY (i.columns)
               AND CASE t.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END),
       EXISTS (SELECT FROM indexes i JOIN pg_attribute g ON g.attrelid = t.oid AND g.attgenerated <> ''
                    AND g.attnum = ANY (i.indkey::int2[])
               WHERE CASE WHEN t.relreplident = 'i' THEN i.indisreplident
                          WHEN t.relreplident = 'f' AND $1 <> '' THEN i.relname = $1 ELSE i.indisprimary END)
       OR EXISTS (SELECT FROM leaves f WHERE CASE t.relreplident
               WHEN 'i' THEN NOT EXISTS (SELECT FROM identities x JOIN pg_index i ON i.indexrelid = x.relid
                                         WHERE i.indrelid = f.oid AND i.indisreplident)
               WHEN 'f' THEN f.relreplident <> 'f' AND ($1 <> '' OR f.relreplident <> 'd')
               ELSE f.relreplident NOT IN ('d', 'f') END),
       (SELECT md5(string_agg(concat_ws(':', f.oid, f.relfilenode), ',' ORDER BY f.oid))
        FROM tree JOIN pg_class f ON f.oid = tree.relid),
       t.relnatts, (SELECT string_agg(d.attnum::text, ',' ORDER BY d.attnum) FROM pg_attribute d WHERE d.attrelid = t.oid AND d.attisdropped),
       -- VACUUM FULL touches the row of a column whose value older rows lack, but no default; a change of type makes a
       -- column's default anew.
       coalesce((SELECT 4294967296 + d.oid::bigint FROM pg_attrdef d WHERE d.adrelid = t.oid AND d.adnum = a.attnum),
                a.xmin::text::bigint),
       m.value, m.mixed
FROM t LEFT JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
-- Whether a row lacks a column is said of the relation that holds the row.
LEFT JOIN LATERAL (
    SELECT min(array_to_string(l.attmissingval, '')) AS value,
           count(*) > 0 AND (count(l.attmissingval) BETWEEN 1 AND count(*) - 1
               OR count(DISTINCT array_to_string(l.attmissingval, '')) > 1) AS mixed
    FROM tree JOIN pg_class f ON f.oid = tree.relid AND f.relkind <> 'p'
         JOIN pg_attribute l ON l.attrelid = f.oid AND l.attname = a.attname AND NOT l.attisdropped
) m ON true
ORDER BY a.attnum)";

std::string TableQuery(std::string_view condition) {
    std::string query(kTableQuery);
    return query.replace(query.find("%s"), 2, condition);
}

std::optional<CatalogTable> ReadRows(const base::PqResult& result) {
    if (result.rows() == 0) {
        return std::nullopt;
    }
    CatalogTable table;
    table.oid = static_cast<uint32_t>(result.GetInt(0, 0));
    table.schema = result.Get(0, 1);
    table.table = result.Get(0, 2);
    table.kind = result.Get(0, 3)[0];
    table.identity = result.Get(0, 4)[0];
    table.fingerprint = result.Get(0, 5);
    table.broken_identity = result.GetBool(0, 13);
    table.files = result.Get(0, 14);
    table.columns_ever = static_cast<int>(result.GetInt(0, 15));
    for (const auto number : absl::StrSplit(base::ToAbsl(result.Get(0, 16)), ',', absl::SkipEmpty())) {
        if (int attnum = 0; absl::SimpleAtoi(number, &attnum)) {
            table.dropped.push_back(attnum);
        }
    }
    for (int row = 0; row < result.rows(); ++row) {
        if (result.IsNull(row, 6)) {
            continue;
        }
        CatalogColumn column;
        column.name = result.Get(row, 6);
        column.type_oid = static_cast<uint32_t>(result.GetInt(row, 7));
        column.typmod = static_cast<int32_t>(result.GetInt(row, 8));
        column.attnum = static_cast<int>(result.GetInt(row, 9));
        column.not_null = result.GetBool(row, 10);
        column.primary_key = result.GetBool(row, 11);
        column.identity = result.GetBool(row, 12);
        const bool mixed = result.GetBool(row, 19);
        column.version = mixed ? 0 : static_cast<uint64_t>(result.GetInt(row, 17));
        if (!mixed && !result.IsNull(row, 18)) {
            column.missing = result.Get(row, 18);
        }
        base::Append(table.fingerprint, ":", column.name, ":", column.type_oid, ":", column.typmod);
        table.columns.push_back(std::move(column));
    }
    return table;
}

// Follows domains to their base type, and one step from an array to its element. int2vector and oidvector
// call themselves arrays but are not written like ones.
constexpr std::string_view kTypeQuery =
    "WITH RECURSIVE wanted AS (SELECT * FROM unnest($1::oid[], $2::int4[]) WITH ORDINALITY AS w(oid, typmod, "
    "place)), "
    "step(place, element, oid, typmod, typtype, next, next_typmod, next_element, over_domain) AS ("
    "SELECT w.place, false, t.oid, w.typmod, t.typtype, "
    "CASE WHEN t.typtype = 'd' THEN t.typbasetype WHEN t.typcategory = 'A' AND t.oid NOT IN (22, 30) THEN "
    "t.typelem "
    "ELSE 0 END, "
    "CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE w.typmod END, t.typtype <> 'd', false "
    "FROM wanted w JOIN pg_type t ON t.oid = w.oid "
    "UNION ALL "
    "SELECT s.place, s.next_element, t.oid, s.next_typmod, t.typtype, "
    "CASE WHEN t.typtype = 'd' THEN t.typbasetype WHEN NOT s.next_element AND t.typcategory = 'A' AND "
    "t.oid NOT IN (22, 30) THEN t.typelem ELSE 0 END, "
    "CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE s.next_typmod END, s.next_element OR t.typtype <> 'd', "
    "s.over_domain OR (s.next_element AND t.typtype = 'd') "
    "FROM step s JOIN pg_type t ON t.oid = s.next WHERE s.next <> 0) "
    "SELECT s.place, s.element, s.oid, s.typmod, s.typtype, format_type(s.oid, s.typmod), s.over_domain, "
    "CASE WHEN s.over_domain OR d.typtype = 'd' THEN format_type(w.oid, w.typmod) ELSE '' END, "
    "(SELECT string_agg(e.enumlabel, E'\\x1f' ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = "
    "s.oid) "
    "FROM step s JOIN wanted w ON w.place = s.place JOIN pg_type d ON d.oid = w.oid "
    "WHERE s.typtype <> 'd' ORDER BY s.place, s.element";

void ReadType(const base::PqResult& result, int row, std::vector<ColumnType>& types) {
    ColumnType& column = types[static_cast<size_t>(result.GetInt(row, 0) - 1)];
    const ScalarType scalar{.oid = static_cast<uint32_t>(result.GetInt(row, 2)),
                            .typmod = static_cast<int32_t>(result.GetInt(row, 3)),
                            .is_enum = result.Get(row, 4) == "e"};
    SetNumericBounds(scalar, column);
    column.declared_type = result.Get(row, 7);
    if (!result.IsNull(row, 8)) {
        column.labels = absl::StrSplit(base::ToAbsl(result.Get(row, 8)), '\x1f');
    }
    if (!result.GetBool(row, 1)) {
        column.source_type = result.Get(row, 5);
        column.type = LogicalTypeOf(scalar);
        return;
    }
    column.type = sdk::LogicalType::kArray;
    column.element = LogicalTypeOf(scalar);
    if (result.GetBool(row, 6)) {
        column.source_type = base::Concat(result.Get(row, 5), "[]");
    }
}

}  // namespace

absl::StatusOr<std::optional<CatalogTable>> ReadCatalogTable(base::PqConnection& session, uint32_t oid,
                                                             const std::string& key_index) {
    ASSIGN_OR_RETURN(const base::PqResult result,
                     session.ExecuteParams(TableQuery("c.oid = $2::oid"), {key_index, base::Concat(oid)}));
    return ReadRows(result);
}

absl::StatusOr<std::optional<CatalogTable>> FindCatalogTable(base::PqConnection& session,
                                                             const std::string& schema,
                                                             const std::string& table,
                                                             const std::string& key_index) {
    ASSIGN_OR_RETURN(const base::PqResult result,
                     session.ExecuteParams(TableQuery("n.nspname = $2 AND c.relname = $3"),
                                           {key_index, schema, table}));
    return ReadRows(result);
}

absl::StatusOr<std::vector<ColumnType>> ResolveTypes(base::PqConnection& session,
                                                     const std::vector<RelationColumn>& columns) {
    std::vector<std::string> oids;
    std::vector<std::string> typmods;
    for (const RelationColumn& column : columns) {
        oids.push_back(base::Concat(column.type_oid));
        typmods.push_back(base::Concat(column.typmod));
    }
    ASSIGN_OR_RETURN(
        const base::PqResult result,
        session.ExecuteParams(std::string(kTypeQuery), {ArrayLiteral(oids), ArrayLiteral(typmods)}));
    std::vector<ColumnType> types(columns.size());
    for (int row = 0; row < result.rows(); ++row) {
        ReadType(result, row, types);
    }
    return types;
}

}  // namespace millrace::postgres
