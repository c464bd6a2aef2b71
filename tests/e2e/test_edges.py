"""Where the log or a topic is gone or another one: each is named, waits for a person, and is mended by its command."""

import json
import os
import signal
import subprocess
import time

import pytest

from harness import BIN, eventually, postgres_server

NAME = "edges"
TABLES = ("orders", "calm")


@pytest.fixture(scope="module")
def pipeline(millrace):
    millrace.create_database("source", NAME)
    millrace.create_database("destination", NAME)
    for table in TABLES:
        millrace.sql("source", NAME, f"CREATE TABLE {table} (id int PRIMARY KEY, note text); INSERT INTO {table} SELECT g, 'first' FROM generate_series(1, 50) g")
    millrace.replicate(NAME, millrace.url("source", NAME), millrace.url("destination", NAME))


def equal(millrace):
    return all(millrace.rows("destination", NAME, f"SELECT * FROM {t}") == millrace.rows("source", NAME, f"SELECT * FROM {t}") for t in TABLES)


def table(millrace, name):
    return next(t for t in millrace.status(NAME)["tables"] if t["table"] == name)


def events(millrace, name):
    """Of copies that the publisher made by itself."""
    lines = map(json.loads, millrace.cli("events", NAME, "-o", "json").stdout.splitlines())
    return [e for e in lines if e["type"] == "table_resync" and e["table"] == name and e["worker"]]


def change(millrace, note):
    for name in TABLES:
        millrace.sql("source", NAME, f"UPDATE {name} SET note = '{note}' WHERE id % 2 = 0; DELETE FROM {name} WHERE id = (SELECT max(id) FROM {name})")


def blocked(millrace, reason):
    status = eventually(lambda: (s := millrace.status(NAME))["state"] == "blocked" and s, 90, f"blocked with {reason}")
    assert status["reason"] == reason, status["message"]
    assert "millrace pipeline resync" in status["message"]


def resync(millrace):
    told = millrace.cli("pipeline", "resync", NAME, check=False)
    assert told.returncode == 1 and "--confirm" in told.stderr
    millrace.cli("pipeline", "resync", NAME, "--confirm")
    eventually(lambda: millrace.status(NAME)["state"] == "live", 90, "live again")
    change(millrace, "after the resync")
    millrace.wait(NAME)
    assert equal(millrace)


def slot(millrace):
    return millrace.sql("source", NAME, "SELECT slot_name FROM pg_replication_slots")[0][0]


def order_topic(millrace, verb, name):
    subprocess.run([BIN / "topic-admin", f"127.0.0.1:{millrace.ports['kafka']}", verb, f"millrace.{NAME}.public.{name}"], check=True)


# Topics --------------------------------------------------------------------------------------------------------------


def test_a_deleted_topic_holds_its_table_alone(millrace, pipeline):
    order_topic(millrace, "delete", "orders")
    change(millrace, "into nothing")
    eventually(lambda: table(millrace, "orders")["state"] == "held" and table(millrace, "orders")["error_reason"] == "TOPIC_MISSING", 120, "held")
    assert "resync" in table(millrace, "orders")["remedy"]
    millrace.sql("source", NAME, "UPDATE calm SET note = 'goes on' WHERE id = 1")
    eventually(lambda: millrace.sql("destination", NAME, "SELECT note FROM calm WHERE id = 1") == [("goes on",)], 20, "the other table goes on")
    told = millrace.cli("wait", NAME, "--for", "caught-up", "--timeout", "5s", check=False)
    assert told.returncode != 0 and "public.orders" in told.stderr and "millrace table resync" in told.stderr, told
    # It stays so over a restart.
    millrace.kill("w1")
    millrace.restart("w1")
    millrace.sql("source", NAME, "UPDATE calm SET note = 'goes on still' WHERE id = 1")
    eventually(lambda: millrace.sql("destination", NAME, "SELECT note FROM calm WHERE id = 1") == [("goes on still",)], 60, "after a restart")
    eventually(lambda: table(millrace, "orders")["error_reason"] == "TOPIC_MISSING", 30, "still held")
    millrace.cli("table", "resync", NAME, "public.orders")
    eventually(lambda: equal(millrace), 120, "equal after the resync")
    eventually(lambda: table(millrace, "orders")["state"] == "live", 60, "live again")
    millrace.wait(NAME)


