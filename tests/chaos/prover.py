"""One chaos round: a private stack, a workload, a nemesis, readers, and the comparison.

Not for: the command line (run).
"""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
import traceback

import psycopg2

from history import HistoryWatch
from nemesis import Nemesis, Stuck
from oracle import Oracle
from stack import BIN, DATABASE, PIPELINE, ChaosStack
from tables import tables
from topics import TopicWatch
from workload import OPTIONS, Workload, prepare

CATCH_UP_SECONDS = 240


class Result:
    def __init__(self, seed, destination):
        self.seed = seed
        self.destination = destination
        self.counts = dict.fromkeys(("rows", "lost", "extra", "duplicate", "stale"), 0)
        self.kills = 0
        self.died_at = {}
        self.nemesis = ""
        self.transactions = {}
        self.records = 0
        self.looks = 0
        self.failures = []
        self.logs = None

    def line(self):
        counts = " ".join(f"{k} {v}" for k, v in self.counts.items())
        fates = ", ".join(f"{n} {fate}" for fate, n in sorted(self.transactions.items()))
        return (f"seed {self.seed} {self.destination}: {self.nemesis} · transactions: {fates} · {self.records} records, "
                f"{self.looks} looks · {counts} · {'FAILED' if self.failures else 'OK'}")


class Round:
    def __init__(self, seed, seconds, destination, say, marks=2, rate=25, large_rows=50_000, large_every=12, threads=4, tamper=None,
                 nemesis=Nemesis, keep=True):
        self.seed = seed
        self.seconds = seconds
        self.say = say
        self.marks = marks
        # Whether the logs of a round that failed are kept.
        self.keep_logs = keep
        # Done once, after the first part of the round.
        self.tamper = tamper
        self.result = Result(seed, destination)
        self.tables = tables()
        self.stack = ChaosStack(destination, ["w1", "w2"] if destination == "postgres" else ["w1"])
        # Two rounds of three read the tables that have a key in chunks.
        self.stack.chunk_rows = (0, 40, 7)[seed % 3]
        self.oracle = Oracle(self.stack, self.tables)
        self.nemesis = nemesis(self.stack, seed, self.tell)
        self.workload = Workload(self.connect_source, self.tables, seed, threads=threads, rate=rate, large_rows=large_rows,
                                 large_every=large_every)
        self.topics = TopicWatch(self.stack)
        self.history = HistoryWatch(self.stack, self.tables, 0.4 if destination == "postgres" else 1.5)
        self.nemesis.check = self.check
        self.watching = False
        self.began = time.monotonic()

    def tell(self, text):
        self.say(f"  {time.strftime('%H:%M:%S')} +{time.monotonic() - self.began:.0f}s {text}")

    def connect_source(self):
        connection = psycopg2.connect(host="127.0.0.1", port=self.stack.ports["source"], user="postgres", dbname=DATABASE,
                                      password=self.stack.password, options=OPTIONS, connect_timeout=10)
        connection.autocommit = True
        return connection

    def check(self):
        """Ends the round as soon as something is known to be wrong."""
        if self.workload.failure is not None:
            raise self.workload.failure
        if self.topics.checks.failures or self.history.failures():
            raise AssertionError("a reader has seen what must not be")

    def run(self):
        """Never raises; the result says what failed."""
        try:
            self.stack.start()
            self.play()
        except KeyboardInterrupt:
            self.result.failures.append("interrupted")
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001: a round that breaks has failed
            detail = str(error) if isinstance(error, (Stuck, AssertionError)) else traceback.format_exc()
            self.result.failures.append(detail.strip())
            self.result.failures += self.seen_so_far()
        finally:
            self.end()
        return self.result

    def play(self):
        self.stack.create_database("source", DATABASE)
        if self.result.destination == "postgres":
            self.stack.create_database("destination", DATABASE)
        connection = self.connect_source()
        prepare(connection, self.tables)
        connection.close()
        self.workload.start()
        time.sleep(1)
        self.stack.create_pipeline()
        self.topics.start()
        self.history.start()
        self.watching = True
        for part in range(self.marks + 1):
            self.nemesis.run(self.seconds / (self.marks + 1))
            if part < self.marks:
                self.rest("mark")
                self.history.streaming.set()
                self.workload.release()
                if self.tamper is not None:
                    time.sleep(3)
                    self.tamper(self)
                    self.tamper = None
        self.rest("end")
        self.workload.stop()
        self.finish_watches()

    def rest(self, what):
        """Everything runs, nothing changes, all has arrived: then the two sides are equal."""
        self.stack.heal()
        self.nemesis.reap(arm=False)
        self.workload.hold()
        self.check()
        began = time.monotonic()
        self.await_caught_up()
        caught = time.monotonic() - began
        differences = self.oracle.compare_all()
        for difference in differences:
            self.result.counts["rows"] += difference.rows
            for kind in ("lost", "extra", "duplicate", "stale"):
                self.result.counts[kind] += len(getattr(difference, kind))
            if difference.any():
                self.result.failures.append(f"at the {what}: {difference}")
        equal = not any(d.any() for d in differences)
        self.tell(f"{what}: caught up in {caught:.1f} s, {sum(d.rows for d in differences)} rows {'equal' if equal else 'DIFFER'}")
        if not equal:
            raise AssertionError(f"source and destination differ at the {what}")
        self.nemesis.note()

    def await_caught_up(self):
        deadline = time.monotonic() + CATCH_UP_SECONDS
        done = None
        while time.monotonic() < deadline:
            done = self.stack.cli("wait", PIPELINE, "--for", "caught-up", "--timeout", "20s", check=False)
            # One may have been told to die at a place that it comes to only now.
            self.nemesis.reap(arm=False)
            if done.returncode == 0:
                return
            self.check()
            self.nemesis.ask_status()
            time.sleep(0.5)
        status = self.stack.cli("status", PIPELINE, check=False).stdout
        raise Stuck(f"not caught up within {CATCH_UP_SECONDS} s of rest: {done.stderr.strip()}\n{status}")

    def seen_so_far(self):
        """What the readers found before the round broke."""
        if not self.watching:
            return []
        self.topics.stop()
        if self.stack.stack.alive("kafka"):
            self.topics.read(20)
        return self.topics.checks.failures + self.history.failures()

    def finish_watches(self):
        connection = self.connect_source()
        self.workload.ledger.resolve(connection)
        connection.close()
        self.history.stop()
        self.topics.stop()
        found = self.topics.finish(self.workload.ledger)
        self.result.failures += self.history.failures(self.topics.checks.recopied) + found

    def end(self):
        self.workload.stopping.set()
        self.result.kills = sum(self.nemesis.kills.values())
        self.result.died_at = dict(self.nemesis.died_at)
        self.result.nemesis = self.nemesis.summary()
        self.result.transactions = dict(self.workload.ledger.fates)
        self.result.records = self.topics.checks.records
        self.result.looks = self.history.looks
        if self.result.failures and self.keep_logs:
            try:
                self.keep()
            except Exception as error:  # noqa: BLE001: the stack must be stopped in any case
                self.result.failures.append(f"the logs could not be kept: {error}")
        self.workload.go.set()
        self.history.stopping.set()
        self.topics.stopping.set()
        self.stack.stop()

    def keep(self):
        """Copies what a person needs to understand the failure."""
        base = pathlib.Path(os.environ.get("MILLRACE_TEST_KEEP") or tempfile.gettempdir())
        folder = base / f"millrace-chaos-{self.result.destination}-seed{self.seed}-{int(time.time())}"
        shutil.copytree(self.stack.folder / "logs", folder)
        (folder / "failures.txt").write_text("\n".join(self.result.failures) + "\n")
        status = self.stack.cli("status", PIPELINE, "-o", "json", check=False)
        (folder / "status.json").write_text(status.stdout or status.stderr)
        self.dump_topics(folder)
        self.result.logs = folder

    def dump_topics(self, folder):
        if not self.stack.stack.alive("kafka"):
            return
        with open(folder / "topics.jsonl", "wb") as out:
            subprocess.run([BIN / "topic-dump", "--kafka", f"127.0.0.1:{self.stack.ports['kafka']}", "--pipeline", PIPELINE, "--timeout", "60"],
                           stdout=out, stderr=subprocess.DEVNULL)


def describe(result):
    """The line of a round and, where it failed, what failed first and where the logs are."""
    lines = [result.line()]
    lines += [f"    {line}" for failure in result.failures[:8] for line in failure.splitlines()[:40]]
    if result.logs:
        lines.append(f"    logs: {result.logs}")
    return "\n".join(lines)


def as_json(result):
    return json.dumps({"seed": result.seed, "destination": result.destination, "kills": result.kills, **result.counts, "failures": result.failures})
