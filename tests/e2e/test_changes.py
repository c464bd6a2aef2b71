"""Every kind of change that PostgreSQL sends, seen at both destinations."""

import pytest

from harness import eventually

NAME = "changes"


@pytest.fixture(scope="module")
def pipeline(millrace):
    millrace.create_database("source", NAME)
    millrace.create_database("destination", NAME)
    millrace.sql("source", NAME, """
        CREATE TABLE kinds (id int PRIMARY KEY, name text, big text, amount numeric(12,3), at timestamptz, flag boolean, raw bytea, doc jsonb);
        ALTER TABLE kinds ALTER big SET STORAGE EXTERNAL;
        CREATE TABLE pair (a int, b text, v int, PRIMARY KEY (a, b));
        CREATE TABLE log (at timestamptz DEFAULT now(), line text);
        CREATE TABLE empty (id int PRIMARY KEY);
        CREATE SCHEMA "Odd ""Schema";
        CREATE TABLE "Odd ""Schema"."select" ("Key 1" int PRIMARY KEY, "order" text);
        CREATE TABLE parts (id int, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
        CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM ('2026-01-01') TO ('2026-07-01');
        CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM ('2026-07-01') TO ('2027-01-01');
        INSERT INTO kinds SELECT g, 'n' || g, repeat(md5(g::text), 300), g / 7.0, '2026-01-01 00:00:00+00', g % 2 = 0, decode(md5(g::text), 'hex'), '{"a": 1.10}' FROM generate_series(1, 20) g;
        INSERT INTO pair VALUES (1, 'x', 1), (1, 'y', 2), (2, 'x', 3);
        INSERT INTO log (line) VALUES ('before');
        INSERT INTO parts VALUES (1, '2026-02-02'), (2, '2026-08-08');
        INSERT INTO "Odd ""Schema"."select" VALUES (1, 'tab\tand \\ and "quote"');
    """)
    file = millrace.folder / "changes.duckdb"
    millrace.replicate(NAME, millrace.url("source", NAME), millrace.url("destination", NAME))
    millrace.replicate(NAME + "-duck", millrace.url("source", NAME), f"duckdb://{file}")
    return file


QUERIES = {
    "kinds": ("SELECT id, name, md5(big), amount, flag, md5(raw), doc::text FROM kinds",
              "SELECT id, name, md5(big), amount, flag, md5(raw), doc FROM public.kinds"),
    "pair": ("SELECT a, b, v FROM pair", "SELECT a, b, v FROM public.pair"),
    "log": ("SELECT line FROM log", "SELECT line FROM public.log"),
    "empty": ("SELECT id FROM empty", "SELECT id FROM public.empty"),
    "odd": ('SELECT * FROM "Odd ""Schema"."select"', 'SELECT * FROM "Odd ""Schema"."select"'),
    "parts": ("SELECT id, day FROM parts", "SELECT id, day FROM public.parts"),
}


def check(millrace, file):
    millrace.wait(NAME)
    millrace.wait(NAME + "-duck")
    for table, (postgres, duck) in QUERIES.items():
        source = millrace.rows("source", NAME, postgres)
        assert source == millrace.rows("destination", NAME, postgres), table
        assert len(source) == len(millrace.duckdb_rows(file, duck)), table


def test_first_copy(millrace, pipeline):
    check(millrace, pipeline)


def test_inserts_updates_deletes(millrace, pipeline):
    millrace.sql("source", NAME, "INSERT INTO kinds (id, name) VALUES (100, 'only a name'); UPDATE kinds SET amount = amount + 1 WHERE id < 5; DELETE FROM kinds WHERE id = 6")
    check(millrace, pipeline)
    assert millrace.duckdb_rows(pipeline, "SELECT amount FROM public.kinds WHERE id = 1") == ["1.143"]


