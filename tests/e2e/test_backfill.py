"""Rows that existed before are read in chunks while their table is written; see docs/backfill.md."""

import itertools
import json
import os
import pathlib
import re
import subprocess
import threading
import time

from harness import FULL, eventually
import postgres_server
import processes

CHAOS = pathlib.Path(__file__).resolve().parents[1] / "chaos"


def run(script, *arguments):
    done = subprocess.run([CHAOS / script, *map(str, arguments)], capture_output=True, text=True, env=os.environ, timeout=3600)
    print(done.stdout + done.stderr)
    return done


def test_hot_rows_come_out_right():
    assert run("backfill", "--seed", "1..20" if FULL else "1..2").returncode == 0


def test_hot_rows_come_out_right_while_commits_wait_for_an_absent_standby():
    assert run("backfill", "--absent-standby", "--seed", "1..20" if FULL else "1").returncode == 0


def test_a_copy_survives_its_worker():
    arguments = () if FULL else ("--tables", "3", "--rows", "60000", "--kills", "5", "--rate", "300")
    assert run("backfill-kills", *arguments).returncode == 0


def make_table(millrace, name, rows):
    for server in ("source", "destination"):
        millrace.create_database(server, name)
    millrace.sql("source", name, "CREATE TABLE items (id bigint PRIMARY KEY, v int NOT NULL, big text); ALTER TABLE items ALTER big SET STORAGE EXTERNAL")
    millrace.sql("source", name, f"INSERT INTO items SELECT g, 0, repeat(md5(g::text), 80) FROM generate_series(1, {rows}) g")


def equal(millrace, name):
    query = "SELECT id, v, md5(big) FROM items"
    assert millrace.rows("source", name, query) == millrace.rows("destination", name, query)


class Writer(threading.Thread):
    """Updates without the large value, moves of keys, deletes and inserts, as fast as they go."""

    def __init__(self, millrace, name, rows):
        super().__init__(daemon=True)
        self.millrace, self.name, self.rows = millrace, name, rows
        self.ended = threading.Event()
        self.failure = None

    def run(self):
        import random
        rng = random.Random(1)
        try:
            connection = self.millrace.connect("source", self.name)
            with connection.cursor() as cursor:
                while not self.ended.is_set():
                    a, b = rng.randint(1, self.rows), rng.randint(1, self.rows + 200)
                    cursor.execute(rng.choice((
                        f"UPDATE items SET v = v + 1 WHERE id = {a}", f"UPDATE items SET v = v + 1, big = 'short' WHERE id = {a}",
                        f"DELETE FROM items WHERE id = {a}",
                        f"INSERT INTO items VALUES ({a}, 0, 'put') ON CONFLICT (id) DO UPDATE SET v = items.v + 1",
                        f"UPDATE items SET id = {b}, v = v + 1 WHERE id = {a} AND NOT EXISTS (SELECT 1 FROM items WHERE id = {b})")))
            connection.close()
        except Exception as error:  # noqa: BLE001: the test must learn of it
            self.failure = error

    def stop(self):
        self.ended.set()
        self.join()
        assert self.failure is None, self.failure


def test_chunks_are_read_from_a_replica_that_is_behind(millrace):
    name, rows = "replica", 5000
    make_table(millrace, name, rows)
    millrace.ports["replica"] = processes.free_port()
    postgres_server.start_replica(millrace.stack, millrace.ports["replica"], millrace.ports["source"], "replica", millrace.password,
                                  {"recovery_min_apply_delay": "300ms", "hot_standby_feedback": "on"})
    writer = Writer(millrace, name, rows)
    writer.start()
    seen = set()

    def watch():
        connection = millrace.connect("replica")
        with connection.cursor() as cursor:
            while not writer.ended.is_set():
                cursor.execute("SELECT pid FROM pg_stat_activity WHERE application_name = 'millrace' AND datname = %s", (name,))
                seen.update(pid for (pid,) in cursor.fetchall())
                time.sleep(0.01)
        connection.close()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    url = millrace.url("source", name)
    path = millrace.folder / "replica.yaml"
    path.write_text(f"""
name: {name}
source:
  url: {url}
  options: {{replica_host: 127.0.0.1, replica_port: "{millrace.ports['replica']}"}}
destination: {{url: '{millrace.url("destination", name)}'}}
backfill: {{chunk_rows: 250}}
""")
    millrace.cli("apply", "-f", path)
    eventually(lambda: [t["state"] for t in millrace.status(name)["tables"]] == ["live"], 120, "copied")
    writer.stop()
    watcher.join()
    assert seen, "nobody of ours was seen at the replica"
    millrace.wait(name)
    equal(millrace, name)


