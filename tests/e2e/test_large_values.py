"""One cell of 200 MB: into both destinations, over deaths in its middle, within bounded memory; and one beyond the limit."""

import pathlib
import threading
import time

from harness import eventually

NAME = "large"
# 200,000,000 characters that hardly compress, made at the server.
CELL = "(SELECT string_agg(md5(g::text), '') FROM generate_series(1, 6250000) g)"
# What docs/operations.md says of a pipeline whose two halves run in one worker: nine times its largest record.
MEMORY_KB = (9 * 200_000_000 + 200_000_000) // 1024


def memory_peak(millrace, worker):
    status = pathlib.Path(f"/proc/{millrace.stack.pid(worker)}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])


class Deaths(threading.Thread):
    """Kills the worker now and then while it has a large record under way."""

    def __init__(self, millrace, times):
        super().__init__()
        self.millrace, self.times, self.done = millrace, times, 0
        self.ended = threading.Event()

    def run(self):
        for _ in range(self.times):
            if self.ended.wait(2.5):
                return
            self.millrace.kill("w1")
            self.millrace.restart("w1")
            self.done += 1


def test_a_cell_of_200_mb(millrace):
    millrace.create_database("source", NAME)
    millrace.create_database("destination", NAME)
    millrace.sql("source", NAME, f"""
        CREATE TABLE documents (id int PRIMARY KEY, body text, note text);
        CREATE TABLE small (id int PRIMARY KEY, n int);
        INSERT INTO documents VALUES (1, {CELL}, 'copied'), (2, 'short', 'copied');
        INSERT INTO small VALUES (1, 0)""")
    file = millrace.folder / "large.duckdb"
    millrace.replicate(NAME, millrace.url("source", NAME), millrace.url("destination", NAME), timeout=400)
    millrace.replicate("large-duckdb", millrace.url("source", NAME), f"duckdb://{file}", timeout=400)
    query = "SELECT id, md5(body), length(body), note FROM documents"

    def equal():
        source = millrace.rows("source", NAME, query)
        assert millrace.rows("destination", NAME, query) == source
        assert millrace.duckdb_rows(file, query.replace("documents", "public.documents")) == source

    deaths = Deaths(millrace, 2)
    deaths.start()
    # Streamed: a new cell, and an update that does not send one.
    millrace.sql("source", NAME, f"INSERT INTO documents VALUES (3, {CELL} || 'x', 'streamed')")
    millrace.sql("source", NAME, "UPDATE small SET n = n + 1; UPDATE documents SET note = 'changed' WHERE id = 1")
    deaths.ended.wait(8)
    deaths.ended.set()
    deaths.join()
    assert deaths.done == 2
    millrace.wait(NAME, timeout="300s")
    millrace.wait("large-duckdb", timeout="300s")
    equal()
    peak = memory_peak(millrace, "w1")
    print(f"peak of the worker's memory: {peak // 1024} MiB, two pipelines")
    # Each pipeline has a publisher and a consumer.
    assert peak < 2 * MEMORY_KB
    millrace.cli("pipeline", "delete", "large-duckdb")


def test_a_record_beyond_the_limit_names_its_table(millrace):
    millrace.sql("source", NAME, "CREATE TABLE huge (id int PRIMARY KEY, body text)")
    eventually(lambda: any(t["table"] == "huge" for t in millrace.status(NAME)["tables"]), 60, "the table is known")
    millrace.wait(NAME)
    millrace.sql("source", NAME, "INSERT INTO huge SELECT 1, repeat('0123456789', 30000000)")

    def shown():
        status = millrace.status(NAME)
        texts = [(t["error_reason"], t["error"]) for t in status["tables"]] + [(status["publisher"]["error_reason"], status["publisher"]["error"])]
        return [text for reason, text in texts if reason == "RECORD_TOO_LARGE"]

    error = eventually(shown, 60, "RECORD_TOO_LARGE is shown")[0]
    assert "public.huge" in error and "limit is 256 MiB" in error, error
    millrace.cli("pipeline", "delete", NAME)
