"""Several workers on one pipeline, and life without a control plane."""

import os
import signal
import time

from harness import FULL, eventually

TABLE_COUNT = 6


def make_tables(millrace, name):
    millrace.create_database("source", name)
    millrace.create_database("destination", name)
    for i in range(TABLE_COUNT):
        millrace.sql("source", name, f"CREATE TABLE t{i} (id bigint PRIMARY KEY, v int NOT NULL, note text)")
        millrace.sql("source", name, f"INSERT INTO t{i} SELECT g, 0, repeat('x', 40) FROM generate_series(1, 500) g")


def equal(millrace, name):
    for i in range(TABLE_COUNT):
        query = f"SELECT id, v, note FROM t{i}"
        assert millrace.rows("source", name, query) == millrace.rows("destination", name, query), f"t{i} differs"


def churn(millrace, name, rounds):
    first = millrace.sql("source", name, "SELECT greatest(max(id), 9999) - 9999 FROM t0 WHERE id < 70000")[0][0]
    for n in range(first, first + rounds):
        for i in range(TABLE_COUNT):
            millrace.sql("source", name, f"UPDATE t{i} SET v = v + 1 WHERE id % 7 = {n % 7}; DELETE FROM t{i} WHERE id = {n + 1};"
                                         f"INSERT INTO t{i} VALUES ({10_000 + n}, {n}, 'new')")


def owners(millrace, name):
    return {t["table"]: t["worker"] for t in millrace.status(name)["tables"] if t["state"] in ("live", "retrying")}


def test_tables_are_shared_and_move(millrace):
    make_tables(millrace, "shared")
    millrace.start_worker("w2")
    millrace.replicate("shared", millrace.url("source", "shared"), millrace.url("destination", "shared"))
    eventually(lambda: len(owners(millrace, "shared")) == TABLE_COUNT and len(set(owners(millrace, "shared").values())) == 2, 60, "both workers own tables")
    churn(millrace, "shared", 20 if FULL else 5)
    millrace.kill("w2")
    churn(millrace, "shared", 20 if FULL else 5)
    eventually(lambda: set(owners(millrace, "shared").values()) == {"w1"} and len(owners(millrace, "shared")) == TABLE_COUNT, 60, "all tables moved")
    millrace.wait("shared")
    equal(millrace, "shared")
    millrace.start_worker("w2")
    eventually(lambda: len(set(owners(millrace, "shared").values())) == 2, 60, "tables moved back")
    churn(millrace, "shared", 3)
    millrace.wait("shared")
    equal(millrace, "shared")
    assert millrace.terminate("w2") == 0


def test_a_worker_frozen_in_a_transaction_loses_its_tables_and_wakes_to_no_effect(millrace):
    name = "frozen"
    make_tables(millrace, name)
    if millrace.stack.alive("w2"):
        millrace.terminate("w2")
    # The other one publishes: the source gives a publisher's slot free only after its own wal_sender_timeout.
    millrace.replicate(name, millrace.url("source", name), millrace.url("destination", name))
    millrace.start_worker("w2")
    try:
        frozen_in_a_transaction(millrace, name)
    finally:
        assert millrace.terminate("w2") == 0


def frozen_in_a_transaction(millrace, name):
    eventually(lambda: len(owners(millrace, name)) == TABLE_COUNT and "w2" in owners(millrace, name).values(), 60, "both workers own tables")
    millrace.wait(name)
    table = next(t for t, worker in owners(millrace, name).items() if worker == "w2")
    # The batch is in its middle when the worker is stopped, and its transaction stays open behind it.
    millrace.sql("destination", name, f"""
        CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.note = 'slow' THEN PERFORM pg_sleep(1.5); END IF; RETURN NEW; END $$;
        CREATE TRIGGER slow BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION slow()""")
    millrace.sql("source", name, f"INSERT INTO {table} VALUES (50001, 1, 'slow')")
    eventually(lambda: millrace.sql("destination", name, "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"), 20, "in a batch")
    os.kill(millrace.stack.pid("w2"), signal.SIGSTOP)
    try:
        began = time.monotonic()
        millrace.sql("source", name, f"UPDATE {table} SET v = 2 WHERE id = 50001")
        eventually(lambda: millrace.sql("destination", name, f"SELECT v FROM {table} WHERE id = 50001") == [(2,)], 40, "another worker went on")
        took = time.monotonic() - began
        millrace.sql("source", name, f"DELETE FROM {table} WHERE id = 50001; UPDATE {table} SET v = 3 WHERE id < 50")
        eventually(lambda: millrace.sql("destination", name, f"SELECT count(*) FROM {table} WHERE v = 3") == [(49,)], 20, "and on")
    finally:
        os.kill(millrace.stack.pid("w2"), signal.SIGCONT)
    print(f"the table of a frozen worker went on after {took:.1f} s")
    assert took < 30
    churn(millrace, name, 3)
    eventually(lambda: "w2" in owners(millrace, name).values() and len(owners(millrace, name)) == TABLE_COUNT, 60, "the worker takes part again")
    millrace.wait(name)
    equal(millrace, name)


def test_data_flow_without_the_control_plane(millrace):
    make_tables(millrace, "alone")
    millrace.replicate("alone", millrace.url("source", "alone"), millrace.url("destination", "alone"))
    millrace.kill("control")
    churn(millrace, "alone", 3)

    def arrived(value):
        return millrace.sql("destination", "alone", f"SELECT count(*) FROM t0 WHERE id = {value}")[0][0] == 1

    eventually(lambda: arrived(10_002), 15, "changes arrive without the control plane")
    millrace.kill("w1")
    millrace.restart("w1")
    millrace.sql("source", "alone", "INSERT INTO t0 VALUES (77777, 1, 'after the restart')")
    eventually(lambda: arrived(77_777), 40, "changes arrive after a restart from the last good configuration")
    millrace.restart("control")
    eventually(lambda: millrace.status("alone")["state"] == "live", 30, "the status comes back")
    millrace.wait("alone")
    equal(millrace, "alone")


def test_pause_and_resume(millrace):
    name = "pausing"
    make_tables(millrace, name)
    millrace.replicate(name, millrace.url("source", name), millrace.url("destination", name))
    millrace.cli("pipeline", "pause", name)
    millrace.wait(name, "paused")
    millrace.sql("source", name, "INSERT INTO t0 VALUES (88888, 1, 'while paused')")
    time.sleep(2)
    assert millrace.sql("destination", name, "SELECT count(*) FROM t0 WHERE id = 88888")[0][0] == 0
    millrace.cli("pipeline", "resume", name)
    millrace.wait(name)
    assert millrace.sql("destination", name, "SELECT count(*) FROM t0 WHERE id = 88888")[0][0] == 1


def test_unknown_when_the_worker_is_gone(millrace):
    name = "silent"
    make_tables(millrace, name)
    millrace.replicate(name, millrace.url("source", name), millrace.url("destination", name))
    millrace.kill("w1")
    eventually(lambda: millrace.status(name)["state"] == "unknown", 15, "unknown after three heartbeats")
    millrace.restart("w1")
    eventually(lambda: millrace.status(name)["state"] == "live", 40, "live again")


def test_sigterm_ends_with_zero(millrace):
    assert millrace.terminate("w1") == 0
    millrace.restart("w1")
    assert millrace.terminate("control") == 0
    millrace.restart("control")
