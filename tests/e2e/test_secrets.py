"""No password and no row value reaches the control plane: its store, its logs and the link are searched for planted ones."""

import socket
import threading
import time

import pytest

import processes
from harness import Millrace, eventually

PASSWORD = "canary-password-5f1d2e"
VALUE = "canary-row-value-9a8b7c"
TABLE = "canary_table_name"


class Tap:
    """A TCP proxy that keeps what passes; the link has no TLS here, so it is what a decrypted capture would show."""

    def __init__(self, target):
        self.target = target
        self.seen = bytearray()
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.server.accept()
                upstream = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                return
            for a, b in ((client, upstream), (upstream, client)):
                threading.Thread(target=self.pump, args=(a, b), daemon=True).start()

    def pump(self, a, b):
        try:
            while data := a.recv(65536):
                self.seen += data
                b.sendall(data)
        except OSError:
            pass
        finally:
            a.close()
            b.close()


@pytest.fixture(scope="module")
def tapped():
    one = Millrace()
    try:
        one.start_kafka()
        one.start_postgres("source")
        one.start_postgres("destination")
        one.start_control()
        tap = Tap(one.ports["api"])
        one.start_worker("w1", control=f"127.0.0.1:{tap.port}")
        yield one, tap
    finally:
        one.stop()


def test_canaries(tapped):
    one, tap = tapped
    one.create_database("source", "secretdb")
    one.sql("source", "secretdb", f"CREATE ROLE mover SUPERUSER LOGIN PASSWORD '{PASSWORD}'; CREATE TABLE {TABLE} (id int PRIMARY KEY, v text); INSERT INTO {TABLE} VALUES (1, '{VALUE}')")
    one.sql("destination", "postgres", f"CREATE ROLE mover SUPERUSER LOGIN PASSWORD '{PASSWORD}'")
    one.create_database("destination", "secretdb")
    # The CLI passes the tap too.
    environment = {"MILLRACE_ENDPOINT": f"127.0.0.1:{tap.port}"}
    one.replicate("canary", one.url("source", "secretdb", "mover", PASSWORD), one.url("destination", "secretdb", "mover", PASSWORD), environment=environment)
    # A failing row must not show either.
    one.sql("destination", "secretdb", f"REVOKE ALL ON {TABLE} FROM PUBLIC; ALTER TABLE {TABLE} ADD CONSTRAINT no CHECK (id < 5)")
    one.sql("source", "secretdb", f"UPDATE {TABLE} SET v = v || '!' WHERE id = 1; INSERT INTO {TABLE} VALUES (10, '{VALUE}')")
    eventually(lambda: any(t["error"] for t in one.status("canary")["tables"]), 30, "the table shows its error")
    # A wrong password must not show in errors.
    one.cli("connector", "create", "wrong", "--url", one.url("source", "secretdb", "mover", PASSWORD + "x"), environment=environment)
    one.cli("status", environment=environment)
    one.cli("connector", "list", "-o", "json", environment=environment)
    time.sleep(2)
    places = {"link and API traffic": bytes(tap.seen)}
    for file in one.folder.glob("control.db*"):
        places[file.name] = file.read_bytes()
    for name in ("control", "w1"):
        places[f"{name}.log"] = (one.folder / "logs" / f"{name}.log").read_bytes()
    for file in (one.folder / "w1").rglob("*"):
        if file.is_file():
            places[f"worker state {file.name}"] = file.read_bytes()
    for place, content in places.items():
        assert PASSWORD.encode() not in content, f"the password stands in {place}"
        assert VALUE.encode() not in content, f"the row value stands in {place}"
    # The search works: a table's name is no secret and is found.
    assert TABLE.encode() in places["link and API traffic"]
    assert b"secretdb" in places["control.db"] + places.get("control.db-wal", b"")
