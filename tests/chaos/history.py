"""Watches the destination's rows while the round runs: none goes back in time, none that is gone for good comes back.

Not for: equality with the source (oracle).
"""

import threading

import psycopg2

from oracle import quoted
from stack import DATABASE


class History:
    """What was seen of one table's keys; pure."""

    def __init__(self, table):
        self.table = table
        self.versions = {}
        self.once_present = set()
        self.gone = set()
        self.failures = []
        # Of a table that is copied anew rows go and come back.
        self.returned = []
        self.rows = 0

    def fail(self, text, failures=None):
        failures = self.failures if failures is None else failures
        if len(failures) < 20:
            failures.append(f"{self.table}: {text}")

    def take(self, rows, deletions_count):
        """`rows`: (key, version, once) of one look. `deletions_count`: false while a first copy may start over."""
        present = set()
        self.rows += len(rows)
        for key, version, once in rows:
            seen = self.versions.get(key)
            if seen is not None and version < seen:
                self.fail(f"key {key!r} went back from version {seen} to {version}")
            self.versions[key] = max(version, seen or 0)
            if once:
                present.add(key)
                if key in self.gone:
                    self.fail(f"key {key!r} was deleted for good and is there again", self.returned)
        if deletions_count:
            self.gone |= self.once_present - present
            self.once_present = present


class HistoryWatch:
    def __init__(self, stack, tables, pause):
        self.stack = stack
        self.tables = [t for t in tables if t.history]
        self.histories = {t.name: History(t.name) for t in self.tables}
        self.pause = pause
        self.looks = 0
        self.streaming = threading.Event()
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def start(self):
        self.thread.start()

    def stop(self):
        self.stopping.set()
        self.thread.join(60)

    def run(self):
        turn = 0
        while not self.stopping.wait(self.pause):
            turn += 1
            self.look(self.tables[turn % len(self.tables)])

    def look(self, table):
        # Asked before the look: a copy may start over while it lasts.
        streaming = self.streaming.is_set()
        key = ", ".join(quoted(c) for c in table.key)
        query = f"SELECT ver, CASE WHEN once THEN 1 ELSE 0 END AS o, {key} FROM public.{table.name}"
        try:
            lines = self.lines(query)
        except (psycopg2.Error, OSError):
            return
        self.looks += 1
        rows = []
        for line in lines:
            version, once, rest = line.split("\t", 2)
            rows.append((rest, int(version), once == "1"))
        self.histories[table.name].take(rows, streaming)

    def lines(self, query):
        if self.stack.destination_type == "duckdb":
            return self.stack.duckdb(query, "3s")
        # Past the proxy; a stopped server must not hold the watch for long.
        import io
        connection = psycopg2.connect(host="127.0.0.1", port=self.stack.ports["destination"], user="postgres", dbname=DATABASE,
                                      password=self.stack.password, connect_timeout=5)
        try:
            with connection.cursor() as cursor:
                out = io.StringIO()
                cursor.copy_expert(f"COPY ({query}) TO STDOUT", out)
            return out.getvalue().split("\n")[:-1]
        finally:
            connection.close()

    def failures(self, recopied=None):
        """`recopied`: names of tables that were copied anew; unknown while the round runs."""
        found = [f for h in self.histories.values() for f in h.failures]
        if recopied is not None:
            found += [f for name, h in self.histories.items() if name not in recopied for f in h.returned]
        return found