def test_a_server_that_is_no_replica_is_refused(millrace):
    make_table(millrace, "norep", 10)
    path = millrace.folder / "norep.yaml"
    path.write_text(f"""
name: norep
source:
  url: {millrace.url("source", "norep")}
  options: {{replica_host: 127.0.0.1, replica_port: "{millrace.ports['destination']}"}}
destination: {{url: '{millrace.url("destination", "norep")}'}}
""")
    done = millrace.cli("apply", "-f", path, check=False)
    assert done.returncode != 0
    assert "is a replica of another one" in done.stdout + done.stderr


def test_a_rate_is_kept_and_shown(millrace):
    name, rows = "rate", 4000
    make_table(millrace, name, rows)
    began = time.monotonic()
    millrace.apply(name, millrace.url("source", name), millrace.url("destination", name), "backfill: {rows_per_second: 500}")
    table = eventually(lambda: next((t for t in millrace.status(name)["tables"] if t["state"] == "copying" and 0 < t["rows_copied"] < rows), None), 30, "copying")
    assert table["rows_estimated"] == 0 or abs(table["rows_estimated"] - rows) < rows
    assert "copying, " in millrace.cli("status", name).stdout
    millrace.wait(name)
    took = time.monotonic() - began
    assert took > (rows - 1000) / 500, f"{rows} rows in {took:.1f} s"
    equal(millrace, name)


def test_several_ranges_of_one_table_are_read_at_once(millrace):
    name, rows = "ranges", 8000
    make_table(millrace, name, rows)
    millrace.sql("source", name, "ANALYZE items")
    reading = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'millrace' AND datname = %s AND query LIKE '%%pg_current_wal_insert_lsn() END'"
    writer = Writer(millrace, name, rows)
    writer.start()
    millrace.apply(name, millrace.url("source", name), millrace.url("destination", name),
                   "backfill: {connections: 3, chunk_rows: 100, rows_per_second: 1500}")
    eventually(lambda: millrace.sql("source", name, reading, (name,)) == [(3,)], 30, "three sessions have read chunks")
    for _ in range(3):
        time.sleep(0.5)
        millrace.kill("w1")
        millrace.restart("w1")
    # A table that joins does not wait for the large one's end.
    millrace.sql("source", name, "CREATE TABLE latecomer (id int PRIMARY KEY); INSERT INTO latecomer SELECT generate_series(1, 300)")
    state = lambda: {t["table"]: t["state"] for t in millrace.status(name)["tables"]}  # noqa: E731
    eventually(lambda: state().get("latecomer") == "live", 60, "the latecomer is copied")
    millrace.wait(name)
    writer.stop()
    millrace.wait(name)
    equal(millrace, name)
    assert millrace.sql("destination", name, "SELECT count(*) FROM latecomer") == [(300,)]


class Appender(threading.Thread):
    """Rows for a table without a key, each with a number of its own, some of them rolled back."""

    def __init__(self, millrace, name):
        super().__init__(daemon=True)
        self.millrace, self.name = millrace, name
        self.ended = threading.Event()
        self.failure = None

    def run(self):
        try:
            connection = self.millrace.connect("source", self.name)
            connection.autocommit = False
            number = 0
            with connection.cursor() as cursor:
                while not self.ended.is_set():
                    for _ in range(3):
                        number += 1
                        cursor.execute(f"INSERT INTO journal VALUES ({number}, 'live', repeat('n', 3000))")
                    if number % 10 == 0:
                        connection.rollback()
                    else:
                        connection.commit()
            connection.close()
        except Exception as error:  # noqa: BLE001: the test must learn of it
            self.failure = error

    def stop(self):
        self.ended.set()
        self.join()
        assert self.failure is None, self.failure


