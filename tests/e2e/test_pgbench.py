"""pgbench under load into PostgreSQL and DuckDB, and everything that may die dying once meanwhile."""

import time

import pytest

from harness import FULL, eventually

SCALE = 10 if FULL else 1
SECONDS = 60 if FULL else 12

TABLES = {
    "pgbench_accounts": "SELECT aid, bid, abalance, filler FROM public.pgbench_accounts",
    "pgbench_branches": "SELECT bid, bbalance, filler FROM public.pgbench_branches",
    "pgbench_tellers": "SELECT tid, bid, tbalance, filler FROM public.pgbench_tellers",
    "pgbench_history": "SELECT tid, bid, aid, delta, mtime FROM public.pgbench_history",
}


def prepare(millrace, name):
    millrace.create_database("source", name)
    millrace.create_database("destination", name)
    millrace.pgbench(name, "-i", "-q", "-s", SCALE)


def assert_equal_postgres(millrace, name):
    for table, query in TABLES.items():
        source = millrace.rows("source", name, query)
        destination = millrace.rows("destination", name, query)
        assert len(source) == len(destination), f"{table}: {len(source)} rows at the source, {len(destination)} at the destination"
        assert source == destination, f"{table} differs"


def test_postgres_under_load(millrace):
    prepare(millrace, "plain")
    load = millrace.pgbench("plain", "-n", "-c", 4, "-T", SECONDS, background=True)
    millrace.replicate("plain", millrace.url("source", "plain"), millrace.url("destination", "plain"))
    assert load.wait() == 0
    millrace.wait("plain")
    assert_equal_postgres(millrace, "plain")
    status = millrace.status("plain")
    assert status["state"] == "live"
    assert {t["table"] for t in status["tables"]} == set(TABLES)
    assert next(t for t in status["tables"] if t["table"] == "pgbench_history")["append_only"]
    millrace.cli("pipeline", "delete", "plain")
    assert millrace.sql("source", "plain", "SELECT count(*) FROM pg_replication_slots WHERE database = 'plain'")[0][0] == 0
    assert millrace.sql("source", "plain", "SELECT count(*) FROM pg_publication")[0][0] == 0


def test_duckdb_under_load(millrace):
    prepare(millrace, "duck")
    file = millrace.folder / "duck.duckdb"
    load = millrace.pgbench("duck", "-n", "-c", 4, "-T", SECONDS, background=True)
    millrace.replicate("duck", millrace.url("source", "duck"), f"duckdb://{file}")
    assert load.wait() == 0
    millrace.wait("duck")
    for table, query in TABLES.items():
        source = millrace.rows("source", "duck", f"SELECT md5(x::text) FROM (SELECT concat_ws('|', {columns(query)}) AS x FROM public.{table}) s")
        destination = millrace.duckdb_rows(file, f"SELECT md5(concat_ws('|', {columns(query)})) FROM public.{table}")
        assert len(source) == len(destination), table
        assert source == destination, f"{table} differs"
    millrace.cli("pipeline", "delete", "duck")


def columns(query):
    # Both print timestamps alike but for trailing zeros: compare them as microseconds.
    names = query.split("SELECT ")[1].split(" FROM")[0].split(", ")
    return ", ".join("CAST(extract(epoch FROM mtime) * 1000000 AS bigint)" if n == "mtime" else n for n in names)


@pytest.mark.parametrize("victim", ["w1", "control", "kafka", "destination", "source"])
def test_kill_each_once_under_load(millrace, victim):
    name = f"kill-{victim}"
    prepare(millrace, name)
    load = millrace.pgbench(name, "-n", "-c", 2, "-T", SECONDS, background=True)
    millrace.replicate(name, millrace.url("source", name), millrace.url("destination", name), "--no-wait")
    if victim not in ("w1", "destination"):
        millrace.wait(name, "live")
    time.sleep(1)
    millrace.kill(victim)
    time.sleep(1)
    millrace.restart(victim)
    load.wait()
    eventually(lambda: millrace.cli("wait", name, "--for", "caught-up", "--timeout", "20s", check=False).returncode == 0, 150, "caught up")
    assert_equal_postgres(millrace, name)
    millrace.cli("pipeline", "delete", name)
