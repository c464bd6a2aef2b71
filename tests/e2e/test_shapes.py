"""Keys, shapes and names as users' databases have them: rows that are there before and changes that stream, row by row, at both destinations."""

import pytest

from harness import eventually

NAME = "shapes"

# Type of the key, two values of it, a third, and one that is written differently but equals the first (where the type has such).
KEY_TYPES = {
    "text": ("text", "'a'", "'b'", "'ü %_\\ \"x\"'", None),
    "collated": ('text COLLATE "de-x-icu"', "'ä'", "'a'", "'Z'", None),
    "folded": ("text COLLATE folded", "'Ab'", "'b'", "'c'", "'aB'"),
    "citext": ("public.citext", "'Ab'", "'b'", "'c'", "'aB'"),
    "uuid": ("uuid", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "'00000000-0000-0000-0000-000000000000'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'", None),
    "numeric": ("numeric", "1.0", "2", "'NaN'", "1.00"),
    "bounded": ("numeric(12,3)", "1.0", "-2", "123456789.999", None),
    "instant": ("timestamptz", "'2026-01-01 00:00:00.000001+02'", "'0044-03-15 BC'", "'infinity'", None),
    "day": ("date", "'2026-02-03'", "'-infinity'", "'0001-01-01 BC'", None),
    "clock": ("time", "'24:00'", "'00:00'", "'12:34:56.789'", None),
    "span": ("interval", "'1 mon'", "'1 day'", "'2 years 3 hours'", "'30 days'"),
    "bytes": ("bytea", "'\\x00ff'", "'\\x'", "'\\x5c270a'", None),
    "float": ("double precision", "0", "1.5", "'NaN'", "'-0'"),
    "single": ("real", "0.1", "1e-30", "'Infinity'", None),
    "padded": ("character(5)", "'ab'", "''", "'abcde'", None),
    "flag": ("boolean", "true", "false", None, None),
    "document": ("jsonb", "'1.0'", "'\"1.0\"'", "'{\"a\": [null]}'", "'1.00'"),
    "list": ("int[]", "'{1,NULL}'", "'{}'", "'[0:1]={1,2}'", None),
    "range": ("int4range", "'[1,5)'", "'empty'", "'(,)'", None),
    "address": ("inet", "'10.0.0.1'", "'10.0.0.1/8'", "'::1'", None),
    "mood": ("public.mood", "'sad'", "'ok'", "'sehr glücklich'", None),
    "pair": ("public.pair", "'(1,\"a \"\"b\"\"\")'", "'(,)'", "'(2,)'", None),
    "mail": ("public.mail", "'a@b'", "'@'", "'c@d'", None),
}

TABLES = """
    CREATE EXTENSION citext SCHEMA public;
    CREATE COLLATION folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
    CREATE TYPE mood AS ENUM ('sad', 'ok', 'sehr glücklich');
    CREATE TYPE pair AS (a int, b text);
    CREATE DOMAIN mail AS text CHECK (VALUE LIKE '%@%');
"""

BEFORE = """
    -- Identities.
    CREATE TABLE plain (id int PRIMARY KEY, v text, big text);
    CREATE TABLE fully (id int PRIMARY KEY, v text, big text);
    ALTER TABLE fully REPLICA IDENTITY FULL;
    CREATE TABLE by_index (id int, code text NOT NULL, v text, big text);
    CREATE UNIQUE INDEX by_index_code ON by_index (code);
    ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_code;
    CREATE TABLE beside_pk (id int PRIMARY KEY, code text NOT NULL UNIQUE, v text, big text);
    ALTER TABLE beside_pk REPLICA IDENTITY USING INDEX beside_pk_code_key;
    CREATE TABLE covering (id int, extra text, v text, big text, PRIMARY KEY (id) INCLUDE (extra));
    CREATE TABLE composite (v text, b text, a int, c uuid, big text, PRIMARY KEY (c, a, b));
    CREATE TABLE late_unique (id int PRIMARY KEY, place int NOT NULL UNIQUE DEFERRABLE INITIALLY DEFERRED, v text);
    -- No identity: appended.
    CREATE TABLE no_key (id int, v text);
    CREATE TABLE unused_index (id int NOT NULL UNIQUE, v text);
    CREATE TABLE nothing (id int PRIMARY KEY, v text);
    ALTER TABLE nothing REPLICA IDENTITY NOTHING;
    CREATE TABLE fully_no_key (id int, v text);
    ALTER TABLE fully_no_key REPLICA IDENTITY FULL;
    CREATE TABLE late_key (id int PRIMARY KEY DEFERRABLE, v text);
    CREATE TABLE no_columns ();
    -- Chains.
    CREATE TABLE chain (id int PRIMARY KEY, v text, big text);
    -- Long keys, stored out of line.
    CREATE TABLE long_key (k text PRIMARY KEY, v text, big text, other text);
    ALTER TABLE long_key ALTER k SET STORAGE EXTERNAL, ALTER other SET STORAGE EXTERNAL;
    -- Partitions.
    CREATE TABLE parts (id int, day date, region text, v text, big text, PRIMARY KEY (id, day, region)) PARTITION BY RANGE (day);
    CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (MINVALUE) TO ('2026-07-01');
    CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM ('2026-07-01') TO ('2027-01-01') PARTITION BY LIST (region);
    CREATE TABLE parts_2_eu PARTITION OF parts_2 FOR VALUES IN ('eu', 'uk');
    CREATE TABLE parts_2_x PARTITION OF parts_2 DEFAULT;
    CREATE TABLE parts_full (id int PRIMARY KEY, v text, big text) PARTITION BY RANGE (id);
    ALTER TABLE parts_full REPLICA IDENTITY FULL;
    CREATE TABLE parts_full_1 PARTITION OF parts_full FOR VALUES FROM (0) TO (100);
    CREATE TABLE parts_full_2 PARTITION OF parts_full FOR VALUES FROM (100) TO (200);
    ALTER TABLE parts_full_2 REPLICA IDENTITY FULL;
    CREATE TABLE parts_index (id int NOT NULL, v text, big text, code text NOT NULL) PARTITION BY HASH (id);
    CREATE UNIQUE INDEX parts_index_key ON parts_index (id, code);
    CREATE TABLE parts_index_1 (code text NOT NULL, gone int, big text, id int NOT NULL, v text);
    ALTER TABLE parts_index_1 DROP gone;
    ALTER TABLE parts_index ATTACH PARTITION parts_index_1 FOR VALUES WITH (MODULUS 1, REMAINDER 0);
    ALTER TABLE parts_index REPLICA IDENTITY USING INDEX parts_index_key;
    ALTER TABLE parts_index_1 REPLICA IDENTITY USING INDEX parts_index_1_id_code_idx;
    -- Inheritance.
    CREATE TABLE animals (id int PRIMARY KEY, v text);
    CREATE TABLE dogs (breed text, PRIMARY KEY (id)) INHERITS (animals);
    -- Generated and identity columns.
    CREATE TABLE computed (g1 int GENERATED ALWAYS AS (a * 2) STORED, id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a int,
        g2 text GENERATED ALWAYS AS (upper(v)) STORED, v text, big text, by_default bigint GENERATED BY DEFAULT AS IDENTITY);
    CREATE TABLE computed_key (id int NOT NULL, g int GENERATED ALWAYS AS (id * 2) STORED PRIMARY KEY, v text);
    CREATE TABLE only_computed (g int GENERATED ALWAYS AS (1) STORED);
    -- Truncates.
    CREATE TABLE customers (id serial PRIMARY KEY, v text);
    CREATE TABLE invoices (id serial PRIMARY KEY, customer int REFERENCES customers, v text);
    CREATE TABLE lines (invoice int REFERENCES invoices, v text);
    -- Values.
    CREATE TABLE texts (id int PRIMARY KEY, v text, w text NOT NULL, b bytea);
"""