def test_a_table_without_a_key_is_read_while_changes_stream_on(millrace):
    name, rows = "keyless", 6000
    make_table(millrace, name, 10)
    millrace.sql("source", name, "CREATE TABLE journal (n int, kind text, big text)")
    millrace.sql("source", name, f"INSERT INTO journal SELECT -g, 'old', repeat('o', 3000) FROM generate_series(1, {rows}) g; ANALYZE journal")
    writer = Appender(millrace, name)
    writer.start()
    millrace.apply(name, millrace.url("source", name), millrace.url("destination", name), "backfill: {chunk_rows: 100, rows_per_second: 1000}")
    copied = lambda: {t["table"]: t["rows_copied"] for t in millrace.status(name)["tables"]}.get("journal", 0)  # noqa: E731
    eventually(lambda: 0 < copied() < rows, 30, "its rows come in chunks")
    # The stream does not wait for them.
    millrace.sql("source", name, "INSERT INTO items VALUES (77777, 1, 'soon')")
    eventually(lambda: millrace.sql("destination", name, "SELECT 1 FROM items WHERE id = 77777"), 4, "a change of another table arrives")
    assert copied() < rows
    # Updates and deletes are not replicated; what the snapshot saw is there all the same.
    millrace.sql("source", name, "UPDATE journal SET kind = 'changed' WHERE n BETWEEN -2000 AND -1000")
    assert backfill(millrace, name, "journal")["state"] == "running"
    for _ in range(2):
        time.sleep(0.5)
        millrace.kill("w1")
        millrace.restart("w1")
    millrace.wait(name)
    writer.stop()
    millrace.wait(name)
    query = "SELECT n, kind FROM journal"
    assert millrace.rows("source", name, query) == millrace.rows("destination", name, query), "the last copy began after the update"
    millrace.sql("source", name, "INSERT INTO journal VALUES (999999999, 'last', '')")
    millrace.wait(name)
    assert millrace.rows("source", name, query) == millrace.rows("destination", name, query)


def test_a_table_that_joins_does_not_interrupt_the_reading_of_one_without_a_key(millrace):
    name, rows = "patient", 14000
    for server in ("source", "destination"):
        millrace.create_database(server, name)
    millrace.sql("source", name, f"CREATE TABLE journal (n int); INSERT INTO journal SELECT g FROM generate_series(1, {rows}) g; ANALYZE journal")
    millrace.apply(name, millrace.url("source", name), millrace.url("destination", name), "backfill: {rows_per_second: 1000}")
    eventually(lambda: backfill(millrace, name, "journal"), 30, "it is being read")
    millrace.sql("source", name, "CREATE TABLE joined (id int PRIMARY KEY); INSERT INTO joined SELECT generate_series(1, 10)")
    millrace.wait(name)
    assert millrace.sql("destination", name, "SELECT count(*), count(DISTINCT n) FROM journal") == [(rows, rows)]
    assert millrace.sql("destination", name, "SELECT count(*) FROM joined") == [(10,)]
    assert len([e for e in told(millrace, name, "the table is copied while its changes stream on") if e["table"] == "journal"]) == 1


def test_a_reading_that_is_cut_off_begins_anew(millrace):
    name, rows = "cutoff", 4000
    for server in ("source", "destination"):
        millrace.create_database(server, name)
    millrace.sql("source", name, f"CREATE TABLE journal (n int, big text); INSERT INTO journal SELECT g, repeat('j', 10000) FROM generate_series(1, {rows}) g")
    millrace.apply(name, millrace.url("source", name), millrace.url("destination", name), "backfill: {chunk_rows: 100, rows_per_second: 1000}")
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'COPY (SELECT%%journal%%'"
    eventually(lambda: (b := backfill(millrace, name, "journal")) and b["rows_read"] > 0 and millrace.sql("source", name, cut), 30, "its session is cut off")
    eventually(lambda: told(millrace, name, "its rows could not be read to the end"), 30, "it is told of")
    millrace.wait(name)
    assert millrace.rows("source", name, "SELECT n FROM journal") == millrace.rows("destination", name, "SELECT n FROM journal")


class CountReader(threading.Thread):
    """The least number of rows that a reader of the destination ever saw."""

    def __init__(self, millrace, name):
        super().__init__(daemon=True)
        self.millrace, self.name = millrace, name
        self.ended = threading.Event()
        self.least, self.looks = None, 0

    def run(self):
        connection = self.millrace.connect("destination", self.name)
        with connection.cursor() as cursor:
            while not self.ended.is_set():
                cursor.execute("SELECT count(*) FROM items")
                count = cursor.fetchone()[0]
                self.least = count if self.least is None else min(self.least, count)
                self.looks += 1
                time.sleep(0.005)
        connection.close()


