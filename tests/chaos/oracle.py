"""Compares every table of source and destination row by row.

Not for: the topics (topics), what rows were in between (history).
"""

from collections import Counter


class Difference:
    """What one comparison of one table found; keys are those of test data."""

    def __init__(self, table):
        self.table = table
        self.rows = 0
        self.lost = []
        self.extra = []
        self.duplicate = []
        self.stale = []
        # The first stale row on both sides.
        self.example = ""

    def any(self):
        return bool(self.lost or self.extra or self.duplicate or self.stale)

    def __str__(self):
        parts = [f"{kind} {len(keys)} (first: {', '.join(map(repr, sorted(keys)[:5]))})"
                 for kind in ("lost", "extra", "duplicate", "stale") if (keys := getattr(self, kind))]
        return f"{self.table}: " + "; ".join(parts or ["equal"]) + self.example


def compare(table, key_columns, source, destination):
    """Lines of tab-separated cells, the key first. Without a key, lines are counted."""
    found = Difference(table)
    found.rows = len(source)
    if sorted(source) == sorted(destination):
        return found
    if not key_columns:
        want, have = Counter(source), Counter(destination)
        for line, count in (want - have).items():
            found.lost += [line[:80]] * count
        for line, count in (have - want).items():
            (found.duplicate if line in want else found.extra).extend([line[:80]] * count)
        return found

    def key_of(line):
        return "\t".join(line.split("\t", key_columns)[:key_columns])

    want = {key_of(line): line for line in source}
    have = {}
    for line in destination:
        key = key_of(line)
        if key in have:
            found.duplicate.append(key)
        have[key] = line
    found.lost = [k for k in want if k not in have]
    found.extra = [k for k in have if k not in want]
    found.stale = [k for k in want if k in have and want[k] != have[k]]
    if found.stale:
        first = min(found.stale)
        cells = [(a[:200], b[:200]) for a, b in zip(want[first].split("\t"), have[first].split("\t")) if a != b]
        found.example = f"; in row {first!r}, source and destination: {cells[:3]}"
    return found


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


def duckdb_pair(name, kind):
    """The same value of a column as the same text on both sides."""
    c = quoted(name)
    if kind.startswith("timestamp"):
        return f"CAST(extract(epoch FROM {c}) * 1000000 AS bigint)::text", f"CAST(epoch_us({c}) AS VARCHAR)"
    if kind == "bytea":
        return f"encode({c}, 'hex')", f"lower(hex({c}))"
    if kind == "double precision":
        return f"CAST({c} * 8 AS bigint)::text", f"CAST(CAST({c} * 8 AS BIGINT) AS VARCHAR)"
    if kind == "interval":
        return f"(extract(epoch FROM {c})::bigint)::text", f"CAST(CAST(epoch({c}) AS BIGINT) AS VARCHAR)"
    if kind == "inet":
        # A cast to text writes the mask of a single address, the type's own output does not.
        return f"CASE WHEN {c} IS NOT NULL THEN format('%s', {c}) END", c
    return f"{c}::text", f"CAST({c} AS VARCHAR)"


class Oracle:
    def __init__(self, stack, tables):
        self.stack = stack
        self.tables = tables

    def compare_all(self):
        """The two must be at rest."""
        return [self.compare_table(table) for table in self.tables]

    def compare_table(self, table):
        columns = self.source_columns(table)
        there = self.destination_columns(table)
        names = table.key + [c for c in columns if c not in table.key]
        if self.stack.destination_type == "postgres":
            left = ", ".join(quoted(c) for c in names)
            # A column that was added shows up at the destination with the first change after it.
            right = ", ".join(quoted(c) if c in there else "NULL" for c in names)
            destination = self.stack.copy_lines("destination", f"SELECT {right} FROM public.{table.name}")
        else:
            pairs = [duckdb_pair(c, columns[c]) for c in names]
            left = ", ".join(p[0] for p in pairs)
            right = ", ".join(f"{p[1]} AS {quoted(c)}" if c in there else f"NULL AS {quoted(c)}" for c, p in zip(names, pairs))
            destination = self.stack.duckdb(f"SELECT {right} FROM public.{table.name}")
        return compare(table.name, len(table.key), self.stack.copy_lines("source", f"SELECT {left} FROM public.{table.name}"), destination)

    def source_columns(self, table):
        return dict(line.split("\t") for line in self.stack.copy_lines(
            "source", f"SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'public.{table.name}'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"))

    def destination_columns(self, table):
        query = f"SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' AND table_name = '{table.name}'"
        if self.stack.destination_type == "postgres":
            return set(self.stack.copy_lines("destination", query))
        return set(self.stack.duckdb(query))
