"""A database of many small tables in one pipeline: how long until all are live, what it costs, and that one change among them is quick."""

import os
import time

from harness import FULL, eventually

TABLES = int(os.environ.get("MILLRACE_TEST_TABLES", 10_000 if FULL else 500))
# Each of them is a turn at the file.
IN_DUCKDB = min(TABLES, 1_000)


# As long as names get, so that what is told of each table is as much as it gets.
SUFFIX = "_" + "long_name_" * 5


def make_tables(millrace, name, tables):
    millrace.create_database("source", name)
    for first in range(0, tables, 500):
        millrace.sql("source", name, f"""DO $$ BEGIN FOR i IN {first}..{min(first + 500, tables) - 1} LOOP
            EXECUTE format('CREATE TABLE t_%s{SUFFIX} (id int PRIMARY KEY, v text); INSERT INTO t_%s{SUFFIX} VALUES (1, %L), (2, NULL)', i, i, 'v' || i); END LOOP; END $$""")


def memory_mb(millrace, process):
    with open(f"/proc/{millrace.stack.pid(process)}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) // 1024


def cpu_seconds(millrace, process):
    with open(f"/proc/{millrace.stack.pid(process)}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def replicate(millrace, name, destination, tables):
    began = time.monotonic()
    millrace.replicate(name, millrace.url("source", name), destination, "--no-wait", timeout=1200)
    deployed = time.monotonic() - began
    millrace.cli("wait", name, "--for", "caught-up", "--timeout", "3600s", timeout=3700)
    eventually(lambda: millrace.cli("wait", name, "--for", "live", "--timeout", "60s", check=False).returncode == 0, 600, "live")
    live = time.monotonic() - began
    began = time.monotonic()
    status = millrace.status(name)
    asked = time.monotonic() - began
    assert len(status["tables"]) == tables and {t["state"] for t in status["tables"]} == {"live"}
    size = len(millrace.cli("status", name, "-o", "json").stdout)
    cpu = {p: cpu_seconds(millrace, p) for p in ("w1", "control")}
    time.sleep(10)
    idle = {p: (cpu_seconds(millrace, p) - cpu[p]) * 10 for p in cpu}
    print(f"\n{tables} tables into {destination.split(':')[0]}: deployed in {deployed:.1f} s, live after {live:.1f} s; worker {memory_mb(millrace, 'w1')} MB, "
          f"control plane {memory_mb(millrace, 'control')} MB; at rest worker {idle['w1']:.1f} % of a core, control plane {idle['control']:.1f} %; status {asked:.2f} s, {size >> 10} KiB")


def seconds_until(look, change):
    began = time.monotonic()
    change()
    eventually(look, 60, "the change is visible")
    return time.monotonic() - began


def check(millrace, name, tables, read):
    """Some tables row by row, and a change to each of them."""
    some = sorted({0, 1, 7, tables // 2, tables - 1})
    for i in some:
        assert read(f"SELECT id, v FROM public.t_{i}{SUFFIX} ORDER BY id") == [f"1\tv{i}", "2\t\\N"]
    waits = [seconds_until(lambda: read(f"SELECT v FROM public.t_{i}{SUFFIX} WHERE id = 2") == ["changed"], lambda: millrace.sql("source", name, f"UPDATE t_{i}{SUFFIX} SET v = 'changed' WHERE id = 2")) for i in some]
    print(f"a change of one row: visible after {max(waits):.2f} s at most")
    assert max(waits) < 10
    # Every table at once.
    for first in range(0, tables, 500):
        millrace.sql("source", name, f"DO $$ BEGIN FOR i IN {first}..{min(first + 500, tables) - 1} LOOP EXECUTE format('UPDATE t_%s{SUFFIX} SET v = %L WHERE id = 1', i, 'all'); END LOOP; END $$")
    began = time.monotonic()
    millrace.cli("wait", name, "--for", "caught-up", "--timeout", "1800s", timeout=1900)
    print(f"a change of every table: caught up after {time.monotonic() - began:.1f} s")
    assert read(f"SELECT v FROM public.t_{tables - 1}{SUFFIX} WHERE id = 1") == ["all"]


def test_many_tables_into_postgres(millrace):
    make_tables(millrace, "many", TABLES)
    millrace.create_database("destination", "many")
    replicate(millrace, "many", millrace.url("destination", "many"), TABLES)
    check(millrace, "many", TABLES, lambda query: millrace.rows("destination", "many", query))
    # Seen while it streams: one table more, among all the others.
    millrace.sql("source", "many", "CREATE TABLE late (id int PRIMARY KEY); INSERT INTO late VALUES (1)")
    took = seconds_until(lambda: millrace.rows("destination", "many", "SELECT id FROM late") == ["1"], lambda: None)
    print(f"a new table: there after {took:.1f} s")
    began = time.monotonic()
    millrace.cli("pipeline", "delete", "many", timeout=1200)
    print(f"deleted in {time.monotonic() - began:.1f} s")


def test_many_tables_into_duckdb(millrace):
    make_tables(millrace, "quack", IN_DUCKDB)
    file = millrace.folder / "quack.duckdb"
    replicate(millrace, "quack", f"duckdb://{file}", IN_DUCKDB)
    check(millrace, "quack", IN_DUCKDB, lambda query: millrace.duckdb_rows(file, query))
