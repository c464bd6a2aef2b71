"""One table at a time: held, paused, resumed, skipped, copied anew; and the log that tells of it."""

import json
import threading
import time

import pytest

from harness import eventually

NAME = "verbs"


@pytest.fixture(scope="module")
def pipeline(millrace):
    millrace.create_database("source", NAME)
    millrace.create_database("destination", NAME)
    millrace.sql("source", NAME, """
        CREATE TABLE orders (id int PRIMARY KEY, note text);
        CREATE TABLE calm (id int PRIMARY KEY, note text);
        CREATE TABLE busy (id int PRIMARY KEY, n int NOT NULL DEFAULT 0);
        INSERT INTO orders SELECT g, 'first' FROM generate_series(1, 100) g;
        INSERT INTO calm SELECT g, 'first' FROM generate_series(1, 10) g;
        INSERT INTO busy SELECT g FROM generate_series(1, 500) g;
    """)
    millrace.replicate(NAME, millrace.url("source", NAME), millrace.url("destination", NAME))


def table(millrace, name):
    tables = json.loads(millrace.cli("table", "list", NAME, "-o", "json").stdout)["tables"]
    return next(t for t in tables if t["table"] == name)


def in_state(millrace, name, state):
    eventually(lambda: table(millrace, name)["state"] == state, 60, f"{name} is {state}")


def events(millrace, kind=None, name=None):
    lines = millrace.cli("events", NAME, "-o", "json").stdout.splitlines()
    found = [json.loads(line) for line in lines]
    return [e for e in found if kind in (None, e["type"]) and name in (None, e["table"])]


def note(millrace, name, row):
    return millrace.sql("destination", NAME, f"SELECT note FROM {name} WHERE id = {row}")


def assert_live_within(millrace, name, seconds, text):
    began = time.monotonic()
    millrace.sql("source", NAME, f"UPDATE {name} SET note = '{text}' WHERE id = 1")
    eventually(lambda: note(millrace, name, 1) == [(text,)], seconds, f"{name} is live")
    return time.monotonic() - began


def refuse(millrace, text):
    """The destination refuses the text in orders; a change with it is made, and the table is held."""
    millrace.sql("destination", NAME, f"ALTER TABLE orders ADD CONSTRAINT calm_words CHECK (note <> '{text}')")
    millrace.sql("source", NAME, f"UPDATE orders SET note = '{text}' WHERE id = 2")
    in_state(millrace, "orders", "held")


def test_one_table_is_held_and_the_others_are_live(millrace, pipeline):
    refuse(millrace, "bad")
    assert assert_live_within(millrace, "calm", 10, "while held") < 2.0
    assert table(millrace, "calm")["state"] == "live"
    assert events(millrace, "table_held", "orders")


def test_resume_goes_on_at_once_after_the_repair(millrace, pipeline):
    millrace.sql("destination", NAME, "ALTER TABLE orders DROP CONSTRAINT calm_words")
    millrace.cli("table", "resume", NAME, "public.orders")
    eventually(lambda: note(millrace, "orders", 2) == [("bad",)], 8, "resumed long before the retry after 30 s")
    in_state(millrace, "orders", "live")
    eventually(lambda: events(millrace, "table_recovered", "orders"), 10, "the event")
    millrace.wait(NAME)


def test_a_paused_table_waits_and_the_others_go_on(millrace, pipeline):
    millrace.cli("table", "pause", NAME, "public.orders")
    in_state(millrace, "orders", "paused")
    millrace.sql("source", NAME, "UPDATE orders SET note = 'paused' WHERE id = 3")
    assert_live_within(millrace, "calm", 10, "while paused")
    assert note(millrace, "orders", 3) == [("first",)]
    millrace.kill("w1")
    millrace.restart("w1")
    assert_live_within(millrace, "calm", 60, "after a restart")
    in_state(millrace, "orders", "paused")
    assert note(millrace, "orders", 3) == [("first",)]
    millrace.cli("table", "resume", NAME, "public.orders")
    eventually(lambda: note(millrace, "orders", 3) == [("paused",)], 10, "goes on")
    millrace.wait(NAME)


def test_skip_shows_the_range_first_and_passes_over_it_alone(millrace, pipeline):
    refuse(millrace, "worse")
    shown = millrace.cli("table", "skip", NAME, "public.orders", check=False)
    assert shown.returncode == 1 and "--offsets" in shown.stderr
    held = table(millrace, "orders")
    offsets = f"{held['held_first_offset']}-{held['held_next_offset'] - 1}"
    assert offsets in shown.stderr
    assert millrace.cli("table", "skip", NAME, "public.orders", "--offsets", "0-1", check=False).returncode == 1
    millrace.cli("table", "skip", NAME, "public.orders", "--offsets", offsets)
    millrace.sql("source", NAME, "UPDATE orders SET note = 'after the skip' WHERE id = 4")
    eventually(lambda: note(millrace, "orders", 4) == [("after the skip",)], 20, "goes on behind the range")
    assert note(millrace, "orders", 2) == [("bad",)]
    told = eventually(lambda: [e for e in events(millrace, "table_skipped", "orders") if e["worker"]], 10, "the event")
    assert told[-1]["position"] == f"offsets {offsets}"


