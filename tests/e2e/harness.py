"""A private Millrace with its own Kafka and databases, whose processes tests may kill and start again.

Not for: assertions (the tests), installing (tests/run).
"""

import json
import os
import pathlib
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import psycopg2

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "deploy" / "local" / "lib"))

import kafka_server  # noqa: E402
import postgres_server  # noqa: E402
import processes  # noqa: E402

BUILD = pathlib.Path(os.environ.get("MILLRACE_BUILD", ROOT / "build"))
BIN = BUILD / "bin"
FULL = os.environ.get("MILLRACE_TEST_FULL") == "1"


class Millrace:
    """Control plane, workers, Kafka, a source and a destination server."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-e2e-"))
        self.folder.chmod(0o755)
        self.stack = processes.Stack(self.folder)
        self.ports = {n: processes.free_port() for n in ("kafka", "source", "destination", "api", "admin")}
        self.token = secrets.token_urlsafe(24)
        (self.folder / "api.token").write_text(self.token)
        (self.folder / "plane.token").write_text(secrets.token_urlsafe(24))
        (self.folder / "credentials").write_text(json.dumps({"endpoint": f"127.0.0.1:{self.ports['api']}", "token": self.token}))
        self.control_address = f"127.0.0.1:{self.ports['api']}"
        # Passwords are asked for over TCP, so that a wrong one is refused as everywhere.
        self.password = "pw-" + secrets.token_hex(6)

    # Processes ---------------------------------------------------------------------------------------------------

    def start_kafka(self):
        kafka_server.start(self.stack, self.ports["kafka"])

    def start_postgres(self, name):
        postgres_server.start(self.stack, self.ports[name], name=name, password=self.password)

    def start_control(self):
        process, log = self.stack.launch("control", [
            BIN / "millrace-control", "--listen", f"127.0.0.1:{self.ports['api']}", "--admin-listen", f"127.0.0.1:{self.ports['admin']}",
            "--store", self.folder / "control.db", "--token-file", self.folder / "api.token",
            "--plane-token-file", self.folder / "plane.token", "--log-format", "json"])
        processes.wait_for(lambda: processes.listening(self.ports["api"]), 30, "The control plane", process, log)

    def start_worker(self, worker_id="w1", role="all", control=None):
        self.stack.launch(worker_id, [
            BIN / "millrace-worker", "--control", control or self.control_address, "--kafka", f"127.0.0.1:{self.ports['kafka']}",
            "--admin-listen", "127.0.0.1:0", "--state-dir", self.folder / worker_id, "--key-file", self.folder / "plane.key",
            "--plane-token-file", self.folder / "plane.token", "--worker-id", worker_id, "--role", role, "--log-format", "json"])

    def start(self, workers=("w1",)):
        self.start_kafka()
        self.start_postgres("source")
        self.start_postgres("destination")
        self.start_control()
        for worker in workers:
            self.start_worker(worker)
        return self

    def kill(self, name):
        """kill -9, and of a server with children the whole of it."""
        pid = self.stack.pid(name)
        if name in ("source", "destination"):
            children = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()
            os.kill(pid, signal.SIGKILL)
            for child in children:
                try:
                    os.kill(int(child), signal.SIGKILL)
                except ProcessLookupError:
                    pass
        else:
            os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while self.stack.alive(name) and time.monotonic() < deadline:
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass
            time.sleep(0.02)
        time.sleep(0.3)

    def restart(self, name):
        if name == "kafka":
            self.start_kafka()
        elif name in ("source", "destination"):
            self.start_postgres(name)
        elif name == "control":
            self.start_control()
        else:
            self.start_worker(name)

    def terminate(self, name, seconds=20):
        """SIGTERM; returns the exit code."""
        pid = self.stack.pid(name)
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                code = os.waitstatus_to_exitcode(status)
                if code != 0:
                    print(f"{name} ended with {code}; its last words:\n" + self.last_words(name))
                return code
            time.sleep(0.05)
        raise AssertionError(f"{name} did not end within {seconds} s of SIGTERM")

    def stop(self):
        for name in list(self.stack.state["processes"]):
            self.stack.stop(name, signal.SIGINT if name in ("source", "destination") else signal.SIGTERM, 10)
        for name in list(self.stack.state["folders"]):
            postgres_server.remove(self.stack, name)
        keep = os.environ.get("MILLRACE_TEST_KEEP")
        # Without logs nothing ever started; what kept it from starting is what is to be seen.
        if keep and (self.folder / "logs").exists():
            shutil.copytree(self.folder / "logs", pathlib.Path(keep) / self.folder.name, dirs_exist_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    # Databases ---------------------------------------------------------------------------------------------------

    def connect(self, server, database="postgres", user="postgres", password=None):
        connection = psycopg2.connect(host="127.0.0.1", port=self.ports[server], user=user, dbname=database,
                                      password=password or self.password)
        connection.autocommit = True
        return connection

    def sql(self, server, database, statement, parameters=None):
        connection = self.connect(server, database)
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement, parameters)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def create_database(self, server, database):
        self.sql(server, "postgres", f'CREATE DATABASE "{database}"')

    def url(self, server, database, user="postgres", password=None):
        return f"postgres://{user}:{password or self.password}@127.0.0.1:{self.ports[server]}/{database}"

    def pgbench(self, database, *arguments, background=False):
        command = [postgres_server.binaries() / "pgbench", "-h", "127.0.0.1", "-p", str(self.ports["source"]), "-U", "postgres", *map(str, arguments), database]
        environment = {**os.environ, "PGPASSWORD": self.password}
        if background:
            return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        subprocess.run(command, env=environment, check=True, capture_output=True)
        return None

    def rows(self, server, database, query):
        """Sorted text rows of a query, in the form that both servers print alike."""
        connection = self.connect(server, database)
        with connection.cursor() as cursor:
            import io
            out = io.StringIO()
            cursor.copy_expert(f"COPY ({query}) TO STDOUT", out)
        connection.close()
        return sorted(out.getvalue().splitlines())

    def duckdb_rows(self, file, query):
        """Sorted rows of a DuckDB query, tab-separated."""
        done = subprocess.run([BIN / "duckdb-query", str(file), query, "--retry", "20s"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return sorted(done.stdout.splitlines())

    # CLI ---------------------------------------------------------------------------------------------------------

    def cli(self, *arguments, check=True, environment=None, timeout=300):
        done = subprocess.run([BIN / "millrace", *map(str, arguments)], capture_output=True, text=True, timeout=timeout,
                              env={**os.environ, "MILLRACE_HOME": str(self.folder), **(environment or {})}, stdin=subprocess.DEVNULL)
        if check:
            assert done.returncode == 0, f"millrace {' '.join(map(str, arguments[:2]))} failed:\n{done.stdout}\n{done.stderr}\n{self.log_tail()}"
        return done

    def replicate(self, name, source, destination, *arguments, **kwargs):
        return self.cli("replicate", "--name", name, "--source", source, "--destination", destination, *arguments, **kwargs)

    def apply(self, name, source, destination, *more, **kwargs):
        """The pipeline as a file, with further lines; does not wait for the first copy."""
        path = self.folder / f"{name}.yaml"
        path.write_text("\n".join([f"name: {name}", f"source: {{url: '{source}'}}", f"destination: {{url: '{destination}'}}", *more]) + "\n")
        return self.cli("apply", "-f", path, **kwargs)

    def wait(self, name, goal="caught-up", timeout="120s"):
        return self.cli("wait", name, "--for", goal, "--timeout", timeout)

    def status(self, name):
        return json.loads(self.cli("status", name, "-o", "json").stdout)["pipelines"][0]

    def last_words(self, name, lines=40):
        return "\n".join((self.folder / "logs" / f"{name}.log").read_text(errors="replace").splitlines()[-lines:])

    def log_tail(self, lines=15):
        out = []
        for log in sorted((self.folder / "logs").glob("*.log")):
            if log.stem not in ("source", "destination", "kafka"):
                out.append(f"--- {log.name}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-lines:]))
        return "\n".join(out)


def eventually(check, seconds=30, what=""):
    """Repeats `check` until it returns something true."""
    deadline = time.monotonic() + seconds
    last = None
    while time.monotonic() < deadline:
        try:
            last = check()
            if last:
                return last
        except (AssertionError, psycopg2.Error) as error:
            last = error
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s: {what or check}: {last}")