def test_a_topic_made_anew_that_has_grown_past_the_checkpoint_is_noticed(millrace, pipeline):
    millrace.cli("table", "pause", NAME, "public.orders")
    eventually(lambda: table(millrace, "orders")["state"] == "paused", 30, "paused")
    offset = millrace.sql("destination", NAME, "SELECT next_offset FROM _millrace.checkpoints WHERE table_name = 'orders'")[0][0]
    millrace.kill("w1")
    order_topic(millrace, "delete", "orders")
    order_topic(millrace, "create", "orders")
    millrace.restart("w1")
    for n in range(offset + 3):
        millrace.sql("source", NAME, f"UPDATE orders SET note = 'round {n}'")
        time.sleep(0.03)  # changes that are committed together share a record
    # What is published later is visible: so all of this stands in the new topic.
    millrace.sql("source", NAME, "UPDATE calm SET note = 'published' WHERE id = 1")
    eventually(lambda: millrace.sql("destination", NAME, "SELECT note FROM calm WHERE id = 1") == [("published",)], 60, "published")
    eventually(lambda: table(millrace, "orders")["state"] == "paused", 30, "reported")
    millrace.cli("table", "resume", NAME, "public.orders")
    held = eventually(lambda: (t := table(millrace, "orders"))["state"] == "held" and t, 90, "held")
    assert held["error_reason"] == "OFFSET_GONE", held
    millrace.cli("table", "resync", NAME, "public.orders")
    eventually(lambda: equal(millrace), 120, "equal after the resync")
    eventually(lambda: table(millrace, "orders")["state"] == "live", 60, "live again")
    millrace.wait(NAME)


# The publication -------------------------------------------------------------------------------------------------------


def test_a_table_that_left_the_publication_is_copied_anew(millrace, pipeline):
    publication = millrace.sql("source", NAME, "SELECT pubname FROM pg_publication_tables WHERE tablename = 'orders'")[0][0]

    def alter(action):
        millrace.sql("source", NAME, f"ALTER PUBLICATION {publication} {action}")

    def mended(times):
        millrace.wait(NAME)
        assert equal(millrace)
        eventually(lambda: len(events(millrace, "orders")) == times, 15, "told")
        assert "publication" in events(millrace, "orders")[-1]["message"]

    before = len(events(millrace, "orders"))
    alter("DROP TABLE orders")
    change(millrace, "unseen")
    mended(before + 1)
    # Gone and back before anybody looks.
    alter("DROP TABLE orders")
    change(millrace, "unseen again")
    alter("ADD TABLE ONLY orders")
    mended(before + 2)
    alter("SET (publish = 'insert')")
    change(millrace, "not inserted")
    mended(before + 3)
    millrace.kill("w1")
    alter("DROP TABLE orders")
    change(millrace, "while nobody published")
    millrace.restart("w1")
    mended(before + 4)
    change(millrace, "as ever")
    millrace.wait(NAME)
    assert equal(millrace) and len(events(millrace, "orders")) == before + 4


def test_a_table_that_is_locked_at_the_source_is_copied_later(millrace, pipeline):
    def copies():
        lines = map(json.loads, millrace.cli("events", NAME, "-o", "json").stdout.splitlines())
        return len([e for e in lines if e["type"] == "copy_finished" and e["table"] == "orders"])

    before = copies()
    connection = millrace.connect("source", NAME)
    connection.autocommit = False
    connection.cursor().execute("LOCK orders IN ACCESS EXCLUSIVE MODE")
    try:
        millrace.cli("table", "resync", NAME, "public.orders")
        for n in range(3):
            millrace.sql("source", NAME, f"UPDATE calm SET note = 'beside the lock {n}' WHERE id = 1")
            eventually(lambda: millrace.sql("destination", NAME, "SELECT note FROM calm WHERE id = 1") == [(f"beside the lock {n}",)], 20, "the other table goes on")
        assert copies() == before
    finally:
        connection.close()
    change(millrace, "after the lock")
    eventually(lambda: copies() == before + 1, 60, "copied")
    millrace.wait(NAME)
    assert equal(millrace)