def test_a_resync_brings_back_what_was_skipped_and_lost(millrace, pipeline):
    millrace.sql("destination", NAME, "ALTER TABLE orders DROP CONSTRAINT calm_words; DELETE FROM orders WHERE id > 50; INSERT INTO orders VALUES (7777, 'stray')")
    millrace.cli("table", "resync", NAME, "public.orders")
    source = millrace.rows("source", NAME, "SELECT * FROM orders")
    eventually(lambda: millrace.rows("destination", NAME, "SELECT * FROM orders") == source, 60, "equal again")
    millrace.wait(NAME)
    assert events(millrace, "copy_finished", "orders")


def test_a_resync_passes_over_what_a_table_is_held_at(millrace, pipeline):
    refuse(millrace, "worst")
    millrace.sql("source", NAME, "UPDATE orders SET note = 'mended' WHERE id = 2")
    millrace.cli("table", "resync", NAME, "public.orders")
    eventually(lambda: note(millrace, "orders", 2) == [("mended",)], 60, "the copy stands behind the poison")
    in_state(millrace, "orders", "live")
    millrace.wait(NAME)


def test_a_resync_under_writes_ends_equal(millrace, pipeline):
    stop = threading.Event()

    def write():
        connection = millrace.connect("source", NAME)
        n = 0
        with connection.cursor() as cursor:
            while not stop.is_set():
                n += 1
                cursor.execute("UPDATE busy SET n = n + 1 WHERE id = %s", (n % 500 + 1,))
                if n % 10 == 0:
                    cursor.execute("DELETE FROM busy WHERE id = %s", (n % 37 + 1,))
                    cursor.execute("INSERT INTO busy (id) VALUES (%s)", (1000 + n,))
                time.sleep(0.002)
        connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(2):
            before = len(events(millrace, "copy_finished", "busy"))
            millrace.cli("table", "resync", NAME, "public.busy")
            eventually(lambda: len(events(millrace, "copy_finished", "busy")) > before, 60, "copied again")
            time.sleep(1)
    finally:
        stop.set()
        writer.join()
    millrace.wait(NAME)
    assert millrace.rows("source", NAME, "SELECT * FROM busy") == millrace.rows("destination", NAME, "SELECT * FROM busy")


def test_a_column_added_is_told_with_before_and_after(millrace, pipeline):
    millrace.sql("source", NAME, "ALTER TABLE calm ADD COLUMN extra bigint; INSERT INTO calm VALUES (500, 'x', 5)")
    millrace.wait(NAME)
    told = eventually(lambda: events(millrace, "schema_changed", "calm"), 10, "the event")
    assert "extra" not in told[-1]["before"] and "extra bigint" in told[-1]["after"]


def test_a_table_renamed_or_made_again_is_copied_under_its_name(millrace, pipeline):
    millrace.sql("source", NAME, "ALTER TABLE calm RENAME TO quiet; INSERT INTO quiet VALUES (600, 'renamed', 6)")
    eventually(lambda: millrace.rows("destination", NAME, "SELECT * FROM quiet") == millrace.rows("source", NAME, "SELECT * FROM quiet"), 60, "under its new name")
    millrace.sql("source", NAME, "DROP TABLE busy; CREATE TABLE busy (id int PRIMARY KEY, n int); INSERT INTO busy VALUES (1, 42)")
    eventually(lambda: millrace.rows("destination", NAME, "SELECT id, n FROM busy") == ["1\t42"], 60, "made again")
    millrace.wait(NAME)
    assert events(millrace, "tables_changed")


def test_unknown_tables_and_events_once(millrace, pipeline):
    assert "TABLE" in millrace.cli("table", "pause", NAME, "nodot", check=False).stderr.upper()
    assert millrace.cli("table", "pause", NAME, "public.nothing", check=False).returncode == 1
    all_events = events(millrace)
    assert len({e["id"] for e in all_events}) == len(all_events)
    assert [e["sequence"] for e in all_events] == sorted(e["sequence"] for e in all_events)
    assert {"deployed", "publisher_takeover", "copy_started", "table_paused", "table_resync"} <= {e["type"] for e in all_events}