# Tables whose `big` is stored out of line, and the expression of their key for the generic changes.
TOASTED = ["plain", "fully", "by_index", "beside_pk", "covering", "composite", "chain", "parts", "parts_full", "parts_index", "computed"]

ROWS = """
    INSERT INTO plain SELECT g, 'v' || g, repeat(md5(g::text), 200) FROM generate_series(1, 40) g;
    INSERT INTO fully SELECT * FROM plain;
    INSERT INTO chain SELECT * FROM plain;
    INSERT INTO by_index SELECT id, 'c' || id, v, big FROM plain;
    INSERT INTO beside_pk SELECT id, 'c' || id, v, big FROM plain;
    INSERT INTO covering SELECT id, 'x' || id, v, big FROM plain;
    INSERT INTO composite SELECT v, 'b' || id, id % 3, md5((id / 3)::text)::uuid, big FROM plain;
    INSERT INTO late_unique SELECT g, g, 'v' || g FROM generate_series(1, 10) g;
    INSERT INTO no_key SELECT g % 3, NULLIF('v' || g % 2, 'v1') FROM generate_series(1, 10) g;
    INSERT INTO unused_index SELECT g, 'v' || g FROM generate_series(1, 10) g;
    INSERT INTO nothing SELECT g, 'v' || g FROM generate_series(1, 10) g;
    INSERT INTO fully_no_key SELECT g, 'v' || g FROM generate_series(1, 10) g;
    INSERT INTO late_key SELECT g, 'v' || g FROM generate_series(1, 10) g;
    INSERT INTO no_columns DEFAULT VALUES;
    INSERT INTO long_key SELECT (SELECT string_agg(md5((g * 100 + i)::text), '') FROM generate_series(1, 80) i), 'v' || g, repeat(md5(g::text), 5), repeat(md5(g::text), 300)
        FROM generate_series(1, 6) g;
    INSERT INTO parts SELECT id, '2026-01-01'::date + id * 9, (ARRAY['eu', 'uk', 'us'])[id % 3 + 1], v, big FROM plain;
    INSERT INTO parts_full SELECT id * 4, v, big FROM plain;
    INSERT INTO parts_index (id, v, big, code) SELECT id, v, big, 'c' || id FROM plain;
    INSERT INTO animals SELECT g, 'animal ' || g FROM generate_series(1, 5) g;
    INSERT INTO dogs SELECT g, 'dog ' || g, 'breed ' || g FROM generate_series(3, 8) g;
    INSERT INTO computed (a, v, big) SELECT id, v, big FROM plain;
    INSERT INTO computed_key (id, v) VALUES (1, 'one'), (2, 'two');
    INSERT INTO customers (v) SELECT 'c' || g FROM generate_series(1, 5) g;
    INSERT INTO invoices (customer, v) SELECT g, 'i' || g FROM generate_series(1, 5) g;
    INSERT INTO lines SELECT g, 'l' || g FROM generate_series(1, 5) g;
    INSERT INTO texts VALUES (1, '', '', ''), (2, NULL, ' ', NULL), (3, E'\\\\N', E'a\\tb\\nc\\r\\\\', '\\x00'), (4, 'NULL', E'\\x7f', '\\x5c4e'),
        (5, repeat('long ü', 500000), repeat('x', 3000000), decode(repeat('00ff5c', 700000), 'hex'));
"""