# The source's log ------------------------------------------------------------------------------------------------------


def test_a_dropped_slot(millrace, pipeline):
    millrace.kill("w1")
    name = slot(millrace)
    eventually(lambda: millrace.sql("source", NAME, "SELECT active FROM pg_replication_slots") == [(False,)], 90, "let go")
    millrace.sql("source", NAME, f"SELECT pg_drop_replication_slot('{name}')")
    change(millrace, "unseen")
    millrace.restart("w1")
    blocked(millrace, "SLOT_MISSING")
    resync(millrace)


def test_a_slot_that_was_moved_on(millrace, pipeline):
    millrace.kill("w1")
    name = slot(millrace)
    eventually(lambda: millrace.sql("source", NAME, "SELECT active FROM pg_replication_slots") == [(False,)], 90, "let go")
    change(millrace, "passed over")
    millrace.sql("source", NAME, f"SELECT pg_replication_slot_advance('{name}', pg_current_wal_lsn())")
    millrace.restart("w1")
    blocked(millrace, "SLOT_AHEAD")
    resync(millrace)


def test_a_slot_that_the_server_gave_up(millrace, pipeline):
    millrace.kill("w1")
    eventually(lambda: millrace.sql("source", NAME, "SELECT active FROM pg_replication_slots") == [(False,)], 90, "let go")
    change(millrace, "unseen")
    millrace.sql("source", NAME, "ALTER SYSTEM SET max_slot_wal_keep_size = '16MB'")
    millrace.sql("source", NAME, "SELECT pg_reload_conf()")
    for _ in range(4):
        millrace.sql("source", NAME, "SELECT pg_switch_wal()")
        millrace.sql("source", NAME, "UPDATE calm SET note = 'on and on' WHERE id = 1")
    millrace.sql("source", NAME, "CHECKPOINT")
    assert millrace.sql("source", NAME, "SELECT wal_status FROM pg_replication_slots") == [("lost",)]
    millrace.sql("source", NAME, "ALTER SYSTEM RESET max_slot_wal_keep_size")
    millrace.sql("source", NAME, "SELECT pg_reload_conf()")
    millrace.restart("w1")
    blocked(millrace, "SLOT_LOST")
    resync(millrace)


def source_folder(millrace):
    return millrace.sql("source", "postgres", "SHOW data_directory")[0][0]


def stop_source(millrace):
    millrace.stack.stop("source", signal.SIGINT, 60)


def test_files_restored_to_an_earlier_state(millrace, pipeline):
    folder = source_folder(millrace)
    millrace.kill("w1")
    stop_source(millrace)
    subprocess.run(["cp", "-a", folder, folder + ".old"], check=True)
    millrace.restart("source")
    millrace.restart("w1")
    change(millrace, "lost by the restore")
    millrace.wait(NAME)
    millrace.kill("w1")
    stop_source(millrace)
    subprocess.run(["rm", "-rf", folder], check=True)
    subprocess.run(["mv", folder + ".old", folder], check=True)
    millrace.restart("source")
    millrace.restart("w1")
    blocked(millrace, "SOURCE_BEHIND")
    resync(millrace)


def test_a_promoted_standby(millrace, pipeline):
    folder = source_folder(millrace)
    subprocess.run([postgres_server.binaries() / "pg_basebackup", "-h", "127.0.0.1", "-p", str(millrace.ports["source"]), "-U", "postgres", "-D", folder + ".standby",
                    "-c", "fast", "-X", "stream"], env={**os.environ, "PGPASSWORD": millrace.password}, check=True, capture_output=True)
    open(folder + ".standby/standby.signal", "w").close()
    subprocess.run(["chown", "-R", f"--reference={folder}", folder + ".standby"], check=True)
    millrace.kill("w1")
    stop_source(millrace)
    subprocess.run(["rm", "-rf", folder], check=True)
    subprocess.run(["mv", folder + ".standby", folder], check=True)
    millrace.restart("source")
    assert millrace.sql("source", "postgres", "SELECT pg_promote()") == [(True,)]
    change(millrace, "on the new timeline")
    millrace.restart("w1")
    blocked(millrace, "TIMELINE_CHANGED")
    resync(millrace)
