"""Tables that change their shape at the source while rows are written, seen at both destinations, row by row."""

import itertools
import json
import threading
import time

import psycopg2
import pytest

from harness import eventually

NAME = "shapes"
DUCK = NAME + "-duck"
ROWS = 2000


class Both:
    """One source database, replicated into PostgreSQL and into DuckDB."""

    def __init__(self, millrace):
        self.millrace = millrace
        self.file = millrace.folder / "shapes.duckdb"

    def source(self, statement):
        return self.millrace.sql("source", NAME, statement)

    def destination(self, statement):
        return self.millrace.sql("destination", NAME, statement)

    def caught_up(self):
        self.millrace.wait(NAME)
        self.millrace.wait(DUCK)

    def duck(self, query):
        return self.millrace.duckdb_rows(self.file, query)

    def same(self, table, columns, cast="::text"):
        """Equal in all columns and rows at both destinations. Columns come as text, so that all print alike."""
        self.caught_up()
        names = ", ".join(f"coalesce({c}{cast}, '<null>')" for c in columns)
        source = self.millrace.rows("source", NAME, f"SELECT {names} FROM {table}")
        assert self.millrace.rows("destination", NAME, f"SELECT {names} FROM {table}") == source, table
        ducks = self.duck(f"SELECT {names} FROM public.{table}")
        assert ducks == source, table
        return source

    def none(self, table, condition):
        """Neither destination holds such a row; each pipeline notices for itself what became of its tables."""
        count = f"SELECT count(*) FROM public.{table} WHERE {condition}"
        return self.destination(count) == [(0,)] and self.duck(count) == ["0"]

    def columns(self, table):
        """Names of the destinations' columns."""
        postgres = self.destination(f"SELECT attname FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY 1")
        duck = self.duck(f"SELECT column_name FROM duckdb_columns() WHERE table_name = '{table}'")
        assert sorted(c[0] for c in postgres) == sorted(duck)
        return sorted(duck)

    def postgres_type(self, table, column):
        return self.destination(f"SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attname = '{column}'")[0][0]

    def duck_type(self, table, column):
        return self.duck(f"SELECT data_type FROM duckdb_columns() WHERE table_name = '{table}' AND column_name = '{column}'")[0]

    def events(self, kind, table, pipeline=NAME):
        lines = self.millrace.cli("events", pipeline, "-o", "json").stdout.splitlines()
        return [e for e in map(json.loads, lines) if e["type"] == kind and e["table"] == table]

    def told(self, table, gone, come, seconds=15):
        """A schema change with `gone` among its columns before and not after, and `come` the other way round, was told of
        by both pipelines."""
        def find(pipeline):
            columns = [(set(e["before"].split(", ")), set(e["after"].split(", "))) for e in self.events("schema_changed", table, pipeline)]
            return [1 for before, after in columns if set(gone) <= before - after and set(come) <= after - before]
        for pipeline in (NAME, DUCK):
            eventually(lambda: find(pipeline), seconds, f"an event of {table}: {gone} -> {come}")

    def copies(self, table):
        """How often the table was copied anew by itself."""
        return len([e for e in self.events("table_resync", table) if e["worker"]])


