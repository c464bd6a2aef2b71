"""Every common mistake gives one sentence with a remedy, an exit code, and leaves nothing behind."""

import subprocess
import time

import pytest

from harness import Millrace, eventually

NAME = "shop"


@pytest.fixture(scope="module")
def shop(millrace):
    millrace.create_database("source", NAME)
    millrace.sql("source", NAME, "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)")
    millrace.sql("source", NAME, "CREATE ROLE plain LOGIN PASSWORD 'plain-pw'; CREATE ROLE blind LOGIN REPLICATION PASSWORD 'blind-pw'; GRANT CREATE ON DATABASE shop TO blind")
    millrace.create_database("destination", NAME)
    return millrace


def nothing_left(millrace):
    assert millrace.sql("source", NAME, "SELECT slot_name FROM pg_replication_slots WHERE database = 'shop'") == []
    assert millrace.sql("source", NAME, "SELECT pubname FROM pg_publication") == []
    assert '"bad' not in millrace.cli("pipeline", "list", "-o", "json").stdout
    assert '"bad' not in millrace.cli("connector", "list", "-o", "json").stdout


def refused(millrace, source, destination, *arguments, says, remedy=None):
    done = millrace.replicate("bad", source, destination, *arguments, check=False)
    text = done.stdout + done.stderr
    print(text)
    assert done.returncode not in (0, None)
    assert says in text, text
    if remedy:
        assert remedy in text, text
    assert "hunter2" not in text
    nothing_left(millrace)
    return text


def test_unknown_option(shop):
    refused(shop, shop.url("source", NAME) + "?sslmod=require", shop.url("destination", NAME), says="sslmod", remedy="sslmode")


def test_unknown_scheme(shop):
    refused(shop, "postgress://h/d", shop.url("destination", NAME), says="postgress", remedy="postgres://")


def test_wrong_password(shop):
    refused(shop, shop.url("source", NAME, password="hunter2"), shop.url("destination", NAME), says="password")


def test_host_that_does_not_resolve(shop):
    refused(shop, f"postgres://postgres:{shop.password}@no-such-host.invalid/shop", shop.url("destination", NAME), says="no-such-host.invalid")


def test_port_that_nobody_listens_on(shop):
    refused(shop, f"postgres://postgres:{shop.password}@127.0.0.1:1/shop", shop.url("destination", NAME), says="127.0.0.1")


def test_missing_database(shop):
    refused(shop, shop.url("source", "nowhere"), shop.url("destination", NAME), says="nowhere")


def test_missing_table(shop):
    refused(shop, shop.url("source", NAME), shop.url("destination", NAME), "--tables", "public.missing", says="public.missing")


def test_role_without_replication(shop):
    refused(shop, shop.url("source", NAME, user="plain", password="plain-pw"), shop.url("destination", NAME), says="REPLICATION", remedy="ALTER ROLE")


def test_role_without_select(shop):
    refused(shop, shop.url("source", NAME, user="blind", password="blind-pw"), shop.url("destination", NAME), says="SELECT", remedy="GRANT")


def test_destination_that_holds_other_rows(shop):
    shop.sql("destination", NAME, "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (7)")
    refused(shop, shop.url("source", NAME), shop.url("destination", NAME), says="public.t", remedy="TRUNCATE")
    assert shop.sql("destination", NAME, "SELECT id FROM t") == [(7,)]
    shop.sql("destination", NAME, "DROP TABLE t")


def test_destination_that_is_the_source(shop):
    shop.sql("source", NAME, "CREATE TABLE empty (id int PRIMARY KEY)")
    same = shop.url("source", NAME).replace("127.0.0.1", "localhost")
    refused(shop, shop.url("source", NAME), same, "--tables", "public.empty", says="are the same database", remedy="another database")


def test_destination_that_is_a_view(shop):
    shop.sql("destination", NAME, "CREATE VIEW empty AS SELECT 1 AS id WHERE false")
    refused(shop, shop.url("source", NAME), shop.url("destination", NAME), "--tables", "public.empty", says="a view of that name", remedy="rename the view")


def test_destination_folder_that_does_not_exist(shop):
    refused(shop, shop.url("source", NAME), "duckdb:///no/such/folder/w.duckdb", says="/no/such/folder")


def test_destination_file_locked_by_another_process(shop):
    from harness import BIN  # noqa: F401  (the build must exist)
    file = shop.folder / "locked.duckdb"
    holder = subprocess.Popen(["python3", "-c", f"""
import fcntl, time
f = open({str(file)!r}, 'a+b'); f.flush()
fcntl.lockf(f, fcntl.LOCK_EX)
print('held', flush=True); time.sleep(120)
"""], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    try:
        refused(shop, shop.url("source", NAME), f"duckdb://{file}", says=str(file))
    finally:
        holder.kill()
        holder.wait()


def test_kafka_down_and_other_pipelines_run_on(shop):
    shop.create_database("source", "good")
    shop.sql("source", "good", "CREATE TABLE g (id int PRIMARY KEY)")
    shop.create_database("destination", "good")
    shop.replicate("good", shop.url("source", "good"), shop.url("destination", "good"))
    shop.kill("kafka")
    try:
        refused(shop, shop.url("source", NAME), shop.url("destination", NAME), says="Kafka")
    finally:
        shop.restart("kafka")
    shop.sql("source", "good", "INSERT INTO g VALUES (1)")
    shop.wait("good")
    assert shop.sql("destination", "good", "SELECT id FROM g") == [(1,)]


def test_invalid_name(shop):
    done = shop.replicate("Not_A_Name!", shop.url("source", NAME), shop.url("destination", NAME), check=False)
    assert done.returncode == 1
    assert "Not_A_Name!" in done.stderr


def test_existing_name(shop):
    done = shop.replicate("good", shop.url("source", "good"), shop.url("destination", "good"), check=False)
    assert done.returncode == 1 and "good" in done.stderr and "exists" in done.stderr


def test_wrong_token(shop):
    done = shop.cli("status", check=False, environment={"MILLRACE_TOKEN": "wrong"})
    assert done.returncode == 1 and "token" in done.stderr


def test_control_plane_down(shop):
    done = shop.cli("--endpoint", "127.0.0.1:1", "status", check=False)
    assert done.returncode == 1 and "127.0.0.1:1" in done.stderr


def test_usage_errors_exit_with_two(shop):
    assert shop.cli("replicate", check=False).returncode == 2
    assert shop.cli("no-such-command", check=False).returncode == 2


def test_wal_level_replica():
    import postgres_server
    one = Millrace()
    try:
        one.start_kafka()
        postgres_server.start(one.stack, one.ports["source"], name="source", password=one.password, settings={"wal_level": "replica"})
        one.start_postgres("destination")
        one.start_control()
        one.start_worker()
        one.create_database("source", NAME)
        one.sql("source", NAME, "CREATE TABLE t (id int PRIMARY KEY)")
        one.create_database("destination", NAME)
        refused(one, one.url("source", NAME), one.url("destination", NAME), says="wal_level", remedy="ALTER SYSTEM SET wal_level")
    finally:
        one.stop()
