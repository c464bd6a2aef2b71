"""The tables of a chaos round, each with its kind of key and its kinds of values.

Not for: what is done to them (workload), comparing them (oracle). Every keyed table has `ver`, which rises with every
write of a key, and `once`, true for rows whose key is never used again.
"""

import datetime
import json
import uuid
from collections import defaultdict
from decimal import Decimal

ODD_TEXTS = ["", " ", "tab\tand\nline", 'quo"te\'s', "back\\slash \\N", "ünïcødé 漢字 😀", "\\", "null", "NULL", "%s {} $1"]


def text(rng, most=40):
    if rng.random() < 0.15:
        return rng.choice(ODD_TEXTS)
    return "".join(rng.choices("abcdefghij \\\t'\"é", k=rng.randrange(most)))


def maybe(rng, value):
    return None if rng.random() < 0.15 else value


def big_text(rng):
    """Longer than what PostgreSQL keeps in the row, and not compressible to less."""
    return "".join(rng.choices("0123456789abcdef", k=64)) * rng.randrange(60, 200)


def number(rng):
    return Decimal(rng.randrange(-10**15, 10**15)).scaleb(-rng.randrange(0, 12))


def document(rng):
    return json.dumps({"n": rng.randrange(10**12), "t": text(rng), "list": [1.10, None, True, {"deep": text(rng, 8)}]})


def moment(rng):
    return datetime.datetime(2000, 1, 1) + datetime.timedelta(microseconds=rng.randrange(10**15))


class Table:
    def __init__(self, name, create, key, make_key, values, history=True, truncate=None):
        self.name = name
        self.create = create
        self.key = key
        self.make_key = make_key
        self.values = values
        # Whether the history of its rows is watched: not of very large ones.
        self.history = history
        self.truncate = truncate or f"TRUNCATE {name}"
        self.sequence = f"{name}_ver"
        # Columns added while the round runs.
        self.added = []
        # Those of them that no statement writes, by the thread that may alter them.
        self.quiet = defaultdict(list)


def small_int_key(n):
    return (n,)


def pair_key(n):
    return (["", "a b", "tab\t", "é漢", "q'\"\\", "plain"][n % 6], f"k{n}")


def uuid_key(n):
    return (str(uuid.UUID(int=(n * 0x9E3779B97F4A7C15F39CC0605CEDC835) % (1 << 128))),)


def day_key(n):
    return (n, str(datetime.date(2026, 1 + (n * 7) % 12, 1 + n % 28)))


LINE = {"at": moment, "line": lambda r: maybe(r, text(r)), "n": lambda r: maybe(r, r.randrange(10**6))}


