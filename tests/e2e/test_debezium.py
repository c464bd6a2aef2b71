"""The codec debezium-json: our own way through it loses nothing, and Debezium's own JDBC sink reads the same topics."""

import os
import subprocess
import time

import pytest

import processes
from harness import FULL, ROOT, eventually

SECONDS = 30 if FULL else 10
PGBENCH = {
    "pgbench_accounts": "SELECT aid, bid, abalance, filler FROM public.pgbench_accounts",
    "pgbench_branches": "SELECT bid, bbalance, filler FROM public.pgbench_branches",
    "pgbench_tellers": "SELECT tid, bid, tbalance, filler FROM public.pgbench_tellers",
    "pgbench_history": "SELECT tid, bid, aid, delta, mtime FROM public.pgbench_history",
}
ODD = """
    CREATE TABLE odd (id int PRIMARY KEY, body text, n numeric, d date, at timestamptz, span interval, tags text[], raw bytea, f float8);
    ALTER TABLE odd ALTER body SET STORAGE EXTERNAL;
    INSERT INTO odd VALUES
        (1, repeat('toast', 4000), 'NaN', 'infinity', '-infinity', '1 mon -2 days', '{a,"b,\\"c",NULL}', '\\x00ff', 'NaN'),
        (2, E'a"\\n\\\\', -0.10, '0044-03-15 BC', '12024-01-01 00:00:00+00', NULL, '{{a,b},{c,d}}', '', 1e300),
        (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)"""
ODD_QUERY = "SELECT * FROM public.odd"


def apply(millrace, name, codec):
    file = millrace.folder / f"{name}.yaml"
    file.write_text(f"""
name: {name}
source: {{url: "{millrace.url('source', name)}"}}
destination: {{url: "{millrace.url('destination', name)}"}}
codec: {codec}
""")
    millrace.cli("apply", "-f", file)


def assert_equal(millrace, name):
    for query in (*PGBENCH.values(), ODD_QUERY):
        source = millrace.rows("source", name, query)
        destination = millrace.rows("destination", name, query)
        assert source == destination, query


def test_under_load_equal_over_changes_of_the_codec(millrace):
    name = "forms"
    millrace.create_database("source", name)
    millrace.create_database("destination", name)
    millrace.pgbench(name, "-i", "-q", "-s", 1)
    millrace.sql("source", name, ODD)
    load = millrace.pgbench(name, "-n", "-c", 2, "-T", SECONDS, background=True)
    apply(millrace, name, "debezium-json")
    millrace.wait(name)
    # An unchanged TOAST value, key moves and a swap, a delete.
    millrace.sql("source", name, "UPDATE odd SET n = 1.50 WHERE id = 1")
    millrace.sql("source", name, "UPDATE odd SET id = id + 10 WHERE id < 3")
    millrace.sql("source", name, "DELETE FROM odd WHERE id = 3")
    apply(millrace, name, "native")
    millrace.sql("source", name, "UPDATE odd SET f = f + 1, id = id + 100")
    time.sleep(2)
    apply(millrace, name, "debezium-json")
    millrace.kill("w1")
    millrace.restart("w1")
    assert load.wait() == 0
    millrace.sql("source", name, "UPDATE odd SET d = '2024-02-29'; TRUNCATE pgbench_history; INSERT INTO pgbench_history VALUES (1, 1, 1, 1, now())")
    millrace.wait(name)
    assert_equal(millrace, name)
    millrace.cli("pipeline", "delete", name)


ITEMS = """
    CREATE TABLE items (id int PRIMARY KEY, name text NOT NULL, price numeric(10,2), big numeric, flag boolean, at timestamptz, stamp timestamp,
                        stamp3 timestamp(3), day date, clock time, doc jsonb, uid uuid, raw bytea, f float8, small smallint, tall bigint);
    CREATE TABLE pairs (a int, b text, v int, PRIMARY KEY (a, b));
    INSERT INTO items SELECT g, 'item ' || g, g + 0.25, g * 1.125, g % 2 = 0, '2024-02-29 12:00:00.123456+00'::timestamptz + g * interval '1 day',
        '2024-02-29 12:00:00.123456'::timestamp - g * interval '30 years', '1969-12-31 23:59:59.5', '1970-01-01'::date - g, '23:59:59.123456',
        '{"a": [1, "x"]}', ('00000000-0000-0000-0000-' || lpad(g::text, 12, '0'))::uuid, '\\x00ff10', g / 3.0, -g, 9223372036854775807 - g
        FROM generate_series(1, 50) g;
    INSERT INTO pairs SELECT g, 'b' || g, g FROM generate_series(1, 20) g"""