PLACES = "('public', 'keys')"


def key_tables():
    statements = ["CREATE SCHEMA keys;"]
    for name, (kind, first, second, third, _) in KEY_TYPES.items():
        statements.append(f"CREATE TABLE keys.{name} (v int, k {kind} PRIMARY KEY, big text); ALTER TABLE keys.{name} ALTER big SET STORAGE EXTERNAL;")
        rows = [(1, first), (2, second)] + ([(3, third)] if third else [])
        for v, value in rows:
            statements.append(f"INSERT INTO keys.{name} VALUES ({v}, {value}, repeat(md5('{name}{v}'), 100));")
    return "\n".join(statements)


@pytest.fixture(scope="module")
def pipeline(millrace):
    millrace.create_database("source", NAME)
    millrace.create_database("destination", NAME)
    millrace.sql("destination", NAME, TABLES.split("CREATE COLLATION")[0] + TABLES[TABLES.index("CREATE TYPE"):])
    millrace.sql("source", NAME, TABLES + BEFORE + "\n".join(f"ALTER TABLE {t} ALTER big SET STORAGE EXTERNAL;" for t in TOASTED))
    millrace.sql("source", NAME, ROWS + key_tables())
    file = millrace.folder / "shapes.duckdb"
    millrace.replicate(NAME, millrace.url("source", NAME), millrace.url("destination", NAME))
    millrace.replicate(NAME + "-duck", millrace.url("source", NAME), f"duckdb://{file}")
    return file


def tables(millrace, database=NAME, places=PLACES):
    """(schema, table) → its columns that are replicated, as (name, type)."""
    rows = millrace.sql("source", database, f"""
        SELECT n.nspname, c.relname, a.attname, format_type(a.atttypid, NULL) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
        WHERE n.nspname IN {places} AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1, 2, a.attnum""")
    found = {}
    for schema, table, column, kind in rows:
        found.setdefault((schema, table), []).append((column, kind))
    return found


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


def in_postgres(millrace, server, database, schema, table, columns):
    only = "ONLY" if millrace.sql("source", database, "SELECT relkind = 'r' FROM pg_class WHERE oid = %s::regclass", (f"{quoted(schema)}.{quoted(table)}",))[0][0] else ""
    names = ", ".join(quoted(c) for c, _ in columns)
    return millrace.rows(server, database, f"SELECT {names} FROM {only} {quoted(schema)}.{quoted(table)}")


# As DuckDB writes what is the same in PostgreSQL (docs/types.md).
DUCKDB_TEXT = {
    "boolean": "CASE WHEN {c} THEN 'true' WHEN NOT {c} THEN 'false' END",
    "double precision": "CASE WHEN {c}::text = '-0' THEN '-0.0' WHEN {c} = 'NaN' THEN 'nan' WHEN {c} = 'Infinity' THEN 'inf' WHEN {c} = trunc({c}) THEN {c}::text || '.0' ELSE {c}::text END",
    "real": "CASE WHEN {c} = 'Infinity' THEN 'inf' ELSE {c}::text END",
    "date": "regexp_replace({c}::text, ' BC$', ' (BC)')",
    "timestamp with time zone": "regexp_replace({c}::text, '^(\\S+) (.*) BC$', '\\1 (BC) \\2')",
    "interval": "regexp_replace(regexp_replace({c}::text, '\\mmon', 'month', 'g'), '\\+', '', 'g')",
}


def in_duckdb(millrace, file, database, schema, table, columns):
    """Rows of the source as DuckDB would write them, and those of the file."""
    wanted = ", ".join(DUCKDB_TEXT.get(kind, "{c}").format(c=quoted(c)) for c, kind in columns)
    only = "ONLY" if millrace.sql("source", database, "SELECT relkind = 'r' FROM pg_class WHERE oid = %s::regclass", (f"{quoted(schema)}.{quoted(table)}",))[0][0] else ""
    source = millrace.rows("source", database, f"SELECT {wanted} FROM {only} {quoted(schema)}.{quoted(table)}")
    held = ", ".join(f"'\\x' || lower(hex({quoted(c)}))" if kind == "bytea" else f"CAST({quoted(c)} AS VARCHAR)" for c, kind in columns)
    return source, millrace.duckdb_rows(file, f"SELECT {held} FROM {quoted(schema)}.{quoted(table)}")


def check(millrace, file, *wanted):
    """Waits for both pipelines and compares the tables of these names (default: all)."""
    millrace.wait(NAME)
    millrace.wait(NAME + "-duck")
    compared = 0
    for (schema, table), columns in tables(millrace).items():
        if wanted and table not in wanted and schema not in wanted:
            continue
        source = in_postgres(millrace, "source", NAME, schema, table, columns)
        assert in_postgres(millrace, "destination", NAME, schema, table, columns) == source, f"{schema}.{table} in PostgreSQL"
        source, duckdb = in_duckdb(millrace, file, NAME, schema, table, columns)
        assert duckdb == source, f"{schema}.{table} in DuckDB"
        compared += 1
    assert compared >= max(1, len(wanted))
    assert millrace.sql("destination", NAME, "SELECT table_name, column_name, reason FROM _millrace.dead_letters") == []
    assert millrace.duckdb_rows(file, "SELECT table_name, column_name, reason FROM _millrace.dead_letters") == []