def tables():
    """In the order in which they are made."""
    head = "ver bigint NOT NULL, once boolean NOT NULL"
    months = "\n".join(
        f"CREATE TABLE parts_{m} PARTITION OF parts FOR VALUES FROM ('2026-{m:02}-01') TO ('{'2027-01-01' if m == 10 else f'2026-{m + 3:02}-01'}');"
        for m in (1, 4, 7, 10))
    return [
        Table("plain", f"CREATE TABLE plain (id bigint PRIMARY KEY, {head}, note text, amount numeric(20,6), flag boolean);",
              ["id"], small_int_key,
              {"note": lambda r: maybe(r, text(r)), "amount": lambda r: maybe(r, Decimal(r.randrange(-10**12, 10**12)).scaleb(-6)),
               "flag": lambda r: maybe(r, r.random() < 0.5)}),
        Table("pair", f"CREATE TABLE pair (a text, b text, {head}, v int, note text, PRIMARY KEY (a, b));",
              ["a", "b"], pair_key, {"v": lambda r: r.randrange(1000), "note": lambda r: maybe(r, text(r))}),
        Table("things", f"CREATE TABLE things (id uuid PRIMARY KEY, {head}, doc jsonb, tags text[]);",
              ["id"], uuid_key, {"doc": lambda r: maybe(r, document(r)), "tags": lambda r: maybe(r, [text(r, 6) for _ in range(r.randrange(4))])}),
        Table("toasted", f"""CREATE TABLE toasted (id bigint PRIMARY KEY, {head}, small int, big1 text, big2 text, raw bytea);
                  ALTER TABLE toasted ALTER big1 SET STORAGE EXTERNAL, ALTER big2 SET STORAGE EXTERNAL, ALTER raw SET STORAGE EXTERNAL;""",
              ["id"], small_int_key,
              {"small": lambda r: r.randrange(100), "big1": lambda r: maybe(r, big_text(r)), "big2": lambda r: maybe(r, big_text(r)),
               "raw": lambda r: maybe(r, r.randbytes(r.randrange(6000)))}),
        Table("typed", f"""CREATE TABLE typed (id int PRIMARY KEY, {head}, n numeric, at timestamp, tz timestamptz, raw bytea, day date, f double precision,
                  wait interval, ip inet);""",
              ["id"], small_int_key,
              {"n": lambda r: maybe(r, number(r)), "at": lambda r: maybe(r, moment(r)), "tz": lambda r: maybe(r, moment(r).replace(tzinfo=datetime.timezone.utc)),
               "raw": lambda r: maybe(r, r.randbytes(r.randrange(40))), "day": lambda r: maybe(r, moment(r).date()), "f": lambda r: maybe(r, r.randrange(-10**6, 10**6) / 8),
               "wait": lambda r: maybe(r, f"{r.randrange(40)} days {r.randrange(24)} hours"), "ip": lambda r: maybe(r, f"10.{r.randrange(256)}.0.{r.randrange(256)}")}),
        Table("parts", f"CREATE TABLE parts (id bigint, day date, {head}, v text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);\n{months}",
              ["id", "day"], day_key, {"v": lambda r: maybe(r, text(r))}),
        Table("whole", f"""CREATE TABLE whole (id bigint PRIMARY KEY, {head}, a text, big text, n int);
                  ALTER TABLE whole REPLICA IDENTITY FULL; ALTER TABLE whole ALTER big SET STORAGE EXTERNAL;""",
              ["id"], small_int_key, {"a": lambda r: maybe(r, text(r)), "big": lambda r: maybe(r, big_text(r)), "n": lambda r: maybe(r, r.randrange(9))}),
        Table("by_index", f"""CREATE TABLE by_index (code text NOT NULL, region int NOT NULL, {head}, v text, big text);
                  CREATE UNIQUE INDEX by_index_key ON by_index (code, region); ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_key;
                  ALTER TABLE by_index ALTER big SET STORAGE EXTERNAL;""",
              ["code", "region"], lambda n: (f"c{n // 5}", n % 5), {"v": lambda r: maybe(r, text(r)), "big": lambda r: maybe(r, big_text(r))}),
        Table("parent", f"CREATE TABLE parent (id bigint PRIMARY KEY, {head}, name text);",
              ["id"], small_int_key, {"name": lambda r: maybe(r, text(r))}, truncate="TRUNCATE parent CASCADE"),
        Table("child", f"CREATE TABLE child (id bigint PRIMARY KEY, {head}, parent_id bigint REFERENCES parent ON DELETE CASCADE ON UPDATE CASCADE, v int);",
              ["id"], small_int_key, {"v": lambda r: r.randrange(1000)}),
        Table("bulk", f"CREATE TABLE bulk (id bigint PRIMARY KEY, {head}, v int, note text);", ["id"], small_int_key,
              {"v": lambda r: r.randrange(1000), "note": lambda r: maybe(r, text(r))}, history=False),
        # Two without a key. The first is never truncated, so that a record applied twice stays to be seen.
        Table("journal", "CREATE TABLE journal (at timestamp NOT NULL, line text, n bigint);", [], None, LINE, history=False),
        Table("scratch", "CREATE TABLE scratch (at timestamp NOT NULL, line text, n bigint);", [], None, LINE, history=False),
        # Never truncated, never deleted from: each committed row must be in its topic exactly once.
        Table("marks", "CREATE TABLE marks (id bigint PRIMARY KEY, note text);", ["id"], small_int_key, {"note": text}, history=False),
    ]