ITEMS_QUERY = """SELECT id, name, price, big + 0.000, flag, at, stamp, stamp3, day, clock, doc::jsonb, uid, raw, f, small, tall FROM items"""
PAIRS_QUERY = "SELECT a, b, v FROM pairs"


class Sink:
    """Kafka Connect, one process, with Debezium's JDBC sink writing a pipeline's topics into a database of the destination."""

    def __init__(self, millrace, pipeline, database):
        subprocess.run([ROOT / "tests" / "e2e" / "fetch_debezium_jdbc"], check=True)
        folder = millrace.folder / "connect"
        folder.mkdir()
        (folder / "plugins").mkdir()
        self.write(folder / "worker.properties", {
            "bootstrap.servers": f"127.0.0.1:{millrace.ports['kafka']}", "offset.storage.file.filename": folder / "offsets",
            "key.converter": "org.apache.kafka.connect.json.JsonConverter", "value.converter": "org.apache.kafka.connect.json.JsonConverter",
            "key.converter.schemas.enable": "true", "value.converter.schemas.enable": "true", "plugin.discovery": "only_scan",
            "plugin.path": folder / "plugins", "listeners": f"http://127.0.0.1:{processes.free_port()}",
            "consumer.isolation.level": "read_committed", "offset.flush.interval.ms": "1000"})
        self.write(folder / "sink.properties", {
            "name": "sink", "connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector", "tasks.max": "1",
            "topics": f"millrace.{pipeline}.public.items,millrace.{pipeline}.public.pairs",
            "connection.url": f"jdbc:postgresql://127.0.0.1:{millrace.ports['destination']}/{database}",
            "connection.username": "postgres", "connection.password": millrace.password, "insert.mode": "upsert", "delete.enabled": "true",
            "primary.key.mode": "record_key", "schema.evolution": "basic", "use.time.zone": "UTC",
            "collection.name.format": "${source.table}", "consumer.override.auto.offset.reset": "earliest"})
        (folder / "log4j2.properties").write_text(
            "appender.out.type = Console\nappender.out.name = out\nrootLogger.level = warn\nrootLogger.appenderRef.out.ref = out\n")
        libs = ROOT / ".cache" / "debezium-jdbc" / "libs"
        self.log = folder / "log"
        self.process = subprocess.Popen(
            ["java", "-Xmx512m", "-XX:+UseSerialGC", "-Duser.timezone=UTC", f"-Dlog4j2.configurationFile={folder}/log4j2.properties", "-cp", f"{libs}/*",
             "org.apache.kafka.connect.cli.ConnectStandalone", folder / "worker.properties", folder / "sink.properties"],
            stdout=self.log.open("w"), stderr=subprocess.STDOUT, env={**os.environ})

    @staticmethod
    def write(file, properties):
        file.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))

    def stop(self):
        self.process.terminate()
        self.process.wait(30)

    def log_tail(self):
        return self.log.read_text(errors="replace")[-4000:]


@pytest.mark.full
def test_debeziums_jdbc_sink_reads_the_topics(millrace):
    name = "peer"
    for server, database in (("source", name), ("destination", name), ("destination", "sink")):
        millrace.create_database(server, database)
    millrace.sql("source", name, ITEMS)
    millrace.replicate(name, millrace.url("source", name), millrace.url("destination", name), "--codec", "debezium-json")
    sink = Sink(millrace, name, "sink")
    try:
        def equal():
            assert sink.process.poll() is None, sink.log_tail()
            for query in (ITEMS_QUERY, PAIRS_QUERY):
                source = millrace.rows("source", name, query)
                assert source and millrace.rows("destination", name, query) == source
                found = millrace.rows("destination", "sink", query)
                assert found == source, f"{sorted(set(source) ^ set(found))[:4]}\n{sink.log_tail()}"
            return True

        eventually(equal, 120, "the sink has the first copy")
        millrace.sql("source", name, """
            UPDATE items SET price = -0.01, raw = NULL, doc = NULL, at = NULL WHERE id <= 10;
            DELETE FROM items WHERE id BETWEEN 41 AND 45;
            UPDATE items SET id = id + 1000 WHERE id > 45;
            UPDATE pairs SET b = b || '-moved', v = 0 WHERE a <= 5;
            INSERT INTO items (id, name) VALUES (2000, 'ä "quoted" \\ one')""")
        eventually(equal, 60, "the sink follows updates, deletes and key moves")
    finally:
        sink.stop()
        print(sink.log_tail())
    millrace.cli("pipeline", "delete", name)