class Writing:
    """Threads that insert, update and delete rows of a table (id, n, big, …) while its shape changes."""

    # Keys of no two of them meet.
    bases = itertools.count(1_000_000, 1_000_000)

    def __init__(self, both, table, threads=2):
        self.base = next(self.bases)
        self.both = both
        self.table = table
        self.stop = threading.Event()
        self.written = 0
        self.errors = []
        self.threads = [threading.Thread(target=self.run, args=(i,)) for i in range(threads)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        eventually(lambda: self.written > 50, 20, "writing")
        return self

    def __exit__(self, *_):
        seen = self.written
        try:
            eventually(lambda: self.written > seen + 100, 20, "writing goes on after the change")
        finally:
            self.stop.set()
            for thread in self.threads:
                thread.join()
        assert not self.errors, self.errors

    def run(self, thread):
        connection = self.both.millrace.connect("source", NAME)
        turn = 0
        try:
            with connection.cursor() as cursor:
                while not self.stop.is_set():
                    turn += 1
                    key = self.base + 100_000 * thread + turn
                    old = (turn * 13 + thread) % ROWS
                    cursor.execute(f"INSERT INTO {self.table} (id, n) VALUES ({key}, {turn}); UPDATE {self.table} SET n = n + 1 WHERE id = {old}; "
                                   f"DELETE FROM {self.table} WHERE id = {key - 7}")
                    self.written += 1
                    time.sleep(0.004)
        except psycopg2.Error as error:
            self.errors.append(error)
        finally:
            connection.close()


@pytest.fixture(scope="module")
def both(millrace):
    millrace.create_database("source", NAME)
    millrace.create_database("destination", NAME)
    one = Both(millrace)
    tables = ["filled", "volatile", "renamed", "dropped", "widened", "rewritten", "rekeyed", "keyless", "moods", "again", "gone"]
    for table in tables:
        one.source(f"""
            CREATE TABLE {table} (id int PRIMARY KEY, n int, a int, b text, big text);
            ALTER TABLE {table} ALTER big SET STORAGE EXTERNAL;
            INSERT INTO {table} SELECT g, g, g * 2, 'b' || g, repeat(md5(g::text), 100) FROM generate_series(0, {ROWS - 1}) g""")
    one.source("CREATE TYPE mood AS ENUM ('sad', 'ok'); ALTER TABLE moods ADD COLUMN m mood DEFAULT 'ok', ADD COLUMN ms mood[] DEFAULT '{sad,ok}'")
    one.source(f"""
        CREATE TABLE parts (id int, n int, a int, big text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
        CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (1000);
        CREATE TABLE parts_2 PARTITION OF parts DEFAULT;
        INSERT INTO parts SELECT g, g, g, md5(g::text) FROM generate_series(0, {ROWS - 1}) g""")
    millrace.replicate(NAME, millrace.url("source", NAME), millrace.url("destination", NAME))
    millrace.replicate(DUCK, millrace.url("source", NAME), f"duckdb://{one.file}")
    return one


ALL = ["id", "n", "a", "b", "md5(big)"]


def test_the_first_copy(both):
    for table in ("filled", "moods", "again"):
        assert len(both.same(table, ALL)) == ROWS
    assert both.postgres_type("moods", "m") == "mood" and both.postgres_type("moods", "ms") == "mood[]"
    assert both.duck_type("moods", "m") == "VARCHAR"


def test_added_columns_fill_the_rows_that_were_there(both):
    with Writing(both, "filled"):
        both.source("ALTER TABLE filled ADD COLUMN c int DEFAULT 7 NOT NULL, ADD COLUMN d text DEFAULT 'it''s \\ \"x\"', ADD COLUMN e int[] DEFAULT '{1,NULL,3}'")
        time.sleep(0.5)
        both.source("ALTER TABLE filled ADD COLUMN f numeric(8,3) DEFAULT 1.250; ALTER TABLE filled ALTER f DROP DEFAULT")
        both.source("ALTER TABLE filled ADD COLUMN g bytea DEFAULT '\\x00ff27', ADD COLUMN h timestamptz DEFAULT '2026-01-02 03:04:05+00', ADD COLUMN i bigint")
    rows = both.same("filled", ALL + ["c", "d", "e", "f", "i"])
    assert any(row.startswith("1999\t") and "it's" in row for row in rows)
    both.same("filled", ["id", "md5(g)"])
    assert both.duck("SELECT DISTINCT h = TIMESTAMPTZ '2026-01-02 03:04:05+00' FROM public.filled") == ["true"]
    assert both.destination("SELECT DISTINCT h = '2026-01-02 03:04:05+00' FROM filled") == [(True,)]
    assert both.copies("filled") == 0, both.events("table_resync", "filled")
    both.told("filled", [], ["c integer"])


def test_several_changes_before_any_is_read(both):
    both.millrace.kill("w1")
    write = "UPDATE filled SET n = n + 1 WHERE id % 50 = 3"
    for change in ("DROP COLUMN d", "ADD COLUMN d int DEFAULT 9", "RENAME c TO cc", "ALTER cc TYPE bigint USING cc + 1", "ADD COLUMN j text DEFAULT 'j'"):
        both.source(write)
        both.source(f"ALTER TABLE filled {change}")
    both.source(write)
    both.millrace.restart("w1")
    both.same("filled", ALL + ["cc", "d", "e", "f", "i", "j"])
    assert both.postgres_type("filled", "d") == "integer" and both.postgres_type("filled", "cc") == "bigint"


def test_a_column_added_to_a_partitioned_table_fills_too(both):
    both.source("ALTER TABLE parts ADD COLUMN c int DEFAULT 5; INSERT INTO parts VALUES (9000, 1, 1, 'x')")
    both.same("parts", ["id", "n", "a", "c"])
    assert both.copies("parts") == 0, both.events("table_resync", "parts")


def test_a_column_whose_rows_differ_is_copied(both):
    with Writing(both, "volatile"):
        both.source("ALTER TABLE volatile ADD COLUMN r double precision DEFAULT random()")
        time.sleep(1)
        both.source("ALTER TABLE volatile ADD COLUMN s serial, ADD COLUMN t int GENERATED ALWAYS AS IDENTITY")
    both.same("volatile", ALL + ["s", "t"])
    both.same("volatile", ["id", "(r * 1000000)::bigint"])
    assert both.copies("volatile") >= 1
    assert "rows" in both.events("table_resync", "volatile")[0]["message"]


def test_a_renamed_column_keeps_its_rows(both):
    with Writing(both, "renamed"):
        both.source("ALTER TABLE renamed RENAME a TO alpha")
        both.told("renamed", ["a integer"], ["alpha integer"])
        both.source("BEGIN; ALTER TABLE renamed RENAME alpha TO x; ALTER TABLE renamed RENAME b TO alpha; ALTER TABLE renamed RENAME x TO b; COMMIT")
        time.sleep(0.3)
        both.source('ALTER TABLE renamed RENAME big TO "Big One"; ALTER TABLE renamed RENAME n TO m; ALTER TABLE renamed RENAME m TO n')
    both.same("renamed", ["id", "n", "b", "alpha", 'md5("Big One")'])
    assert both.columns("renamed") == sorted(["id", "n", "alpha", "b", "Big One"])
    assert both.copies("renamed") == 0, both.events("table_resync", "renamed")


def test_names_survive_a_restart_of_the_worker(both):
    both.millrace.kill("w1")
    both.source("ALTER TABLE renamed RENAME b TO beta; UPDATE renamed SET n = n + 1 WHERE id < 10")
    both.millrace.restart("w1")
    both.same("renamed", ["id", "n", "beta", "alpha"])
    assert "b" not in both.columns("renamed")


def test_a_dropped_column_stays_until_its_drop_is_confirmed(both):
    with Writing(both, "dropped"):
        both.source("ALTER TABLE dropped DROP COLUMN a, DROP COLUMN b")
    both.same("dropped", ["id", "n", "md5(big)"])
    assert {"a", "b"} <= set(both.columns("dropped"))
    assert both.copies("dropped") == 0, both.events("table_resync", "dropped")
    assert both.destination("SELECT count(*) FROM dropped WHERE a IS NULL AND id < 2000")[0][0] < ROWS
    both.told("dropped", ["a integer", "b text"], [])
    refused = both.millrace.cli("table", "confirm-drop", NAME, "public.dropped", check=False)
    assert refused.returncode == 1 and "no drop is pending" in refused.stderr, "the policy is to keep"
    # A column that is made anew under a name that stands here, and one renamed to it.
    both.source("ALTER TABLE dropped ADD COLUMN a int DEFAULT 3; UPDATE dropped SET n = n + 1 WHERE id = 1")
    both.same("dropped", ["id", "n", "a"])


def test_a_drop_before_any_of_its_changes_is_read_copies_nothing(both):
    both.millrace.kill("w1")
    both.source("UPDATE gone SET n = n + 1 WHERE id % 50 = 3; ALTER TABLE gone DROP COLUMN a, DROP COLUMN big; UPDATE gone SET n = n + 1 WHERE id % 50 = 4")
    both.millrace.restart("w1")
    both.same("gone", ["id", "n", "b"])
    assert both.copies("gone") == 0, both.events("table_resync", "gone")
    assert both.destination("SELECT count(*) FROM gone WHERE a IS NOT NULL")[0][0] >= ROWS * 49 // 50


def test_drops_are_done_once_confirmed(both, tmp_path):
    m = both.millrace
    m.create_database("source", "drops")
    m.create_database("destination", "drops")
    m.sql("source", "drops", "CREATE TABLE t (id int PRIMARY KEY, a int, b int); INSERT INTO t VALUES (1, 1, 1)")
    file = tmp_path / "drops.yaml"
    file.write_text(f"name: drops\nsource:\n  url: {m.url('source', 'drops')}\ndestination:\n  url: {m.url('destination', 'drops')}\ndropped_columns: drop\n")
    m.cli("apply", "-f", file)
    m.wait("drops", "live")
    m.wait("drops")
    m.sql("source", "drops", "ALTER TABLE t DROP COLUMN a, DROP COLUMN b; INSERT INTO t VALUES (2)")
    m.wait("drops")

    def pending():
        tables = json.loads(m.cli("table", "list", "drops", "-o", "json").stdout)["tables"]
        return sorted(tables[0]["pending_drops"])

    def events(kind):
        lines = map(json.loads, m.cli("events", "drops", "-o", "json").stdout.splitlines())
        return [e for e in lines if e["type"] == kind]

    eventually(lambda: pending() == ["a", "b"], 20, "pending")
    assert m.sql("destination", "drops", "SELECT a FROM t ORDER BY id") == [(1,), (None,)]
    eventually(lambda: events("drop_pending"), 20, "told")
    assert m.cli("table", "confirm-drop", "drops", "public.t", "--columns", "id", check=False).returncode == 1
    m.cli("table", "confirm-drop", "drops", "public.t", "--columns", "a")
    eventually(lambda: pending() == ["b"], 20, "one is dropped")
    m.cli("table", "confirm-drop", "drops", "public.t")
    eventually(lambda: pending() == [], 20, "all are dropped")
    assert m.sql("destination", "drops", "SELECT * FROM t ORDER BY id") == [(1,), (2,)]
    eventually(lambda: len(events("columns_dropped")) == 2 and len(events("drop_confirmed")) == 2, 20, "told")
    m.sql("source", "drops", "INSERT INTO t VALUES (3)")
    m.wait("drops")
    assert m.sql("destination", "drops", "SELECT count(*) FROM t") == [(3,)]


def test_types_that_grow_without_writing_rows_are_altered(both):
    both.source("ALTER TABLE widened ADD COLUMN v varchar(5) DEFAULT 'abcde', ADD COLUMN p numeric(5,2) DEFAULT 1.25, ADD COLUMN t timestamp(0) DEFAULT '2026-01-01 00:00:00'; UPDATE widened SET n = 1 WHERE id = 1")
    both.same("widened", ALL + ["v", "p", "t"])
    with Writing(both, "widened"):
        both.source("ALTER TABLE widened ALTER v TYPE varchar(50), ALTER p TYPE numeric(12,2), ALTER t TYPE timestamp(6)")
        both.told("widened", ["v character varying(5)"], ["v character varying(50)"])
        both.source("ALTER TABLE widened ALTER v TYPE text; UPDATE widened SET v = repeat('x', 100) WHERE id = 5")
    both.same("widened", ALL + ["v", "p", "t"])
    assert both.postgres_type("widened", "v") == "text" and both.postgres_type("widened", "p") == "numeric(12,2)"
    assert both.copies("widened") == 0, both.events("table_resync", "widened")


def test_types_whose_rows_were_rewritten_are_copied(both):
    with Writing(both, "rewritten"):
        both.source("ALTER TABLE rewritten ALTER a TYPE bigint")
        time.sleep(1)
        both.source("ALTER TABLE rewritten ALTER a TYPE bigint USING a * 100")
        time.sleep(1)
        both.source("ALTER TABLE rewritten ALTER b TYPE date USING '2026-01-01'::date + id % 100")
    both.same("rewritten", ALL)
    assert both.copies("rewritten") >= 2
    assert both.postgres_type("rewritten", "b") == "date" and both.duck_type("rewritten", "b") == "DATE"
    both.told("rewritten", ["b text"], ["b date"])


def test_rewriting_for_room_is_no_change(both):
    copies = both.copies("widened")
    with Writing(both, "widened"):
        both.source("VACUUM FULL widened")
    both.source("TRUNCATE widened; INSERT INTO widened (id, n) SELECT g, g FROM generate_series(0, 99) g")
    both.same("widened", ALL)
    both.source("ALTER TABLE widened ADD COLUMN z int DEFAULT 1; UPDATE widened SET n = 0 WHERE id = 1")
    both.same("widened", ALL + ["z"])
    assert both.copies("widened") == copies, both.events("table_resync", "widened")


def test_rows_rewritten_without_a_write_are_copied_too(both):
    both.source("ALTER TABLE rewritten ALTER n TYPE bigint USING n + 1000")
    eventually(lambda: any("\"n\"" in e["message"] for e in both.events("table_resync", "rewritten")), 40, "noticed by itself")
    eventually(lambda: both.destination("SELECT min(n) >= 1000 FROM rewritten") == [(True,)], 40, "copied")
    both.same("rewritten", ALL)


def test_another_key(both):
    both.source("UPDATE rekeyed SET a = id + 500000")
    with Writing(both, "rekeyed"):
        # Its rows are told apart by id all the while; the new key is free of NULL by a default.
        both.source("CREATE SEQUENCE others START 1000000; ALTER TABLE rekeyed ALTER a SET DEFAULT nextval('others')")
        both.source("BEGIN; LOCK rekeyed; UPDATE rekeyed SET a = nextval('others') WHERE a IS NULL; ALTER TABLE rekeyed DROP CONSTRAINT rekeyed_pkey, ADD PRIMARY KEY (a); COMMIT")
        both.told("rekeyed", ["id integer key"], ["a integer key"])
        both.source("ALTER TABLE rekeyed ADD UNIQUE (id); ALTER TABLE rekeyed ALTER id SET NOT NULL; ALTER TABLE rekeyed REPLICA IDENTITY USING INDEX rekeyed_id_key")
        time.sleep(0.5)
        both.source("ALTER TABLE rekeyed REPLICA IDENTITY FULL")
    both.same("rekeyed", ALL)
    assert both.destination("SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey) WHERE i.indrelid = 'rekeyed'::regclass AND i.indisprimary") == [("a",)]


def test_a_key_that_goes_and_comes_back(both):
    both.source("ALTER TABLE keyless REPLICA IDENTITY FULL; UPDATE keyless SET n = n + 1 WHERE id < 5")
    both.same("keyless", ALL)
    # Under identity FULL updates go on without a primary key.
    both.source("ALTER TABLE keyless DROP CONSTRAINT keyless_pkey; UPDATE keyless SET n = n + 1 WHERE id < 100")
    eventually(lambda: both.copies("keyless") >= 1, 60, "copied as a table without a key")
    both.same("keyless", ALL)
    both.source("DELETE FROM keyless WHERE id > 1500; UPDATE keyless SET n = n + 1 WHERE id < 50; ALTER TABLE keyless ADD PRIMARY KEY (id)")
    both.source("UPDATE keyless SET n = n + 1 WHERE id < 10")
    eventually(lambda: both.copies("keyless") >= 2, 60, "copied with its key")
    with Writing(both, "keyless"):
        time.sleep(0.5)
    both.same("keyless", ALL)


def test_labels_are_added_to_the_destinations_type(both):
    with Writing(both, "moods"):
        both.source("ALTER TYPE mood ADD VALUE 'it''s great'; ALTER TYPE mood ADD VALUE 'awful' BEFORE 'sad'")
        both.source("UPDATE moods SET m = 'it''s great' WHERE id = 1; UPDATE moods SET ms = '{awful,\"it''s great\"}' WHERE id = 2")
    both.same("moods", ALL + ["m"])
    both.same("moods", ["id", "ms"])
    assert both.postgres_type("moods", "m") == "mood"
    assert both.destination("SELECT count(*) FROM _millrace.dead_letters") == [(0,)]
    told = eventually(lambda: [e for e in both.events("schema_changed", "moods") if "great" in e["after"]], 15, "told")
    assert "great" not in told[0]["before"]


def test_renamed_and_dropped_and_made_again(both):
    with Writing(both, "again"):
        both.source("ALTER TABLE again RENAME TO again_old; CREATE TABLE again (id int PRIMARY KEY, n int, other text DEFAULT 'new')")
    eventually(lambda: both.events("copy_finished", "again_old") and both.events("copy_finished", "again_old", DUCK), 60, "copied under its new name")
    both.same("again_old", ALL)
    eventually(lambda: both.none("again", "other IS DISTINCT FROM 'new'"), 60, "emptied and copied")
    both.same("again", ["id", "n", "other"])
    with Writing(both, "again"):
        both.source("DROP TABLE again; CREATE TABLE again (id int PRIMARY KEY, n bigint, other date DEFAULT '2026-05-05')")
    eventually(lambda: both.none("again", "other::text <> '2026-05-05'"), 60, "emptied and copied again")
    both.same("again", ["id", "n", "other"])
