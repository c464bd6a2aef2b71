"""One table that cannot be applied delays no other: poisoned, locked, and without privilege in turn.

The other tables get 500 events a second in all; a reader polls the destination and measures commit → visible.
"""

import collections
import threading
import time

import pytest

from harness import FULL, eventually

CALM = [f"calm_{n}" for n in range(1, 6)]
ROWS_A_TRANSACTION = 5
TRANSACTIONS_A_SECOND = 100
SECONDS = 60 if FULL else 8
LONGEST_P99 = 2.0
LONGEST_DELAY = 5.0


class Load:
    """Writes to the calm tables of the source and asks `newest` for the last row of each that is visible."""

    def __init__(self, millrace, database, newest, pause):
        self.millrace = millrace
        self.database = database
        self.newest = newest
        self.pause = pause
        self.last = dict.fromkeys(CALM, 0)

    def run(self, seconds):
        """Latencies of all transactions committed within `seconds`, in seconds, sorted."""
        self.waiting = {table: collections.deque() for table in CALM}
        self.latencies = []
        self.failure = None
        self.written = threading.Event()
        writers = [threading.Thread(target=self.guarded, args=(self.write, table, seconds)) for table in CALM]
        reader = threading.Thread(target=self.guarded, args=(self.read, seconds + 30))
        began = time.monotonic()
        for thread in (reader, *writers):
            thread.start()
        for thread in writers:
            thread.join()
        took = time.monotonic() - began
        self.written.set()
        reader.join()
        assert self.failure is None, self.failure
        left = {table: len(queue) for table, queue in self.waiting.items() if queue}
        assert not left, f"transactions that did not become visible within 30 s: {left}"
        self.rate = len(self.latencies) * ROWS_A_TRANSACTION / took
        return sorted(self.latencies)

    def guarded(self, work, *arguments):
        try:
            work(*arguments)
        except Exception as error:  # noqa: BLE001: told by run()
            self.failure = error

    def write(self, table, seconds):
        connection = self.millrace.connect("source", self.database)
        began = time.monotonic()
        rate = TRANSACTIONS_A_SECOND // len(CALM)
        with connection.cursor() as cursor:
            for n in range(seconds * rate):
                time.sleep(max(0, began + n / rate - time.monotonic()))
                first = self.last[table] + 1
                self.last[table] += ROWS_A_TRANSACTION
                cursor.execute(f"INSERT INTO {table} SELECT g, 'calm' FROM generate_series(%s, %s) g", (first, self.last[table]))
                self.waiting[table].append((self.last[table], time.monotonic()))
        connection.close()

    def read(self, seconds):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not (self.written.is_set() and not any(self.waiting.values())):
            newest = self.newest()
            now = time.monotonic()
            for table, queue in self.waiting.items():
                while queue and queue[0][0] <= newest[table]:
                    self.latencies.append(now - queue.popleft()[1])
            time.sleep(self.pause)


def judge(load, name):
    latencies = load.run(SECONDS)
    p99 = latencies[int(len(latencies) * 0.99)]
    print(f"{name}: {load.rate:.0f} events/s, commit to visible p50 {latencies[len(latencies) // 2]:.3f} s, p99 {p99:.3f} s, longest {latencies[-1]:.3f} s")
    assert load.rate > 0.8 * ROWS_A_TRANSACTION * TRANSACTIONS_A_SECOND
    assert p99 < LONGEST_P99
    assert latencies[-1] < LONGEST_DELAY


def make_source(millrace, database):
    millrace.create_database("source", database)
    for table in CALM:
        millrace.sql("source", database, f"CREATE TABLE {table} (id int PRIMARY KEY, note text)")
    millrace.sql("source", database, """
        CREATE TABLE victim (id int PRIMARY KEY, amount numeric(10, 2), note text);
        INSERT INTO victim SELECT g, g, 'first' FROM generate_series(1, 100) g;
    """)


def victim(millrace, name):
    return next(t for t in millrace.status(name)["tables"] if t["table"] == "victim")


def in_state(millrace, name, *states):
    return eventually(lambda: victim(millrace, name)["state"] in states and victim(millrace, name), 60, f"the table is {' or '.join(states)}")


