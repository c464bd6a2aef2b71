"""Columns that are left out or hashed: their values are found nowhere behind the source, and what is hashed can be joined."""

import json
import secrets
import subprocess

import pytest

from harness import BIN, eventually

NAME = "policies"
# Planted values; any of them anywhere behind the source is a failure.
EXCLUDED = "excluded-" + secrets.token_hex(8)
HASHED = "hashed-" + secrets.token_hex(8)
FILE = """
name: {name}
source:
  url: {source}
destination:
  url: {destination}
tables: ["public.*"]
columns:
{columns}
"""
RULES = """
  - table: public.people
    exclude: [ssn, notes]
    hash: [email]
  - table: public.o*
    hash: [buyer, code]
  - table: public.totals
    include: [id, total]
"""


def apply(millrace, name, destination, columns=RULES, check=True, source=NAME):
    file = millrace.folder / f"{name}.yaml"
    file.write_text(FILE.format(name=name, source=millrace.url("source", source), destination=destination, columns=columns))
    return millrace.cli("apply", "-f", file, check=check)


@pytest.fixture(scope="module")
def duckdb(millrace):
    return millrace.folder / "policies.duckdb"


@pytest.fixture(scope="module")
def pipelines(millrace, duckdb):
    millrace.create_database("source", NAME)
    millrace.create_database("destination", NAME)
    millrace.sql("source", NAME, f"""
        CREATE TABLE people (id int PRIMARY KEY, ssn text, email text, notes text, name text);
        CREATE TABLE orders (code int PRIMARY KEY, buyer varchar(80), n int);
        CREATE TABLE old_log (line text, buyer text);
        CREATE TABLE totals (id int PRIMARY KEY, total int, memo text);
        CREATE TABLE full_rows (id int PRIMARY KEY, a text);
        ALTER TABLE people ALTER email SET STORAGE EXTERNAL;
        ALTER TABLE people REPLICA IDENTITY FULL;
        INSERT INTO people VALUES (1, '{EXCLUDED}-1', '{HASHED}', repeat('{EXCLUDED}', 3), 'Ann'), (2, NULL, NULL, NULL, 'Bob'),
            (3, 'x', repeat('{HASHED}', 400), '', 'Cid');
        INSERT INTO orders VALUES (10, '{HASHED}', 1), (11, 'another', 1);
        INSERT INTO old_log VALUES ('line', '{HASHED}');
        INSERT INTO totals VALUES (1, 5, '{EXCLUDED}-memo');
        INSERT INTO full_rows VALUES (1, 'plain')""")
    apply(millrace, NAME, millrace.url("destination", NAME))
    # One is copied under a snapshot, the other in chunks.
    apply(millrace, "policies-duckdb", f"duckdb://{duckdb}", RULES + "backfill: {chunk_rows: 2}\n")
    for name in (NAME, "policies-duckdb"):
        millrace.wait(name)
    millrace.sql("source", NAME, f"""
        UPDATE people SET ssn = '{EXCLUDED}-2', name = 'Anna' WHERE id = 1;
        UPDATE people SET name = 'Cyd' WHERE id = 3;
        INSERT INTO people VALUES (4, '{EXCLUDED}-4', '{HASHED}', '{EXCLUDED}', 'Dan'), (5, '', '', '', 'Eve');
        UPDATE orders SET code = 12 WHERE code = 11;
        UPDATE orders SET n = n + 1;
        DELETE FROM people WHERE id = 2;
        UPDATE totals SET memo = '{EXCLUDED}-memo-2', total = 6""")


def settle(millrace):
    for name in (NAME, "policies-duckdb"):
        millrace.wait(name)


def rows(millrace, duckdb, query):
    """What both destinations answer."""
    settle(millrace)
    postgres = millrace.rows("destination", NAME, query)
    in_duckdb = millrace.duckdb_rows(duckdb, f"SELECT * FROM ({query})")
    assert [line.replace("\\N", "NULL") for line in postgres] == in_duckdb
    return postgres