def test_unchanged_toast_survives(millrace, pipeline):
    millrace.sql("source", NAME, "UPDATE kinds SET name = 'again' WHERE id = 7")
    check(millrace, pipeline)
    want = millrace.sql("source", NAME, "SELECT md5(big) FROM kinds WHERE id = 7")[0][0]
    assert millrace.duckdb_rows(pipeline, "SELECT md5(big) FROM public.kinds WHERE id = 7") == [want]


def test_key_moves_keep_unchanged_toast(millrace, pipeline):
    millrace.sql("source", NAME, "UPDATE kinds SET id = 208 WHERE id = 8; BEGIN; UPDATE pair SET a = 9 WHERE a = 1 AND b = 'x'; UPDATE pair SET a = 1, b = 'x' WHERE a = 2; COMMIT")
    check(millrace, pipeline)
    want = millrace.sql("source", NAME, "SELECT md5(big) FROM kinds WHERE id = 208")[0][0]
    assert millrace.duckdb_rows(pipeline, "SELECT md5(big) FROM public.kinds WHERE id = 208") == [want]


def test_a_swap_of_keys_in_one_transaction(millrace, pipeline):
    millrace.sql("source", NAME, "BEGIN; UPDATE kinds SET id = -1 WHERE id = 9; UPDATE kinds SET id = 9 WHERE id = 10; UPDATE kinds SET id = 10 WHERE id = -1; COMMIT")
    check(millrace, pipeline)


def test_rollbacks_and_savepoints(millrace, pipeline):
    millrace.sql("source", NAME, "BEGIN; INSERT INTO pair VALUES (50, 'a', 1); SAVEPOINT s; INSERT INTO pair VALUES (51, 'a', 1); ROLLBACK TO s; INSERT INTO pair VALUES (52, 'a', 1); COMMIT")
    millrace.sql("source", NAME, "BEGIN; INSERT INTO pair VALUES (60, 'a', 1); ROLLBACK")
    check(millrace, pipeline)


def test_column_added(millrace, pipeline):
    millrace.sql("source", NAME, "ALTER TABLE pair ADD COLUMN extra int; INSERT INTO pair VALUES (70, 'a', 1, 42)")
    check(millrace, pipeline)
    assert millrace.sql("destination", NAME, "SELECT extra FROM pair WHERE a = 70") == [(42,)]
    assert millrace.duckdb_rows(pipeline, "SELECT extra FROM public.pair WHERE a = 70") == ["42"]


def test_truncate(millrace, pipeline):
    millrace.sql("source", NAME, "TRUNCATE pair, log; INSERT INTO pair VALUES (1, 'after', 1); INSERT INTO log (line) VALUES ('after')")
    check(millrace, pipeline)


def test_a_row_moves_between_partitions(millrace, pipeline):
    millrace.sql("source", NAME, "UPDATE parts SET day = '2026-09-09' WHERE id = 1; INSERT INTO parts VALUES (3, '2026-03-03')")
    check(millrace, pipeline)


def test_a_table_without_a_key_is_appended(millrace, pipeline):
    millrace.sql("source", NAME, "INSERT INTO log (line) SELECT 'line ' || g FROM generate_series(1, 1000) g; UPDATE log SET line = line WHERE false")
    check(millrace, pipeline)


def test_a_large_transaction(millrace, pipeline):
    millrace.sql("source", NAME, "INSERT INTO empty SELECT generate_series(1, 200000)")
    check(millrace, pipeline)
    millrace.sql("source", NAME, "DELETE FROM empty WHERE id % 3 = 0")
    check(millrace, pipeline)


def test_a_change_is_visible_within_a_second_in_duckdb(millrace, pipeline):
    import time
    worst = 0.0
    for n in range(5):
        began = time.monotonic()
        millrace.sql("source", NAME, f"UPDATE kinds SET name = 'tick {n}' WHERE id = 1")
        eventually(lambda: millrace.duckdb_rows(pipeline, "SELECT name FROM public.kinds WHERE id = 1") == [f"tick {n}"], 10, "visible")
        worst = max(worst, time.monotonic() - began)
    print(f"worst commit to visible in DuckDB: {worst:.3f} s")