def test_every_shape_is_copied(millrace, pipeline):
    check(millrace, pipeline)
    for name in (NAME, NAME + "-duck"):
        appended = {t["table"] for t in millrace.status(name)["tables"] if t["append_only"]}
        assert appended == {"no_key", "unused_index", "nothing", "fully_no_key", "late_key", "computed_key", "lines"}, appended


@pytest.mark.parametrize("table, key", [
    ("plain", "id = {n}"), ("fully", "id = {n}"), ("by_index", "code = 'c{n}'"), ("beside_pk", "code = 'c{n}'"), ("covering", "id = {n}"),
    ("composite", "v = 'v{n}'"), ("parts", "id = {n}"), ("parts_full", "id = {n} * 4"), ("parts_index", "code = 'c{n}'"), ("computed", "a = {n}"),
])
def test_changes_under_every_identity(millrace, pipeline, table, key):
    """Large values are left alone, changed, made NULL; rows are deleted and made again; few at a time and many."""
    def where(n):
        return "WHERE " + key.format(n=n)
    columns = ", ".join(c for c, _ in tables(millrace)[("public", table)] if c not in ("by_default",) and not (table == "computed" and c == "id"))
    millrace.sql("source", NAME, f"UPDATE {table} SET v = v || ' again' {where(1)}; UPDATE {table} SET big = 'small' {where(2)}; UPDATE {table} SET big = NULL, v = NULL {where(3)}")
    millrace.sql("source", NAME, f"DELETE FROM {table} {where(4)}")
    millrace.sql("source", NAME, f"""BEGIN; CREATE TEMPORARY TABLE kept ON COMMIT DROP AS SELECT {columns} FROM {table} {where(5)}; DELETE FROM {table} {where(5)};
        INSERT INTO {table} ({columns}) SELECT * FROM kept; UPDATE {table} SET v = 'reborn' {where(5)}; COMMIT""")
    check(millrace, pipeline, table)
    # Enough rows for the way of large batches.
    millrace.sql("source", NAME, f"UPDATE {table} SET v = coalesce(v, '') || '!'")
    check(millrace, pipeline, table)


def test_key_columns_change_under_an_index_identity(millrace, pipeline):
    millrace.sql("source", NAME, """
        UPDATE by_index SET code = 'moved ' || code WHERE id IN (11, 12);
        UPDATE beside_pk SET id = id + 1000 WHERE code IN ('c11', 'c12');
        UPDATE beside_pk SET code = 'moved ' || code WHERE id IN (13, 14);
        UPDATE beside_pk SET id = id + 1000, code = 'both ' || code WHERE id IN (15, 16);
        UPDATE covering SET extra = 'other' WHERE id = 11; UPDATE covering SET id = id + 1000, extra = 'moved' WHERE id = 12;
        UPDATE composite SET b = 'moved' WHERE v LIKE 'v11%'; UPDATE composite SET a = a + 10, c = md5('other')::uuid WHERE v LIKE 'v12%';
        UPDATE parts_index SET code = 'moved ' || code WHERE id IN (11, 12); UPDATE parts_index SET id = id + 1000 WHERE id IN (13, 14);
    """)
    check(millrace, pipeline, "by_index", "beside_pk", "covering", "composite", "parts_index")


def test_swaps_chains_and_returns_of_keys_in_one_transaction(millrace, pipeline):
    for table in ("plain", "fully", "chain"):
        millrace.sql("source", NAME, f"""BEGIN;
            UPDATE {table} SET id = -1 WHERE id = 21; UPDATE {table} SET id = 21 WHERE id = 22; UPDATE {table} SET id = 22, v = 'swapped' WHERE id = -1;
            COMMIT""")
        millrace.sql("source", NAME, f"""BEGIN;
            DELETE FROM {table} WHERE id = 30; UPDATE {table} SET id = 30 WHERE id = 29; UPDATE {table} SET id = 29 WHERE id = 28; UPDATE {table} SET id = 28 WHERE id = 27;
            COMMIT""")
        millrace.sql("source", NAME, f"BEGIN; UPDATE {table} SET id = 500 WHERE id = 31; UPDATE {table} SET id = 501 WHERE id = 500; UPDATE {table} SET id = 31, v = 'home' WHERE id = 501; COMMIT")
        millrace.sql("source", NAME, f"BEGIN; INSERT INTO {table} VALUES (600, 'new', repeat('n', 9000)); UPDATE {table} SET id = 601 WHERE id = 600; DELETE FROM {table} WHERE id = 32; "
                                     f"INSERT INTO {table} VALUES (32, 'other', 'short'); UPDATE {table} SET id = 602 WHERE id = 33; INSERT INTO {table} VALUES (33, 'in its place', NULL); COMMIT")
        millrace.sql("source", NAME, f"BEGIN; SAVEPOINT a; UPDATE {table} SET id = 700 WHERE id = 34; ROLLBACK TO a; UPDATE {table} SET id = 701 WHERE id = 35; RELEASE a; COMMIT")
    # Many of them in one transaction: every key moves up by one.
    millrace.sql("source", NAME, "DO $$ BEGIN FOR i IN REVERSE 2000..-10 LOOP UPDATE chain SET id = id + 1 WHERE id = i; END LOOP; END $$")
    check(millrace, pipeline, "plain", "fully", "chain")


def test_deferred_constraints(millrace, pipeline):
    """Uniqueness that holds only at COMMIT: of a column that is no key, and of a key (such a table is appended)."""
    millrace.sql("source", NAME, "BEGIN; UPDATE late_unique SET place = place + 1; UPDATE late_unique SET place = 1 WHERE place = 11; COMMIT")
    millrace.sql("source", NAME, "INSERT INTO late_key VALUES (11, 'v11'); UPDATE late_unique SET id = id + 100 WHERE id < 4")
    check(millrace, pipeline, "late_unique", "late_key")