def test_hashes_are_the_same_in_every_table_and_can_be_joined(millrace, duckdb, pipelines):
    joined = rows(millrace, duckdb, "SELECT p.name, o.n FROM public.people p JOIN public.orders o ON o.buyer = p.email")
    assert joined == ["Anna\t2", "Dan\t2"]
    assert rows(millrace, duckdb, "SELECT count(*) FROM public.people p JOIN public.old_log l ON l.buyer = p.email") == ["2"]
    # A hash is 64 hexadecimal digits, an empty text has one too, and a value that was not sent again keeps its own.
    assert rows(millrace, duckdb, "SELECT id, length(email) FROM public.people") == ["1\t64", "3\t64", "4\t64", "5\t64"]
    assert rows(millrace, duckdb, "SELECT count(*) FROM public.orders WHERE length(code) = 64 AND n = 2") == ["2"]


def test_columns_that_are_left_out_do_not_exist_behind_the_source(millrace, duckdb, pipelines):
    settle(millrace)
    query = "SELECT table_name, string_agg(column_name, ',' ORDER BY column_name) FROM information_schema.columns WHERE table_schema = 'public' GROUP BY 1"
    columns = dict(line.split("\t") for line in millrace.rows("destination", NAME, query))
    assert columns == {"people": "email,id,name", "orders": "buyer,code,n", "old_log": "buyer,line", "totals": "id,total", "full_rows": "a,id"}
    assert rows(millrace, duckdb, "SELECT id, total FROM public.totals") == ["1\t6"]


def topic_bytes(millrace):
    """All records, schemas included, as a consumer gets them; Kafka's own files hold compressed batches."""
    return subprocess.run([BIN / "topic-dump", "--kafka", f"127.0.0.1:{millrace.ports['kafka']}", "--pipeline", NAME, "--values"],
                          capture_output=True, check=True).stdout


def test_planted_values_are_found_nowhere(millrace, duckdb, pipelines):
    settle(millrace)
    planted = [text.encode() for text in (EXCLUDED, HASHED)]
    searched = 0
    topics = topic_bytes(millrace)
    assert b"public.people" in topics and b"Anna" in topics, "the values are shown"
    places = {"topics": topics, "duckdb": duckdb.read_bytes()}
    places["destination"] = "".join(
        "\n".join(millrace.rows("destination", NAME, f'SELECT * FROM "{schema}"."{table}"')) for schema, table in millrace.sql(
            "destination", NAME, "SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('public', '_millrace')")).encode()
    for path in [*(millrace.folder / "w1").rglob("*"), *(millrace.folder / "logs").glob("*"), millrace.folder / "control.db"]:
        if path.is_file() and path.name not in ("source.log",):
            places[str(path)] = path.read_bytes()
    for place, content in places.items():
        searched += len(content)
        for value in planted:
            assert value not in content, f"a planted value is in {place}"
    assert b"Anna" in places["destination"] and searched > 100_000
    # The key of the hashes is written nowhere either: only the plane's own key file holds what it comes from.
    status = millrace.cli("status", NAME, "-o", "json").stdout + millrace.cli("events", NAME, "-o", "json").stdout
    assert not any(value.decode() in status for value in planted)


def test_rules_that_fit_nothing_are_refused_with_a_sentence(millrace, pipelines):
    for columns, sentence in (
            ("  - {table: public.people, exclude: [id]}", "column 'id' of table public.people identifies its rows"),
            ("  - {table: public.people, hash: [e_mail]}", "table public.people has no column 'e_mail'"),
            ("  - {table: public.persons, hash: [email]}", "no table of the pipeline matches 'public.persons'")):
        done = apply(millrace, "refused", f"duckdb://{millrace.folder}/refused.duckdb", columns, check=False)
        assert done.returncode == 1 and sentence in done.stdout + done.stderr, done.stdout + done.stderr
    done = apply(millrace, "refused", f"duckdb://{millrace.folder}/refused.duckdb", "  - {table: public.people}", check=False)
    assert done.returncode == 1 and "names no column" in done.stderr