class Postgres:
    """The pipeline into PostgreSQL, by a role that privileges can be taken from."""

    name = "isolated"

    def __init__(self, millrace):
        self.millrace = millrace
        make_source(millrace, self.name)
        millrace.create_database("destination", self.name)
        millrace.sql("destination", self.name, f"CREATE ROLE loader LOGIN PASSWORD '{millrace.password}'; GRANT CREATE ON DATABASE {self.name} TO loader; GRANT ALL ON SCHEMA public TO loader")
        millrace.replicate(self.name, millrace.url("source", self.name), millrace.url("destination", self.name, user="loader"))
        self.reading = millrace.connect("destination", self.name)
        self.load = Load(millrace, self.name, self.newest, 0.01)

    def newest(self):
        with self.reading.cursor() as cursor:
            cursor.execute("SELECT " + ", ".join(f"(SELECT max(id) FROM {table})" for table in CALM))
            return {table: last or 0 for table, last in zip(CALM, cursor.fetchone())}

    def change_victim(self, note):
        self.millrace.sql("source", self.name, f"UPDATE victim SET note = '{note}' WHERE id % 3 = 0")

    def mended(self):
        self.millrace.cli("table", "resume", self.name, "public.victim")
        self.millrace.wait(self.name)
        rows = "SELECT * FROM victim"
        assert self.millrace.rows("destination", self.name, rows) == self.millrace.rows("source", self.name, rows)


@pytest.fixture(scope="module")
def postgres(millrace):
    return Postgres(millrace)


def test_with_nothing_in_the_way(postgres):
    judge(postgres.load, "postgres, all well")


def test_a_poisoned_table(millrace, postgres):
    millrace.sql("destination", postgres.name, "ALTER TABLE victim ADD CONSTRAINT refusing CHECK (note <> 'poison')")
    postgres.change_victim("poison")
    judge(postgres.load, "postgres, poisoned")
    assert in_state(millrace, postgres.name, "held")["remedy"] is not None
    millrace.sql("destination", postgres.name, "ALTER TABLE victim DROP CONSTRAINT refusing")
    postgres.mended()


def test_a_locked_table(millrace, postgres):
    holder = millrace.connect("destination", postgres.name)
    holder.autocommit = False
    holder.cursor().execute("LOCK TABLE victim IN ACCESS EXCLUSIVE MODE")
    postgres.change_victim("locked")
    judge(postgres.load, "postgres, locked")
    assert in_state(millrace, postgres.name, "retrying")["error_reason"] == "TABLE_LOCKED"
    holder.rollback()
    holder.close()
    postgres.mended()


def test_a_table_without_privilege(millrace, postgres):
    millrace.sql("destination", postgres.name, "REVOKE ALL ON victim FROM loader")
    postgres.change_victim("unprivileged")
    judge(postgres.load, "postgres, without privilege")
    assert "GRANT" in in_state(millrace, postgres.name, "held")["remedy"]
    millrace.sql("destination", postgres.name, "GRANT ALL ON victim TO loader")
    postgres.mended()


def test_a_poisoned_table_in_duckdb(millrace):
    name = "isolatedduck"
    file = millrace.folder / "isolated.duckdb"
    make_source(millrace, name)
    (millrace.folder / f"{name}.yaml").write_text(
        f"name: {name}\nsource:\n  url: {millrace.url('source', name)}\ndestination:\n  type: duckdb\n  options:\n    path: {file}\n"
        "tables: ['*.*']\nrefused_values: hold\nstate: running\n")
    millrace.cli("apply", "-f", millrace.folder / f"{name}.yaml")
    millrace.wait(name)

    def newest():
        query = " UNION ALL ".join(f"SELECT '{table}' AS t, coalesce(max(id), 0) AS n FROM public.{table}" for table in CALM)
        return {table: int(last) for table, last in (row.split("\t") for row in millrace.duckdb_rows(file, query))}

    load = Load(millrace, name, newest, 0.1)
    millrace.sql("source", name, "UPDATE victim SET amount = 'NaN' WHERE id = 7")
    judge(load, "duckdb, poisoned")
    assert in_state(millrace, name, "held")["error_reason"] == "VALUE_REJECTED"
    millrace.sql("source", name, "UPDATE victim SET amount = 7 WHERE id = 7")
    millrace.cli("table", "resync", name, "public.victim")
    in_state(millrace, name, "live")
    millrace.wait(name)
    assert millrace.duckdb_rows(file, "SELECT count(*), sum(amount) FROM public.victim") == ["100\t5050.00"]