@pytest.mark.parametrize("name", KEY_TYPES)
def test_keys_of_every_type(millrace, pipeline, name):
    kind = KEY_TYPES[name][0].split(" COLLATE")[0]
    first, second, third, equal = (value and f"CAST({value} AS {kind})" for value in KEY_TYPES[name][1:])
    table = f"keys.{name}"
    millrace.sql("source", NAME, f"UPDATE {table} SET v = v + 10 WHERE v < 10; UPDATE {table} SET big = 'short' WHERE v = 12")
    if equal:
        # The same key, written differently, with its large value left alone.
        millrace.sql("source", NAME, f"UPDATE {table} SET k = {equal} WHERE k = {first}")
        check(millrace, pipeline, name)
        millrace.sql("source", NAME, f"BEGIN; UPDATE {table} SET k = {first} WHERE v = 11; UPDATE {table} SET k = {equal}, v = 21 WHERE v = 11; COMMIT")
        millrace.sql("source", NAME, f"BEGIN; DELETE FROM {table} WHERE v = 21; INSERT INTO {table} VALUES (11, {first}, 'again'); COMMIT")
        check(millrace, pipeline, name)
    if third:
        # A swap over a free key.
        millrace.sql("source", NAME, f"""BEGIN; DELETE FROM {table} WHERE v = 13; UPDATE {table} SET k = {third} WHERE v = 11; UPDATE {table} SET k = {first} WHERE v = 12;
            UPDATE {table} SET k = {second} WHERE v = 11; INSERT INTO {table} VALUES (13, {third}, repeat(md5('again'), 200)); COMMIT""")
    millrace.sql("source", NAME, f"DELETE FROM {table} WHERE k = {second}; INSERT INTO {table} VALUES (14, {second}, 'back')")
    check(millrace, pipeline, name)


def test_keys_that_are_stored_out_of_line(millrace, pipeline):
    stored = millrace.sql("source", NAME, "SELECT min(pg_column_size(k)) FROM long_key")[0][0]
    assert stored > 2000
    millrace.sql("source", NAME, "UPDATE long_key SET v = 'again'; UPDATE long_key SET k = 'x' || substr(k, 2) WHERE big = repeat(md5('2'), 5); DELETE FROM long_key WHERE big = repeat(md5('3'), 5)")
    check(millrace, pipeline, "long_key")


def test_partitions(millrace, pipeline):
    millrace.sql("source", NAME, """
        UPDATE parts SET day = day + 200 WHERE id IN (6, 7); UPDATE parts SET day = '2026-12-31', region = 'us' WHERE id = 39; UPDATE parts SET region = 'uk' WHERE id = 38;
        CREATE TABLE parts_3 PARTITION OF parts FOR VALUES FROM ('2027-01-01') TO ('2028-01-01'); ALTER TABLE parts_3 ALTER big SET STORAGE EXTERNAL;
        INSERT INTO parts SELECT g, '2027-01-01'::date + g, 'eu', 'late', repeat(md5(g::text), 200) FROM generate_series(1, 9) g;
        UPDATE parts SET v = 'moved back', day = '2026-01-05' WHERE v = 'late' AND id = 3; UPDATE parts SET v = 'same place' WHERE v = 'late' AND id = 4;
        CREATE TABLE parts_full_3 PARTITION OF parts_full FOR VALUES FROM (200) TO (300); ALTER TABLE parts_full_3 ALTER big SET STORAGE EXTERNAL;
        INSERT INTO parts_full VALUES (201, 'third', repeat('t', 9000)), (202, 'third', repeat('u', 9000));
        UPDATE parts_full SET v = 'third again' WHERE id = 201; UPDATE parts_full SET id = id + 101 WHERE id IN (8, 12, 120);
    """)
    check(millrace, pipeline, "parts", "parts_full")
    millrace.sql("source", NAME, "UPDATE parts_full SET id = id + 50 WHERE id = 201; DELETE FROM parts_full WHERE id = 202; UPDATE parts_full SET v = v || '?'; DELETE FROM parts WHERE id = 5")
    check(millrace, pipeline, "parts", "parts_full")
    millrace.sql("source", NAME, "TRUNCATE parts; INSERT INTO parts VALUES (1, '2027-01-01', 'eu', 'after', 'x')")
    check(millrace, pipeline, "parts")


def test_attached_and_detached_partitions_come_with_a_resync(millrace, pipeline):
    """PostgreSQL tells nobody of them; changes of such rows still arrive."""
    millrace.sql("source", NAME, """
        CREATE TABLE parts_4 (LIKE parts INCLUDING ALL); INSERT INTO parts_4 SELECT g, '2028-01-01', 'eu', 'attached', 'x' FROM generate_series(1, 3) g;
        ALTER TABLE parts ATTACH PARTITION parts_4 FOR VALUES FROM ('2028-01-01') TO ('2029-01-01'); ALTER TABLE parts DETACH PARTITION parts_3""")
    millrace.sql("source", NAME, "UPDATE parts SET v = 'changed' WHERE day = '2028-01-01' AND id = 2; DROP TABLE parts_3")
    for name in (NAME, NAME + "-duck"):
        millrace.cli("table", "resync", name, "public.parts")
    want = len(millrace.rows("source", NAME, "SELECT id FROM parts"))
    eventually(lambda: len(millrace.rows("destination", NAME, "SELECT id FROM parts")) == want, 60, "the new copy")
    eventually(lambda: len(millrace.duckdb_rows(pipeline, "SELECT id FROM public.parts")) == want, 60, "the new copy in DuckDB")
    check(millrace, pipeline, "parts")


