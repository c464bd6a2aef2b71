"""Random transactions from several threads on the source, and the ledger of what became of each.

Not for: judging the outcome (oracle, topics). A thread's transactions are drawn from (seed, thread, number), so that a
round can be drawn again whatever happened to its connections.
"""

import random
import threading
import time
from collections import Counter

import psycopg2

REUSED = 60
HOT = 20
OPTIONS = "-c lock_timeout=3s -c statement_timeout=60s"


class Ledger:
    """What became of every transaction and of the marks that it wrote. Thread-safe."""

    def __init__(self):
        self.lock = threading.Lock()
        self.committed = set()
        self.absent = set()
        self.unknown = set()
        self.rolled_back_xids = set()
        self.other_xids = set()
        self.fates = Counter()

    def settle(self, fate, xid, marks, undone):
        """`undone`: marks behind a savepoint that was rolled back."""
        with self.lock:
            self.fates[fate] += 1
            self.absent.update(undone)
            if fate == "rolled back":
                self.absent.update(marks)
                self.rolled_back_xids.add(xid)
                return
            self.other_xids.add(xid)
            if fate == "unknown":
                self.unknown.update(marks)
            else:
                self.committed.update(marks)

    def resolve(self, connection):
        """Asks the source what became of transactions whose COMMIT was not answered."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT id FROM marks WHERE id = ANY(%s)", (list(self.unknown),))
            there = {row[0] for row in cursor.fetchall()}
        self.committed |= there
        self.absent |= self.unknown - there

    def never_committed(self):
        """Ids of transactions that were rolled back. A crash forgets those whose log was not written yet, and gives
        their ids to others."""
        return self.rolled_back_xids - self.other_xids - {None}


class Script:
    """One transaction: SQL pieces and pauses in order, and whether it is to be rolled back."""

    def __init__(self, rng, tables, thread, number):
        self.rng = rng
        self.tables = {t.name: t for t in tables}
        self.keyed = [t for t in tables if t.history]
        self.thread = thread
        self.number = number
        self.steps = []
        self.marks = []
        self.undone = []
        self.fresh_keys = 0
        self.ddl = None
        self.draw()

    # Keys ---------------------------------------------------------------------------------------------------------

    def reused(self):
        return 1_000_000 * (self.thread + 1) + self.rng.randrange(REUSED)

    def hot(self):
        return self.rng.randrange(HOT)

    def fresh(self):
        """A key that no transaction but this one ever makes."""
        self.fresh_keys += 1
        return 1_000_000 * (self.thread + 1) + 10_000 + self.number * 20 + self.fresh_keys

    def somebody(self):
        """A fresh key of this or an earlier transaction of this thread."""
        return 1_000_000 * (self.thread + 1) + 10_000 + self.rng.randrange(self.number + 1) * 20 + 1 + self.rng.randrange(4)

    # Statements ---------------------------------------------------------------------------------------------------

    def sql(self, statement, *values):
        self.steps.append((statement, values))

    def where(self, table):
        return " AND ".join(f"{c} = %s" for c in table.key)

    def insert(self, table, n, once, conflict=""):
        columns = list(table.values)
        values = [table.values[c](self.rng) for c in columns]
        if table.name == "child":
            columns.append("parent_id")
            values.append(None if self.rng.random() < 0.3 else self.parent())
        names = ", ".join(table.key + ["ver", "once"] + columns)
        marks = ", ".join(["%s"] * len(table.key) + [f"nextval('{table.sequence}')", "%s"] + ["%s"] * len(columns))
        self.sql(f"INSERT INTO {table.name} ({names}) VALUES ({marks}){conflict}", *table.make_key(n), once, *values)

    def parent(self):
        n = self.reused()
        self.insert(self.tables["parent"], n, False, " ON CONFLICT DO NOTHING")
        return n

    def upsert(self, table, n):
        column = self.rng.choice(list(table.values))
        self.insert(table, n, False, f" ON CONFLICT ({', '.join(table.key)}) DO UPDATE SET ver = nextval('{table.sequence}'), {column} = EXCLUDED.{column}")

    def update(self, table, n):
        columns = self.rng.sample(list(table.values), self.rng.randint(1, max(1, len(table.values) - 1)))
        values = [table.values[c](self.rng) for c in columns]
        sets = "".join(f", {c} = %s" for c in columns)
        if table.added and self.rng.random() < 0.5:
            sets += f", {self.rng.choice(table.added)} = {self.rng.randrange(100)}"
        self.sql(f"UPDATE {table.name} SET ver = nextval('{table.sequence}'){sets} WHERE {self.where(table)}", *values, *table.make_key(n))

    def touch(self, table, n):
        """Large values stay as they are and are not sent."""
        self.sql(f"UPDATE {table.name} SET ver = nextval('{table.sequence}') WHERE {self.where(table)}", *table.make_key(n))

    def delete(self, table, n):
        self.sql(f"DELETE FROM {table.name} WHERE {self.where(table)}", *table.make_key(n))

    def move(self, table, a, b):
        sets = ", ".join(f"{c} = %s" for c in table.key)
        self.sql(f"UPDATE {table.name} SET ver = nextval('{table.sequence}'), {sets} WHERE {self.where(table)}", *table.make_key(b), *table.make_key(a))

    def mark(self):
        n = 1_000_000_000 * (self.thread + 1) + self.number * 1000 + len(self.marks) + len(self.undone)
        self.sql("INSERT INTO marks VALUES (%s, %s)", n, text_of(self.rng))
        return n

    def one_change(self):
        table = self.rng.choice(self.keyed)
        kind = self.rng.choices(
            ["fresh", "insert", "upsert", "hot", "update", "touch", "delete", "forget", "move", "renew", "swap", "chain", "append"],
            [14, 4, 12, 10, 16, 10, 6, 10, 4, 4, 3, 3, 6])[0]
        if kind == "fresh":
            self.insert(table, self.fresh(), True)
        elif kind == "insert":
            # May hit a row that is there: then the whole transaction is rolled back.
            self.insert(table, self.reused(), False, "" if self.rng.random() < 0.3 else " ON CONFLICT DO NOTHING")
        elif kind == "upsert":
            self.upsert(table, self.reused())
        elif kind == "hot":
            self.upsert(table, self.hot()) if self.rng.random() < 0.5 else self.update(table, self.hot())
        elif kind == "update":
            self.update(table, self.rng.choice([self.reused, self.somebody])())
        elif kind == "touch":
            self.touch(table, self.rng.choice([self.reused, self.somebody, self.hot])())
        elif kind == "delete":
            self.delete(table, self.reused())
        elif kind == "forget":
            self.delete(table, self.somebody())
        elif kind == "move":
            a, b = self.reused(), self.reused()
            if a != b:
                self.delete(table, b)
                self.move(table, a, b)
        elif kind == "renew":
            self.move(table, self.somebody(), self.fresh())
        elif kind == "swap":
            self.swap(table)
        elif kind == "chain":
            self.chain(table)
        else:
            self.append()

    def swap(self, table):
        """a and b change places by way of a third key."""
        a, b = self.reused(), self.reused()
        aside = 1_000_000 * (self.thread + 1) + REUSED
        if a == b:
            return
        self.delete(table, aside)
        self.move(table, a, aside)
        self.move(table, b, a)
        self.move(table, aside, b)

    def chain(self, table):
        """Three rows move up by one place each, in one transaction."""
        first = 1_000_000 * (self.thread + 1) + self.rng.randrange(REUSED - 4)
        self.delete(table, first + 3)
        for n in (2, 1, 0):
            self.move(table, first + n, first + n + 1)

    def append(self):
        table = self.tables[self.rng.choice(["journal", "scratch"])]
        for _ in range(self.rng.randint(1, 5)):
            self.sql(f"INSERT INTO {table.name} (at, line, n) VALUES (%s, %s, %s)", *(table.values[c](self.rng) for c in ("at", "line", "n")))

    def truncate(self):
        candidates = self.keyed + [self.tables["scratch"], self.tables["bulk"]]
        if self.rng.random() < 0.5:
            self.sql(self.rng.choice(candidates).truncate)
        else:
            names = {t.name for t in self.rng.sample(candidates, 2)}
            self.sql("TRUNCATE " + ", ".join(sorted(names)) + " CASCADE")

    def add_column(self):
        table = self.rng.choice(self.keyed)
        if len(table.added) + sum(map(len, table.quiet.values())) >= 8:
            return
        name = f"x{self.thread}_{self.number}"
        kind = self.rng.choice(["int", "bigint", "text DEFAULT '7'", "int DEFAULT 7 NOT NULL"])
        self.sql(f"ALTER TABLE {table.name} ADD COLUMN {name} {kind}")
        self.show_shape(table)
        if self.rng.random() < 0.5:
            self.ddl = lambda fate: fate == "committed" and table.added.append(name)
        else:
            self.ddl = lambda fate: fate == "committed" and table.quiet[self.thread].append(name)

    def show_shape(self, table):
        """One row is written: a new shape arrives with the first."""
        key = ", ".join(table.key)
        self.sql(f"UPDATE {table.name} SET ver = nextval('{table.sequence}') WHERE ({key}) IN (SELECT {key} FROM {table.name} LIMIT 1)")

    def alter_column(self):
        """A column that no statement names: renamed, written anew in place, or dropped."""
        table = self.rng.choice(self.keyed)
        quiet = table.quiet[self.thread]
        if not quiet:
            return
        name = quiet.pop(0)
        kind = self.rng.choice(["rename", "rename", "rewrite", "drop"])
        if kind == "rename":
            self.sql(f"ALTER TABLE {table.name} RENAME {name} TO {name}r")
        elif kind == "rewrite":
            self.sql(f"ALTER TABLE {table.name} ALTER {name} DROP DEFAULT, ALTER {name} TYPE text USING coalesce({name}::text, '-') || 'w'")
        else:
            self.sql(f"ALTER TABLE {table.name} DROP COLUMN {name}")
        self.show_shape(table)

        def settle(fate):
            # Of one whose fate is not known nothing more is asked.
            if fate == "rolled back":
                quiet.append(name)
            elif fate == "committed" and kind != "drop":
                quiet.append(name + "r" if kind == "rename" else name)
        self.ddl = settle

    # The whole ----------------------------------------------------------------------------------------------------

    def draw(self):
        rng = self.rng
        kind = rng.random()
        changes = 1 if kind < 0.35 else rng.randint(2, 8) if kind < 0.95 else rng.randint(20, 60)
        mark_at = rng.randrange(changes) if rng.random() < 0.6 else -1
        for i in range(changes):
            if i == mark_at:
                self.marks.append(self.mark())
            dice = rng.random()
            if dice < 0.0006:
                self.truncate()
            elif dice < 0.0010 and self.ddl is None:
                self.add_column()
            elif dice < 0.0014 and self.ddl is None:
                self.alter_column()
            elif dice < 0.05:
                self.savepoint()
            else:
                self.one_change()
            if rng.random() < 0.04:
                self.steps.append(("pause", rng.random() * 0.15))
        self.roll_back = rng.random() < 0.12

    def savepoint(self):
        undo = self.rng.random() < 0.6
        self.sql("SAVEPOINT s")
        for _ in range(self.rng.randint(1, 3)):
            self.one_change()
        if self.rng.random() < 0.5:
            mark = self.mark()
            (self.undone if undo else self.marks).append(mark)
        self.sql("ROLLBACK TO s" if undo else "RELEASE s")


class LargeScript:
    """One transaction over tens of thousands of rows of `bulk`."""

    def __init__(self, rng, rows, number):
        self.steps = []
        self.marks = [5_000_000 + number]
        self.undone = []
        self.ddl = None
        base = number * rows
        kind = rng.choice(["insert", "insert", "rewrite", "shift", "thin", "both"]) if number else "insert"
        if kind in ("insert", "both"):
            self.steps.append((f"INSERT INTO bulk SELECT {base} + g, nextval('bulk_ver'), false, g % 1000, 'row ' || g FROM generate_series(1, {rows}) g", ()))
        if kind == "rewrite":
            self.steps.append((f"UPDATE bulk SET ver = nextval('bulk_ver'), v = v + 1 WHERE id % 3 = {rng.randrange(3)}", ()))
        if kind == "shift":
            # Every key moves, downwards, into places that others left.
            self.steps.append((f"UPDATE bulk SET id = -id WHERE id % 5 = {rng.randrange(5)}", ()))
        if kind in ("thin", "both"):
            self.steps.append((f"DELETE FROM bulk WHERE id % 4 = {rng.randrange(4)}", ()))
        self.steps.insert(rng.randrange(len(self.steps) + 1), ("INSERT INTO marks VALUES (%s, 'large')", (self.marks[0],)))
        self.roll_back = rng.random() < 0.2


def text_of(rng):
    return "".join(rng.choices("abcdefgh", k=8))


class Workload:
    """Runs the threads; they can be held and let go again."""

    def __init__(self, connect, tables, seed, threads=4, rate=25, large_rows=50_000, large_every=12):
        self.connect = connect
        self.tables = tables
        self.seed = seed
        self.rate = rate
        self.large_rows = large_rows
        self.large_every = large_every
        self.ledger = Ledger()
        self.stopping = threading.Event()
        self.go = threading.Event()
        self.failure = None
        self.idle = [threading.Event() for _ in range(threads + 1)]
        self.threads = [threading.Thread(target=self.run, args=(i, i == threads), daemon=True) for i in range(threads + 1)]

    def start(self):
        self.go.set()
        for thread in self.threads:
            thread.start()

    def hold(self, seconds=120):
        """Returns when no transaction is open."""
        self.go.clear()
        for idle in self.idle:
            if not idle.wait(seconds):
                raise RuntimeError("a thread of the workload does not come to rest")

    def release(self):
        for idle in self.idle:
            idle.clear()
        self.go.set()

    def stop(self):
        self.stopping.set()
        self.go.set()
        for thread in self.threads:
            thread.join(120)

    def run(self, thread, large):
        connection = None
        number = 0
        try:
            while not self.stopping.is_set():
                if not self.go.is_set():
                    self.idle[thread].set()
                    self.go.wait()
                    continue
                began = time.monotonic()
                rng = random.Random(f"{self.seed}/{thread}/{number}")
                script = LargeScript(rng, self.large_rows, number) if large else Script(rng, self.tables, thread, number)
                connection = self.perform(connection, script)
                number += 1
                spacing = self.large_every * (0.5 + rng.random()) if large else rng.expovariate(self.rate)
                self.rest(spacing - (time.monotonic() - began))
        except Exception as error:  # noqa: BLE001: the round must learn of it
            self.failure = error
        finally:
            self.idle[thread].set()
            if connection is not None:
                connection.close()

    def rest(self, seconds):
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and self.go.is_set() and not self.stopping.is_set():
            time.sleep(min(left, 0.2))

    def perform(self, connection, script):
        """Returns the connection for the next transaction, None when this one is gone."""
        fate, xid, sent = "rolled back", None, False
        try:
            if connection is None:
                connection = self.connect()
            with connection.cursor() as cursor:
                cursor.execute("BEGIN; SELECT pg_current_xact_id()::text")
                xid = int(cursor.fetchone()[0])
                self.play(cursor, script.steps)
                if script.roll_back:
                    cursor.execute("ROLLBACK")
                else:
                    sent = True
                    cursor.execute("COMMIT")
                    fate = "committed" if cursor.statusmessage == "COMMIT" else "rolled back"
        except psycopg2.Error as error:
            if isinstance(error, (psycopg2.ProgrammingError, psycopg2.DataError)):
                raise
            if sent:
                # The answer to COMMIT is lost; the source is asked later.
                fate = "unknown"
                connection = self.drop(connection)
            else:
                # A key that is there already, a deadlock, a lock not given in time, a dead server.
                connection = self.undo(connection)
        self.ledger.settle(fate, xid, script.marks, script.undone)
        if script.ddl:
            script.ddl(fate)
        return connection

    def play(self, cursor, steps):
        """Runs of statements go in one message."""
        batch = []
        for statement, values in steps:
            if statement == "pause":
                self.send(cursor, batch)
                batch = []
                time.sleep(values)
            else:
                batch.append(cursor.mogrify(statement, values or None))
        self.send(cursor, batch)

    @staticmethod
    def send(cursor, batch):
        if batch:
            cursor.execute(b"; ".join(batch))

    def undo(self, connection):
        if connection is None or connection.closed:
            return self.drop(connection)
        try:
            with connection.cursor() as cursor:
                cursor.execute("ROLLBACK")
            return connection
        except psycopg2.Error:
            return self.drop(connection)

    def drop(self, connection):
        if connection is not None:
            connection.close()
        time.sleep(0.3)
        return None


def prepare(connection, tables, rows=300):
    """Tables with rows that were there before the pipeline."""
    rng = random.Random("rows that were there before")
    with connection.cursor() as cursor:
        for table in tables:
            cursor.execute(table.create)
            if "ver bigint" in table.create:
                cursor.execute(f"CREATE SEQUENCE {table.sequence}")
            if table.history:
                script = Script.__new__(Script)
                script.rng, script.steps, script.thread = rng, [], 90
                script.tables = {t.name: t for t in tables}
                for n in range(rows):
                    script.insert(table, n, False, " ON CONFLICT DO NOTHING")
                cursor.execute(b"; ".join(cursor.mogrify(s, v) for s, v in script.steps))
        cursor.execute("INSERT INTO journal SELECT '2026-01-01'::timestamp + g * interval '1 s', 'line ' || g % 7, g % 5 FROM generate_series(1, 2000) g")
        cursor.execute("INSERT INTO bulk SELECT g, nextval('bulk_ver'), false, (g % 1000)::int, 'row ' || g FROM generate_series(10000000001, 10000005000) g")
