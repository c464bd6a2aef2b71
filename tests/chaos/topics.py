"""An outside reader of the pipeline's topics: order, nothing of a transaction that was rolled back, each mark once, and the
source's log never freed beyond what Kafka holds.

Not for: the destination (oracle, history).
"""

import json
import subprocess
import threading
import time
from collections import Counter, defaultdict

import psycopg2

from stack import BIN, DATABASE, PIPELINE

CONTROL = f"millrace.{PIPELINE}.__control"
MARKS = f"millrace.{PIPELINE}.public.marks"


def mark_of(key):
    """Id of a mark from its record key: one cell, a varint length and the text, in hexadecimal."""
    raw = bytes.fromhex(key)
    if not raw or raw[0] != len(raw) - 1:
        raise ValueError(f"a mark's key is {key}")
    return int(raw[1:])


class TopicChecks:
    """Judges records in the order in which they are read; pure."""

    def __init__(self):
        self.failures = []
        self.next_offset = {}
        self.last = {}
        self.xids = defaultdict(set)
        self.marks = defaultdict(Counter)
        # Those that came as rows that existed before: a chunk holds what its snapshot saw, also of what had been streamed.
        self.read_marks = defaultdict(Counter)
        self.records = 0
        self.durable_end = 0
        self.streaming = False
        self.streamed = set()
        # Emptied after changes had been streamed: by a truncate at the source, or by a copy that begins.
        self.emptied = set()
        # Tables that were copied anew while their changes were streaming.
        self.recopied = set()

    def fail(self, text):
        if len(self.failures) < 50 and text not in self.failures:
            self.failures.append(text)

    def take(self, record):
        topic = record["topic"]
        if "end" in record:
            self.next_offset[topic] = max(self.next_offset.get(topic, 0), record["end"])
            return
        offset = record["offset"]
        if offset < self.next_offset.get(topic, 0) and record.get("index", 0) == 0:
            self.fail(f"{topic} offset {offset}: read again after offset {self.next_offset[topic] - 1}")
        self.next_offset[topic] = offset + 1
        position = (record["generation"], record["commit_lsn"], record["seq"])
        before = self.last.get(topic)
        self.last[topic] = position
        if record["op"] == "position":
            # The position may stay where it is while the log moves on outside transactions.
            if before is not None and position < before:
                self.fail(f"{topic} offset {offset}: the durable position went back from {before} to {position}")
            self.streaming = record["streaming"]
            self.durable_end = max(self.durable_end, record["end_lsn"])
            return
        self.records += 1
        if before is not None and position <= before:
            self.fail(f"{topic} offset {offset}: (generation, commit_lsn, seq) {position} does not follow {before}")
        if before is not None and before[0] < position[0]:
            self.streamed.discard(topic)
            self.emptied.discard(topic)
        if record["op"] in ("insert", "update", "delete"):
            self.streamed.add(topic)
        elif record["op"] in ("truncate", "resync") and topic in self.streamed:
            self.emptied.add(topic)
        elif record["op"] == "read" and topic in self.emptied:
            self.recopied.add(topic.rsplit(".", 1)[1].replace("_5f", "_"))
        if record["xid"]:
            self.xids[record["xid"]].add(topic)
        if topic == MARKS and record["key"]:
            marks = self.read_marks if record["op"] == "read" else self.marks
            marks[record["generation"]][mark_of(record["key"])] += 1

    def finish(self, ledger):
        """What can be said only when every transaction's fate is known."""
        for xid in ledger.never_committed():
            for topic in self.xids.get(xid & 0xFFFFFFFF, ()):
                self.fail(f"{topic}: holds changes of transaction {xid}, which was rolled back")
        latest = max([*self.marks, *self.read_marks], default=0)
        for mark in ledger.committed:
            changes, reads = self.marks[latest][mark], self.read_marks[latest][mark]
            if changes > 1 or reads > 1 or changes + reads == 0:
                self.fail(f"{MARKS}: committed mark {mark} is there {changes} times, and {reads} times as a row that existed before")
        for marks in (*self.marks.values(), *self.read_marks.values()):
            for mark in marks:
                if mark in ledger.absent:
                    self.fail(f"{MARKS}: mark {mark} was never committed")


class TopicWatch:
    """Reads the topics now and then while the round runs, and once at its end; samples the slot in between."""

    def __init__(self, stack):
        self.stack = stack
        self.checks = TopicChecks()
        self.flushed = []
        self.judged = 0
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self.read_repeatedly, daemon=True), threading.Thread(target=self.sample_repeatedly, daemon=True)]

    def start(self):
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(60)

    def read_repeatedly(self):
        while not self.stopping.wait(8):
            self.read(20)

    def sample_repeatedly(self):
        while not self.stopping.wait(0.3):
            try:
                self.sample()
            except psycopg2.Error:
                time.sleep(0.5)

    def sample(self):
        connection = psycopg2.connect(host="127.0.0.1", port=self.stack.ports["source"], user="postgres", dbname=DATABASE,
                                      password=self.stack.password, connect_timeout=5)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                while not self.stopping.is_set():
                    cursor.execute("SELECT (confirmed_flush_lsn - '0/0')::bigint FROM pg_replication_slots"
                                   " WHERE NOT temporary AND database = current_database()")
                    for (lsn,) in cursor.fetchall():
                        if lsn is not None:
                            self.flushed.append(int(lsn))
                    self.stopping.wait(0.2)
        finally:
            connection.close()

    def read(self, seconds, into=None):
        """Whether the end was reached; records that came count in any case."""
        checks = into or self.checks
        seen = len(self.flushed)
        offsets = self.stack.folder / "topic-offsets"
        offsets.write_text("".join(f"{t} {o}\n" for t, o in checks.next_offset.items()))
        command = [BIN / "topic-dump", "--kafka", f"127.0.0.1:{self.stack.ports['kafka']}", "--pipeline", PIPELINE, "--from", offsets, "--timeout", str(seconds)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            for line in process.stdout:
                if line.endswith("\n"):
                    checks.take(json.loads(line))
            self.complaint = process.stderr.read().strip()
        if process.returncode == 0 and into is None and checks.streaming:
            # Sampled before the dump began, so what allowed it stands in the control topic by now.
            highest = max(self.flushed[self.judged:seen], default=0)
            self.judged = seen
            if highest > checks.durable_end:
                checks.fail(f"the slot was confirmed up to {highest}, Kafka holds only up to {checks.durable_end}")
        return process.returncode == 0

    def finish(self, ledger):
        """Everything again from the beginning: what was once readable as committed is still so."""
        if not self.read(60):
            self.checks.fail(f"the topics could not be read to their end: {self.complaint}")
        again = TopicChecks()
        if not self.read(120, again):
            self.checks.fail(f"the topics could not be read again: {self.complaint}")
        if again.records != self.checks.records or again.marks != self.checks.marks:
            self.checks.fail(f"read again, the topics hold {again.records} records, before {self.checks.records}")
        if not self.judged:
            self.checks.fail("the slot's confirmed_flush_lsn was never compared with the control topic")
        self.checks.failures += [f for f in again.failures if f not in self.checks.failures]
        self.checks.finish(ledger)
        return self.checks.failures
