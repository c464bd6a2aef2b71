"""Values that the destination refused, applied again once it takes them: never an older one over a newer one."""

import re
import threading
import time

import pytest

from harness import eventually

# More than are replayed in one transaction.
ROWS = 1200


class Changes:
    """Gives rows other values until it is left; however long that takes, it leaves a third of them alone."""

    def __init__(self, millrace, database, values):
        self.connection = millrace.connect("source", database)
        self.values = values
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        n = 0
        with self.connection.cursor() as cursor:
            while not self.stop.is_set():
                n += 1
                cursor.execute("UPDATE t SET v = %s, note = %s WHERE id %% 97 = %s", (self.values[n % len(self.values)], f"round {n}", n % 60))
                if n % 5 == 0:
                    cursor.execute("UPDATE t SET id = id + 100000 WHERE id = %s", (n,))
                    cursor.execute("DELETE FROM t WHERE id = %s", (600 + n,))
                time.sleep(0.01)
        self.rounds = n

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()
        self.connection.close()


def dead_letters(millrace, name, count):
    """The status is reported now and then."""
    return eventually(lambda: next(t for t in millrace.status(name)["tables"] if t["table"] == "t")["dead_letters"] == count, 20, f"{count} dead letters")


def replay(millrace, name):
    """(applied, still refused), as the command tells."""
    told = millrace.cli("table", "replay-dead-letters", name, "public.t")
    numbers = re.findall(r"\d+", told.stdout + told.stderr)
    assert len(numbers) >= 2, told
    return int(numbers[0]), int(numbers[1])


def refused_at_first(millrace, name):
    """Nothing of the first copy fits, and a replay changes nothing of that."""
    millrace.wait(name)
    assert dead_letters(millrace, name, ROWS)
    assert replay(millrace, name) == (0, ROWS), "nothing was altered yet"


@pytest.fixture(scope="module")
def source(millrace):
    millrace.create_database("source", "replay")
    millrace.create_database("destination", "replay")
    millrace.sql("source", "replay", f"""
        CREATE TABLE only_here (x int);
        CREATE TABLE t (id int PRIMARY KEY, v regclass, note text);
        INSERT INTO t SELECT g, 'only_here', 'first' FROM generate_series(1, {ROWS}) g""")
    millrace.create_database("source", "replayduck")
    millrace.sql("source", "replayduck", f"""
        CREATE TABLE t (id int PRIMARY KEY, v numeric(10, 2), note text);
        INSERT INTO t SELECT g, 'NaN', 'first' FROM generate_series(1, {ROWS}) g""")


def test_into_postgres(millrace, source):
    name = "replay"
    millrace.replicate(name, millrace.url("source", name), millrace.url("destination", name), "--tables", "public.t")
    refused_at_first(millrace, name)
    millrace.sql("source", name, "UPDATE t SET v = 'pg_class' WHERE id = 1; DELETE FROM t WHERE id = 2; UPDATE t SET note = 'second' WHERE id = 3")
    millrace.wait(name)
    assert dead_letters(millrace, name, ROWS - 2)
    with Changes(millrace, name, ("only_here", "pg_class", "t", None)):
        time.sleep(1)
        millrace.sql("destination", name, "ALTER TABLE t ALTER v TYPE text")
        applied, refused = replay(millrace, name)
        assert applied > ROWS / 4 and refused == 0
        time.sleep(0.5)
        replay(millrace, name)
    millrace.wait(name)
    assert millrace.rows("destination", name, "SELECT id, replace(v, 'public.', ''), note FROM t") == millrace.rows("source", name, "SELECT id, v::text, note FROM t")
    assert dead_letters(millrace, name, 0)
    assert millrace.sql("destination", name, "SELECT count(*) FROM _millrace.dead_letters")[0][0] == 0


def test_into_duckdb(millrace, source):
    """DuckDB's DECIMAL has no NaN. The column is made text by the pipeline, because nobody else writes the file."""
    name = "replayduck"
    file = millrace.folder / "replay.duckdb"
    pipeline = millrace.folder / f"{name}.yaml"
    specification = (f"name: {name}\nsource:\n  url: {millrace.url('source', name)}\ndestination:\n  type: duckdb\n  options:\n    path: {file}\n"
                     "tables: ['public.t']\nrefused_values: {policy}\nstate: running\n")
    pipeline.write_text(specification.replace("{policy}", "dead-letter"))
    millrace.cli("apply", "-f", pipeline)
    refused_at_first(millrace, name)
    millrace.sql("source", name, "UPDATE t SET v = 1 WHERE id = 1; DELETE FROM t WHERE id = 2; UPDATE t SET note = 'second' WHERE id = 3")
    millrace.wait(name)
    assert dead_letters(millrace, name, ROWS - 2)
    pipeline.write_text(specification.replace("{policy}", "text"))
    millrace.cli("apply", "-f", pipeline)
    with Changes(millrace, name, ("NaN", 2, 3, None)):
        eventually(lambda: "VARCHAR" in str(millrace.duckdb_rows(file, "SELECT data_type FROM information_schema.columns WHERE table_name = 't' AND column_name = 'v'")), 30, "text")
        applied, refused = replay(millrace, name)
        assert applied > ROWS / 4 and refused == 0
        time.sleep(0.5)
    millrace.wait(name)
    there = millrace.duckdb_rows(file, "SELECT id, coalesce(v, 'null'), note FROM public.t")
    here = sorted("\t".join(row) for row in millrace.sql("source", name, "SELECT id::text, coalesce(v::text, 'null'), note FROM t"))
    as_number = [re.sub(r"\t(\d+)\.00\t", r"\t\1\t", row) for row in there]
    assert as_number == [re.sub(r"\t(\d+)\.00\t", r"\t\1\t", row) for row in here]
    assert dead_letters(millrace, name, 0)