class Grower(Writer):
    """Updates, moves of keys and inserts: there are never fewer rows than before."""

    fresh = itertools.count(1_000_000, 1_000_000)

    def run(self):
        import random
        rng, fresh = random.Random(2), next(self.fresh)
        try:
            connection = self.millrace.connect("source", self.name)
            with connection.cursor() as cursor:
                while not self.ended.is_set():
                    a, fresh = rng.randint(1, self.rows), fresh + 1
                    cursor.execute(rng.choice((
                        f"UPDATE items SET v = v + 1 WHERE id = {a}", f"UPDATE items SET v = v + 1, big = 'short' WHERE id = {a}",
                        f"INSERT INTO items VALUES ({fresh}, 0, repeat('new', 1000))",
                        f"UPDATE items SET id = {fresh}, v = v + 1 WHERE id = {a}")))
            connection.close()
        except Exception as error:  # noqa: BLE001: the test must learn of it
            self.failure = error


def resync_unseen(millrace, name, rows, kills=0):
    """Damages the destination, resyncs under writes, and compares."""
    millrace.sql("destination", name, "DELETE FROM items WHERE id % 7 = 1; UPDATE items SET v = -1 WHERE id % 7 = 2; "
                 "INSERT INTO items SELECT -g, 0, 'nowhere' FROM generate_series(1, 500) g")
    left = millrace.sql("destination", name, "SELECT count(*) FROM items WHERE id > 0")[0][0]
    writer, reader = Grower(millrace, name, rows), CountReader(millrace, name)
    writer.start()
    reader.start()
    millrace.cli("table", "resync", name, "public.items")
    for _ in range(kills):
        time.sleep(0.7)
        millrace.kill("w1")
        millrace.restart("w1")
    eventually(lambda: not millrace.sql("destination", name, "SELECT 1 FROM items WHERE id < 0 LIMIT 1"), 120, "rows that were nowhere are gone")
    writer.stop()
    millrace.wait(name)
    reader.ended.set()
    reader.join()
    equal(millrace, name)
    assert reader.looks > 20 and reader.least >= left, f"{reader.least} rows seen where {left} stood"
    assert millrace.sql("destination", name, "SELECT count(*) FROM pg_tables WHERE schemaname = '_millrace' AND tablename LIKE 'resync%'") == [(0,)]


def test_a_resync_in_chunks_is_never_seen_empty(millrace):
    make_table(millrace, "resync", 4000)
    millrace.apply("resync", millrace.url("source", "resync"), millrace.url("destination", "resync"), "backfill: {chunk_rows: 250}")
    millrace.wait("resync")
    resync_unseen(millrace, "resync", 4000)
    resync_unseen(millrace, "resync", 4000, kills=2)


def test_a_resync_under_a_snapshot_is_never_seen_empty(millrace):
    make_table(millrace, "resynced", 200)
    millrace.apply("resynced", millrace.url("source", "resynced"), millrace.url("destination", "resynced"))
    millrace.wait("resynced")
    resync_unseen(millrace, "resynced", 200)


def test_a_resync_of_the_whole_pipeline_is_never_seen_empty(millrace):
    name = "reborn"
    make_table(millrace, name, 3000)
    millrace.apply(name, millrace.url("source", name), millrace.url("destination", name), "backfill: {chunk_rows: 500}")
    millrace.wait(name)
    millrace.sql("destination", name, "INSERT INTO items VALUES (-1, 0, 'nowhere')")
    reader = CountReader(millrace, name)
    reader.start()
    millrace.cli("pipeline", "resync", name, "--confirm")
    eventually(lambda: not millrace.sql("destination", name, "SELECT 1 FROM items WHERE id < 0"), 120, "the row that was nowhere is gone")
    reader.ended.set()
    reader.join()
    millrace.wait(name)
    equal(millrace, name)
    assert reader.least >= 3000


def test_a_resync_into_a_file(millrace):
    name, file = "refiled", millrace.folder / "refiled.duckdb"
    make_table(millrace, name, 3000)
    millrace.apply(name, millrace.url("source", name), f"duckdb://{file}", "backfill: {chunk_rows: 500}")
    millrace.wait(name)
    writer = Grower(millrace, name, 3000)
    writer.start()
    millrace.cli("table", "resync", name, "public.items")
    events = lambda: [e for e in map(json.loads, millrace.cli("events", name, "-o", "json").stdout.splitlines()) if e["type"] == "copy_finished"]  # noqa: E731
    eventually(lambda: len(events()) >= 2, 60, "copied again")
    writer.stop()
    millrace.wait(name)
    query = "SELECT id, v, md5(big) FROM {}items"
    assert millrace.rows("source", name, query.format("")) == millrace.duckdb_rows(file, query.format("public."))


def backfill(millrace, name, table="items"):
    listed = json.loads(millrace.cli("backfill", "list", name, "-o", "json").stdout)["backfills"]
    return next((b for b in listed if b["table"] == table), None)