def test_a_renamed_column_does_not_leave_under_its_new_name(millrace, duckdb, pipelines):
    secret = "renamed-" + secrets.token_hex(8)
    millrace.sql("source", NAME, f"ALTER TABLE totals ADD COLUMN hidden text; ALTER TABLE people RENAME ssn TO tax_id; UPDATE people SET tax_id = '{secret}' WHERE id = 1")
    error = eventually(lambda: millrace.status(NAME)["publisher"]["error"], 60, "the publisher stops")
    assert "table public.people has no column 'ssn'" in error, error
    corrected = RULES.replace("ssn", "tax_id")
    apply(millrace, NAME, millrace.url("destination", NAME), corrected)
    apply(millrace, "policies-duckdb", f"duckdb://{duckdb}", corrected)
    assert rows(millrace, duckdb, "SELECT id, name FROM public.people") == ["1\tAnna", "3\tCyd", "4\tDan", "5\tEve"]
    assert secret not in "\n".join(millrace.rows("destination", NAME, "SELECT * FROM people"))


def test_a_column_that_is_let_through_later_is_copied(millrace, duckdb, pipelines):
    rules = RULES.replace("ssn, notes", "tax_id")
    apply(millrace, NAME, millrace.url("destination", NAME), rules)
    apply(millrace, "policies-duckdb", f"duckdb://{duckdb}", rules)
    eventually(lambda: "notes" in json.dumps(millrace.sql("destination", NAME, "SELECT column_name FROM information_schema.columns WHERE table_name = 'people'")),
               60, "the column comes")
    copied = rows(millrace, duckdb, "SELECT id, notes FROM public.people WHERE notes <> ''")
    assert copied == [f"1\t{EXCLUDED * 3}", f"4\t{EXCLUDED}"]
    assert EXCLUDED.encode() in topic_bytes(millrace), "what is there is found"
    # Other tables were not copied again.
    events = [json.loads(line) for line in millrace.cli("events", NAME, "-o", "json").stdout.splitlines()]
    copies = [e["table"] for e in events if e["type"] == "copy_started"]
    assert copies.count("orders") == 1 and copies.count("people") >= 3, copies
    assert not millrace.sql("destination", NAME, "SELECT 1 FROM information_schema.columns WHERE column_name = 'hidden'"), "totals includes two columns only"


def test_a_ruled_table_is_read_in_chunks_while_it_is_written(millrace):
    name, rows = "ruled", 6000
    for server in ("source", "destination"):
        millrace.create_database(server, name)
    millrace.sql("source", name, f"""
        CREATE TABLE people (id int PRIMARY KEY, ssn text, email text, n int NOT NULL DEFAULT 0);
        ALTER TABLE people ALTER email SET STORAGE EXTERNAL;
        INSERT INTO people SELECT g, '{EXCLUDED}', repeat('m' || g % 50, 1000), 0 FROM generate_series(1, {rows}) g; ANALYZE people""")
    apply(millrace, name, millrace.url("destination", name),
          "  - {table: public.people, exclude: [ssn], hash: [email]}\nbackfill: {chunk_rows: 100, rows_per_second: 4000}\n", source=name)
    copying = lambda: next((t for t in millrace.status(name)["tables"] if t["state"] == "copying" and t["rows_copied"] > 0), None)  # noqa: E731
    eventually(copying, 30, "rows come in chunks")
    for i in range(1, rows, 7):
        millrace.sql("source", name, f"UPDATE people SET n = n + 1, ssn = '{EXCLUDED}-new' WHERE id = {i}; UPDATE people SET id = {i + 10 * rows} WHERE id = {i + 1};"
                     f"UPDATE people SET email = 'new' WHERE id = {i + 2}; DELETE FROM people WHERE id = {i + 3}")
    millrace.wait(name)
    columns = "SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' AND table_name = 'people' ORDER BY ordinal_position"
    assert [c for (c,) in millrace.sql("destination", name, columns)] == ["id", "email", "n"]
    query = "SELECT id, n FROM people"
    assert millrace.rows("source", name, query) == millrace.rows("destination", name, query)
    # What was equal before is equal after, whether it came by a chunk or by the stream.
    groups = "SELECT min(id), count(*), sum(n) FROM people GROUP BY email"
    assert millrace.rows("source", name, groups) == millrace.rows("destination", name, groups)
    assert millrace.sql("destination", name, "SELECT count(*) FROM people WHERE email IS NULL OR length(email) <> 64") == [(0,)]