def test_inheritance(millrace, pipeline):
    millrace.sql("source", NAME, "UPDATE animals SET v = v || ' of all' WHERE id IN (2, 4, 8); DELETE FROM ONLY animals WHERE id = 5; INSERT INTO animals VALUES (9, 'nine'); UPDATE dogs SET id = 20 WHERE id = 6")
    check(millrace, pipeline, "animals", "dogs")
    millrace.sql("source", NAME, "TRUNCATE ONLY animals")
    check(millrace, pipeline, "animals", "dogs")
    millrace.sql("source", NAME, "INSERT INTO animals VALUES (1, 'one'); TRUNCATE animals; INSERT INTO dogs VALUES (1, 'one', 'after')")
    check(millrace, pipeline, "animals", "dogs")


def test_generated_columns_are_left_out_and_identity_columns_are_values(millrace, pipeline):
    millrace.sql("source", NAME, "INSERT INTO computed (a, v, big) VALUES (100, 'late', 'x'); UPDATE computed SET a = a + 1 WHERE id = 7; INSERT INTO computed_key (id, v) VALUES (3, 'three')")
    check(millrace, pipeline, "computed", "computed_key")
    columns = millrace.sql("destination", NAME, "SELECT string_agg(attname, ',' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'computed'::regclass AND attnum > 0")
    assert columns == [("id,a,v,big,by_default",)]
    # One that is made at the destination computes there.
    millrace.sql("destination", NAME, "ALTER TABLE computed ADD COLUMN g1 int GENERATED ALWAYS AS (a * 2) STORED")
    millrace.sql("source", NAME, "INSERT INTO computed (a, v, big) VALUES (200, 'later', 'x'); UPDATE computed SET a = a + 1")
    check(millrace, pipeline, "computed")
    assert millrace.rows("destination", NAME, "SELECT id, g1 FROM computed") == millrace.rows("source", NAME, "SELECT id, g1 FROM computed")


def test_truncates(millrace, pipeline):
    millrace.sql("source", NAME, "BEGIN; INSERT INTO lines VALUES (1, 'before'); TRUNCATE lines, no_key; INSERT INTO no_key VALUES (1, 'after'); INSERT INTO lines VALUES (2, 'after'); COMMIT")
    check(millrace, pipeline, "lines", "no_key")
    millrace.sql("source", NAME, "TRUNCATE customers RESTART IDENTITY CASCADE; INSERT INTO customers (v) VALUES ('first again'); INSERT INTO invoices (customer, v) VALUES (1, 'again')")
    check(millrace, pipeline, "customers", "invoices", "lines")
    assert millrace.sql("destination", NAME, "SELECT id FROM customers") == [(1,)]
    millrace.sql("source", NAME, "BEGIN; TRUNCATE customers CASCADE; ROLLBACK; BEGIN; SAVEPOINT a; TRUNCATE plain; ROLLBACK TO a; UPDATE plain SET v = 'kept' WHERE id = 1; COMMIT")
    check(millrace, pipeline, "customers", "invoices", "plain")


def test_values(millrace, pipeline):
    millrace.sql("source", NAME, "UPDATE texts SET v = CASE WHEN v IS NULL THEN '' END WHERE id IN (1, 2); UPDATE texts SET v = v || v WHERE id = 5; UPDATE texts SET id = 6 WHERE id = 5")
    check(millrace, pipeline, "texts")


def test_a_table_without_columns_begins_with_its_first_one(millrace, pipeline):
    assert not any(t["table"] in ("no_columns", "only_computed") for t in millrace.status(NAME)["tables"])
    millrace.sql("source", NAME, "ALTER TABLE no_columns ADD COLUMN id int PRIMARY KEY DEFAULT 7")
    for name in (NAME, NAME + "-duck"):
        eventually(lambda: any(t["table"] == "no_columns" and t["state"] == "live" for t in millrace.status(name)["tables"]), 60, "no_columns is live")
    check(millrace, pipeline, "no_columns")


def test_nothing_is_held(millrace, pipeline):
    check(millrace, pipeline)
    for name in (NAME, NAME + "-duck"):
        assert {t["state"] for t in millrace.status(name)["tables"]} == {"live"}


# A unique index chosen as key ----------------------------------------------------------------------------------------