def told(millrace, name, text):
    lines = map(json.loads, millrace.cli("events", name, "-o", "json").stdout.splitlines())
    return [e for e in lines if text in e["message"]]


def test_a_backfill_is_paused_resumed_and_cancelled(millrace):
    name, rows = "verbs", 6000
    make_table(millrace, name, rows)
    refused = millrace.cli("backfill", "pause", name, "public.items", check=False)
    assert refused.returncode != 0 and "There is no pipeline" in refused.stderr
    millrace.apply(name, millrace.url("source", name), millrace.url("destination", name), "backfill: {rows_per_second: 1000}")
    eventually(lambda: (backfill(millrace, name) or {}).get("rows_read", 0) > 0, 30, "rows are read")
    assert "rows/s" in millrace.cli("backfill", "list", name).stdout
    millrace.cli("backfill", "pause", name, "public.items")
    eventually(lambda: backfill(millrace, name)["state"] == "paused", 15, "paused")
    time.sleep(1.5)
    stood = backfill(millrace, name)["rows_read"]
    millrace.sql("source", name, "INSERT INTO items VALUES (100000, 1, 'while it was paused')")
    eventually(lambda: millrace.sql("destination", name, "SELECT 1 FROM items WHERE id = 100000"), 15, "changes go on")
    starts = lambda: len(re.findall(f'"msg":"streaming".*pipelines/{name}"', (millrace.folder / "logs" / "w1.log").read_text(errors="replace")))  # noqa: E731
    before = starts()
    millrace.kill("w1")
    millrace.restart("w1")
    eventually(lambda: starts() > before, 40, "it streams again")
    eventually(lambda: (backfill(millrace, name) or {}).get("state") == "paused", 30, "still paused")
    time.sleep(2)
    assert backfill(millrace, name)["rows_read"] == stood < rows
    millrace.cli("backfill", "resume", name, "public.items")
    eventually(lambda: backfill(millrace, name)["rows_read"] > stood, 30, "goes on")
    millrace.cli("backfill", "cancel", name, "public.items")
    eventually(lambda: backfill(millrace, name)["state"] == "cancelled", 15, "cancelled")
    millrace.wait(name)
    assert told(millrace, name, "the backfill was cancelled; ")
    left = len(millrace.sql("destination", name, "SELECT 1 FROM items"))
    assert stood < left < rows
    refused = millrace.cli("backfill", "resume", name, "public.items", check=False)
    assert refused.returncode == 1 and "No rows of public.items are being read" in refused.stderr
    millrace.cli("backfill", "start", name, "public.items")
    eventually(lambda: len(millrace.sql("destination", name, "SELECT 1 FROM items")) == rows + 1, 60, "all rows are there")
    millrace.wait(name)
    equal(millrace, name)
    eventually(lambda: backfill(millrace, name) is None, 15, "nothing is read any more")


def test_chosen_rows_are_read_again(millrace):
    name = "chosen"
    make_table(millrace, name, 3000)
    millrace.apply(name, millrace.url("source", name), millrace.url("destination", name), "backfill: {chunk_rows: 200}")
    millrace.wait(name)
    damage = "UPDATE items SET v = -1 WHERE id % 10 = 0; DELETE FROM items WHERE id BETWEEN 1001 AND 1100"
    millrace.sql("destination", name, damage)
    # The status may show the copy for a moment after its end.
    eventually(lambda: backfill(millrace, name) is None and millrace.status(name)["tables"][0]["state"] == "live", 15, "nothing is read any more")
    millrace.cli("backfill", "start", name, "public.items", "--where", "id % 10 = 0 AND big <> ')'")
    eventually(lambda: told(millrace, name, "300 chosen rows copied"), 30, "read")
    millrace.wait(name)
    assert millrace.sql("destination", name, "SELECT count(*) FROM items WHERE v = -1") == [(0,)]
    assert millrace.sql("destination", name, "SELECT count(*) FROM items WHERE id BETWEEN 1001 AND 1100") == [(10,)]
    keys = [part for i in range(1001, 1101) for part in ("--key", i)]
    millrace.cli("backfill", "start", name, "public.items", *keys)
    eventually(lambda: told(millrace, name, "100 chosen rows copied"), 30, "read")
    millrace.wait(name)
    equal(millrace, name)
    assert "held" not in millrace.last_words("w1", 400), "rows that stood there held the table"


def test_chosen_rows_are_not_doubled_where_no_key_is_kept(millrace):
    name, file = "doubled", millrace.folder / "doubled.duckdb"
    make_table(millrace, name, 2000)
    millrace.apply(name, millrace.url("source", name), f"duckdb://{file}")
    millrace.wait(name)
    # The status may show the copy for a moment after its end. Nothing has changed since then: the copy's rows were appended.
    eventually(lambda: backfill(millrace, name) is None and millrace.status(name)["tables"][0]["state"] == "live", 15, "nothing is read any more")
    millrace.cli("backfill", "start", name, "public.items", "--where", "id % 10 = 0")
    eventually(lambda: told(millrace, name, "200 chosen rows copied"), 30, "read")
    millrace.wait(name)
    query = "SELECT id, v, big FROM {}items"
    assert millrace.rows("source", name, query.format("")) == millrace.duckdb_rows(file, query.format("public."))


def test_a_copy_into_a_file_whose_rows_change_meanwhile(millrace):
    """There no key would refuse a row that stands there already: rows that are appended must be those that cannot."""
    name, rows, file = "churned", 40_000, millrace.folder / "churned.duckdb"
    millrace.create_database("source", name)
    millrace.sql("source", name, "CREATE TABLE items (id bigint PRIMARY KEY, v int NOT NULL, big text)")
    millrace.sql("source", name, f"INSERT INTO items SELECT g, 0, md5(g::text) FROM generate_series(1, {rows}) g")
    writer = Writer(millrace, name, rows)
    writer.start()
    millrace.apply(name, millrace.url("source", name), f"duckdb://{file}", "backfill: {chunk_rows: 2000, rows_per_second: 12000}")
    eventually(lambda: millrace.status(name)["tables"] and millrace.status(name)["tables"][0]["state"] == "live" and backfill(millrace, name) is None, 60, "copied")
    writer.stop()
    millrace.wait(name)
    query = "SELECT id, v, big FROM {}items"
    assert millrace.rows("source", name, query.format("")) == millrace.duckdb_rows(file, query.format("public."))


def test_a_choice_that_cannot_be_read_is_given_up(millrace):
    name = "misfit"
    make_table(millrace, name, 3000)
    millrace.apply(name, millrace.url("source", name), millrace.url("destination", name))
    millrace.wait(name)
    # The status may show the copy for a moment after its end.
    eventually(lambda: backfill(millrace, name) is None and millrace.status(name)["tables"][0]["state"] == "live", 15, "nothing is read any more")
    for choice, told_as in ((("--where", "nobody = 3"), "condition (SQLSTATE_42703)"), (("--where", "true) TO STDOUT; DROP TABLE items; COPY (SELECT 1"), "the source refuses the condition"),
                            (("--key", "1,2"), "a key of the table has 1 cells"), (("--key", "x"), "chosen rows cannot be read")):
        millrace.cli("backfill", "start", name, "public.items", *choice)
        eventually(lambda told_as=told_as: told(millrace, name, told_as), 30, f"given up: {choice}")
    both = millrace.cli("backfill", "start", name, "public.items", "--where", "true", "--key", "1", check=False)
    assert both.returncode != 0
    millrace.sql("source", name, "UPDATE items SET v = 9 WHERE id = 9")
    millrace.wait(name)
    equal(millrace, name)


def test_a_table_of_higher_priority_is_read_first(millrace):
    name = "order"
    make_table(millrace, name, 300)
    millrace.sql("source", name, "CREATE TABLE smaller (id int PRIMARY KEY); INSERT INTO smaller SELECT generate_series(1, 200);"
                 "CREATE TABLE urgent (id int PRIMARY KEY); INSERT INTO urgent SELECT generate_series(1, 250)")
    millrace.apply(name, millrace.url("source", name), millrace.url("destination", name), "backfill: {connections: 1, rows_per_second: 60}")
    queued = lambda: [b["table"] for b in json.loads(millrace.cli("backfill", "list", name, "-o", "json").stdout)["backfills"] if b["state"] == "queued"]  # noqa: E731
    waiting = eventually(lambda: (names := queued()) and len(names) == 2 and names, 30, "two tables wait")
    last = waiting[-1]
    millrace.cli("backfill", "start", name, f"public.{last}", "--priority", "5")
    millrace.wait(name)
    finished = eventually(lambda: (copied := [e["table"] for e in told(millrace, name, " rows copied")]) and len(copied) >= 3 and copied, 15, "all are copied")
    assert finished.index(last) < max(finished.index(t) for t in waiting if t != last), finished