def test_a_unique_index_chosen_as_key(millrace):
    millrace.create_database("source", "chosen")
    millrace.create_database("destination", "chosen")
    millrace.sql("source", "chosen", """
        CREATE TABLE t (id int PRIMARY KEY, region text NOT NULL, code text NOT NULL, v text, big text);
        ALTER TABLE t ALTER big SET STORAGE EXTERNAL;
        CREATE UNIQUE INDEX t_code ON t (region, code);
        INSERT INTO t SELECT g, 'r' || g % 3, 'c' || g, 'v', repeat(md5(g::text), 200) FROM generate_series(1, 20) g""")
    source, destination = millrace.url("source", "chosen"), millrace.url("destination", "chosen")
    done = millrace.replicate("chosen", source, destination, "--key", "public.t=t_code", check=False)
    assert done.returncode == 1
    assert "ALTER TABLE public.t REPLICA IDENTITY USING INDEX t_code;" in done.stdout + done.stderr
    millrace.sql("source", "chosen", "ALTER TABLE t REPLICA IDENTITY FULL")
    millrace.replicate("chosen", source, destination, "--key", "public.t=t_code")
    key = "SELECT string_agg(a.attname, ',' ORDER BY a.attnum) FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey) WHERE i.indrelid = 't'::regclass AND i.indisprimary"
    assert millrace.sql("destination", "chosen", key) == [("region,code",)]
    millrace.sql("source", "chosen", "UPDATE t SET id = id + 100 WHERE id < 5; UPDATE t SET code = 'moved ' || code WHERE id IN (10, 11); BEGIN; UPDATE t SET code = 'free' WHERE id = 12; "
                                     "UPDATE t SET region = 'r0', code = 'c12' WHERE id = 13; UPDATE t SET region = 'r1', code = 'c13' WHERE id = 12; COMMIT; DELETE FROM t WHERE id = 14")
    millrace.wait("chosen")
    assert millrace.rows("destination", "chosen", "SELECT * FROM t") == millrace.rows("source", "chosen", "SELECT * FROM t")
    # The same as a file; an index that is the replica identity needs no choice, but may be chosen.
    millrace.sql("source", "chosen", "ALTER TABLE t REPLICA IDENTITY USING INDEX t_code")
    file = millrace.folder / "chosen.yaml"
    text = f"""name: chosen-file
source: {{url: {source}}}
destination: {{url: "duckdb://{millrace.folder}/chosen.duckdb"}}
keys: {{public.t: t_code}}
"""
    file.write_text(text)
    millrace.cli("apply", "-f", file)
    millrace.wait("chosen-file")
    millrace.sql("source", "chosen", "UPDATE t SET id = id + 1000 WHERE id < 9; UPDATE t SET code = 'again' WHERE id = 15")
    millrace.wait("chosen-file")
    assert millrace.duckdb_rows(millrace.folder / "chosen.duckdb", "SELECT * FROM public.t") == millrace.rows("source", "chosen", "SELECT * FROM t")
    file.write_text(text.replace("t_code", "no_such"))
    print(millrace.cli("apply", "-f", file, "--dry-run").stdout)


# Names ---------------------------------------------------------------------------------------------------------------

LONG = "ü" * 31 + "x"
NAMES = [
    ("public", "user"), ("public", "order"), ("public", "table with  spaces "), ("public", 'quote"s'), ("public", "it's"), ("public", "back\\slash"), ("public", "star*?"),
    ("public", "percent%s"), ("public", "new\nline"), ("public", "tab\t"), ("public", "🦆"), ("public", "."), ("public", ".."), ("public", "..a"), ("public", "__control"), ("public", "_"),
    ("public", "_h0123456789abcdef"), ("public", "a,b"), ("public", "a\x1fb"), ("public", "1"), ("public", "x" * 63), ("public", LONG), (LONG, LONG), (LONG, "plain"), ("x" * 63, "y" * 63),
    ("Sales", "EU.Orders"), ("Sales.EU", "Orders"), ("select", "from"), ("Ä b", "C d"), ("_", "_"), ("information", "schema"), ("$", "#"),
]
COLUMNS = ["Id", "select", "a.b", "with space", 'quo"te', "it's", "ü🦆", "x" * 63, "back\\slash", "n", "gone", "c0", "k0", "a\x1fb", "tab\t", "?column?", "_millrace"]


@pytest.fixture(scope="module")
def names(millrace):
    millrace.create_database("source", "names")
    millrace.create_database("destination", "names")
    columns = ", ".join(f"{quoted(c)} text" for c in COLUMNS)
    for number, (schema, table) in enumerate(NAMES):
        name = f"{quoted(schema)}.{quoted(table)}"
        millrace.sql("source", "names", f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)}; CREATE TABLE {name} ({columns}, PRIMARY KEY ({quoted('Id')}, {quoted('a.b')}))")
        millrace.sql("source", "names", f"INSERT INTO {name} SELECT " + ", ".join(f"'{number} {i} ' || g" for i in range(len(COLUMNS))) + " FROM generate_series(1, 3) g")
    millrace.sql("source", "names", """CREATE TABLE "Case" (id int PRIMARY KEY, "A" text, a text, a_2 text, "ID_" text); INSERT INTO "Case" VALUES (1, 'upper', 'lower', 'other', 'x');
        CREATE TABLE "case" (id int PRIMARY KEY, v text); INSERT INTO "case" VALUES (7, 'lower')""")
    file = millrace.folder / "names.duckdb"
    millrace.replicate("names", millrace.url("source", "names"), millrace.url("destination", "names"))
    return file


def check_names(millrace, compare):
    for schema, table in NAMES:
        compare(schema, table, [(c, "text") for c in COLUMNS])


def change_names(millrace, text):
    for schema, table in NAMES:
        name = f"{quoted(schema)}.{quoted(table)}"
        millrace.sql("source", "names", f"UPDATE {name} SET {quoted('n')} = '{text}', {quoted('a.b')} = '{text}' WHERE {quoted('Id')} LIKE '%% 1'".replace("%%", "%"))


def test_names_of_every_kind_in_postgres(millrace, names):
    def compare(schema, table, columns):
        assert in_postgres(millrace, "destination", "names", schema, table, columns) == in_postgres(millrace, "source", "names", schema, table, columns), (schema, table)
    check_names(millrace, compare)
    change_names(millrace, "changed")
    millrace.sql("source", "names", "UPDATE \"Case\" SET a = 'changed'; UPDATE \"case\" SET v = 'changed'")
    millrace.wait("names")
    check_names(millrace, compare)
    assert millrace.sql("destination", "names", 'SELECT * FROM "Case"') == [(1, "upper", "changed", "other", "x")]
    assert millrace.sql("destination", "names", 'SELECT * FROM "case"') == [(7, "changed")]
    listed = {(t["schema"], t["table"]) for t in millrace.status("names")["tables"]}
    assert listed == set(NAMES) | {("public", "Case"), ("public", "case")}


def test_verbs_find_tables_whose_names_hold_dots(millrace, names):
    state = lambda schema, table: next(t["state"] for t in millrace.status("names")["tables"] if (t["schema"], t["table"]) == (schema, table))  # noqa: E731
    done = millrace.cli("table", "pause", "names", "Sales.EU.Orders", check=False)
    assert done.returncode == 1 and "several tables" in done.stderr
    millrace.cli("table", "pause", "names", '"Sales.EU"."Orders"')
    eventually(lambda: state("Sales.EU", "Orders") == "paused", 30, "paused")
    assert state("Sales", "EU.Orders") == "live"
    millrace.cli("table", "resume", "names", '"Sales.EU"."Orders"')
    eventually(lambda: state("Sales.EU", "Orders") == "live", 30, "live")
    millrace.cli("table", "pause", "names", "public...")
    eventually(lambda: state("public", "..") == "paused", 30, "paused")
    millrace.cli("table", "resume", "names", "public...")


def test_names_of_every_kind_in_duckdb(millrace, names):
    """DuckDB ignores case: two tables of one name are refused, never put into one."""
    source, file = millrace.url("source", "names"), f"duckdb://{names}"
    done = millrace.replicate("names-duck", source, file, check=False)
    assert done.returncode == 1 and "ignores case" in done.stdout + done.stderr
    millrace.replicate("names-duck", source, file, "--exclude", "public.case")

    def compare(schema, table, columns):
        wanted, held = in_duckdb(millrace, names, "names", schema, table, columns)
        assert held == wanted, (schema, table)
    check_names(millrace, compare)
    change_names(millrace, "again")
    millrace.sql("source", "names", "UPDATE \"Case\" SET a = 'low', \"A\" = 'UP' WHERE id = 1; INSERT INTO \"Case\" VALUES (2, 'U', 'l', 'o', 'x')")
    millrace.wait("names-duck")
    check_names(millrace, compare)
    assert millrace.duckdb_rows(names, 'SELECT * FROM public."Case"') == ["1\tUP\tlow\tother\tx", "2\tU\tl\to\tx"]


def test_a_table_that_duckdb_cannot_tell_from_another_is_held(millrace, names):
    millrace.sql("source", "names", 'CREATE TABLE "USER" (id int PRIMARY KEY); INSERT INTO "USER" VALUES (1)')
    found = eventually(lambda: next((t for t in millrace.status("names-duck")["tables"] if t["table"] == "USER" and t["state"] == "held"), None), 60, "USER is held")
    assert found["error_reason"] == "NAME_CLASH" and "ignores case" in found["error"]
    change_names(millrace, "third")
    eventually(lambda: millrace.duckdb_rows(names, 'SELECT count(*) FROM public."user" WHERE n = \'third\'') == ["1"], 30, "the other goes on")
    assert len(millrace.duckdb_rows(names, 'SELECT * FROM public."user"')) == 3


# Width ---------------------------------------------------------------------------------------------------------------

def test_sixteen_hundred_columns(millrace):
    """As many as PostgreSQL allows, with large values out of line; few rows at a time and many."""
    for server in ("source", "destination"):
        millrace.create_database(server, "wide")
    columns = [f"c{i} " + ("text" if i % 20 == 0 else "boolean" if i % 3 else "smallint") for i in range(1, 1600)]
    millrace.sql("source", "wide", f"CREATE TABLE wide (id int PRIMARY KEY, {', '.join(columns)})")
    millrace.sql("source", "wide", "; ".join(f"ALTER TABLE wide ALTER c{i} SET STORAGE EXTERNAL" for i in range(20, 1600, 20)))
    values = ", ".join(f"repeat(md5((g * 7 + {i})::text), 80)" if i % 20 == 0 else "NULL" if i % 7 == 0 else "g % 2 = 0" if i % 3 else str(i) for i in range(1, 1600))
    millrace.sql("source", "wide", f"INSERT INTO wide SELECT g, {values} FROM generate_series(1, 60) g")
    file = millrace.folder / "wide.duckdb"
    millrace.replicate("wide", millrace.url("source", "wide"), millrace.url("destination", "wide"))
    millrace.replicate("wide-duck", millrace.url("source", "wide"), f"duckdb://{file}")
    millrace.sql("source", "wide", "UPDATE wide SET c1 = NULL, c1599 = 1599, c1540 = 'short' WHERE id = 1; UPDATE wide SET id = 100 WHERE id = 2; DELETE FROM wide WHERE id = 3")
    millrace.sql("source", "wide", "UPDATE wide SET c3 = id, c20 = repeat('n', 3000)")
    for name in ("wide", "wide-duck"):
        millrace.wait(name)
    of_row = "SELECT id, md5(wide::text) FROM wide"
    assert millrace.rows("destination", "wide", of_row) == millrace.rows("source", "wide", of_row)
    some = "SELECT id, c3, c20, c1540, c1580, c1598, c1599 FROM public.wide"
    source = millrace.rows("source", "wide", "SELECT id, c3, c20, c1540, c1580, CASE WHEN c1598 THEN 'true' ELSE 'false' END, c1599 FROM wide")
    assert millrace.duckdb_rows(file, some) == source
