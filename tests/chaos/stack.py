"""A private Millrace whose workers reach Kafka and the databases through proxies.

Not for: what is done to it (nemesis), what runs on it (workload).
"""

import json
import os
import pathlib
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

import harness  # noqa: E402
from harness import BIN, Millrace  # noqa: E402
import kafka_server  # noqa: E402
import postgres_server  # noqa: E402
import processes  # noqa: E402
from places import DeathLog  # noqa: E402
from proxy import Proxies  # noqa: E402

DATABASE = "chaos"
PIPELINE = "chaos"
SERVERS = ("source", "destination")
# Processes are killed, not the machine: nothing that was written is lost without fsync.
SETTINGS = {"fsync": "off", "checkpoint_timeout": "1min", "deadlock_timeout": "100ms", "log_min_messages": "fatal",
            "log_min_error_statement": "panic"}


class ChaosStack(Millrace):
    """Each worker has a broker listener of its own, so that one alone can be cut off."""

    def __init__(self, destination, workers):
        super().__init__()
        self.destination_type = destination
        # 0: as many as fit, so that small tables are copied under a snapshot.
        self.chunk_rows = 0
        self.workers = workers
        self.duckdb_file = self.folder / "chaos.duckdb"
        self.proxies = Proxies()
        # Of every worker, and of the next start of one: see base/failpoint.h.
        self.environment = {}
        self.armed = {}
        self.deaths = {worker: DeathLog(self.folder / f"{worker}.deaths") for worker in workers}
        for worker in workers:
            self.ports[f"kafka-{worker}"] = processes.free_port()
            self.proxied(f"{worker}-kafka", f"kafka-{worker}")
        self.proxied("worker-source", "source")
        self.proxied("worker-destination", "destination")

    def proxied(self, name, target):
        self.ports[name] = processes.free_port()
        self.proxies.listen(name, self.ports[name], self.ports[target])

    def start_kafka(self):
        controller = self.stack.state["ports"].setdefault("kafka-controller", processes.free_port())
        listeners = [f"PLAINTEXT://127.0.0.1:{self.ports['kafka']}", f"CONTROLLER://127.0.0.1:{controller}"]
        advertised = [listeners[0], listeners[1]]
        protocols = ["PLAINTEXT:PLAINTEXT", "CONTROLLER:PLAINTEXT"]
        for worker in self.workers:
            name = worker.upper()
            listeners.append(f"{name}://127.0.0.1:{self.ports[f'kafka-{worker}']}")
            advertised.append(f"{name}://127.0.0.1:{self.ports[f'{worker}-kafka']}")
            protocols.append(f"{name}:PLAINTEXT")
        kafka_server.start(self.stack, self.ports["kafka"], settings={
            "listeners": ",".join(listeners), "advertised.listeners": ",".join(advertised),
            "listener.security.protocol.map": ",".join(protocols)})

    def start_postgres(self, name):
        postgres_server.start(self.stack, self.ports[name], name=name, password=self.password, settings=SETTINGS)

    def start_worker(self, worker_id="w1", role="all", control=None):
        self.stack.launch(worker_id, [
            BIN / "millrace-worker", "--control", control or self.control_address,
            "--kafka", f"127.0.0.1:{self.ports[f'{worker_id}-kafka']}", "--admin-listen", "127.0.0.1:0",
            "--state-dir", self.folder / worker_id, "--key-file", self.folder / "plane.key",
            "--plane-token-file", self.folder / "plane.token", "--worker-id", worker_id, "--role", role,
            "--log-format", "json"],
            env={"MILLRACE_FAILPOINTS_ON": self.armed.pop(worker_id, ""), "MILLRACE_FAILPOINTS_LOG": str(self.deaths[worker_id].file),
                 **self.environment})

    def start(self, workers=None):
        self.start_kafka()
        self.start_postgres("source")
        if self.destination_type == "postgres":
            self.start_postgres("destination")
        self.start_control()
        for worker in self.workers:
            self.start_worker(worker)
        return self

    def create_pipeline(self):
        """Returns without waiting for the first copy."""
        source = f"postgres://postgres:{self.password}@127.0.0.1:{self.ports['worker-source']}/{DATABASE}"
        target = f"duckdb://{self.duckdb_file}"
        if self.destination_type == "postgres":
            target = f"postgres://postgres:{self.password}@127.0.0.1:{self.ports['worker-destination']}/{DATABASE}"
        self.apply(PIPELINE, source, target, *([f"backfill: {{chunk_rows: {self.chunk_rows}}}"] if self.chunk_rows else []))

    def family(self, name):
        """The process of that name and, of a database server, its children."""
        pid = self.stack.pid(name)
        children = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()
        return [pid] + [int(c) for c in children if name in SERVERS]

    def signal(self, name, number):
        for pid in self.family(name):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def freeze(self, name):
        self.signal(name, signal.SIGSTOP)

    def thaw(self, name):
        self.signal(name, signal.SIGCONT)

    def names(self):
        servers = ["source"] + (["destination"] if self.destination_type == "postgres" else [])
        return [*self.workers, "kafka", *servers, "control"]

    def heal(self):
        """Every link is open and everything runs, but for workers that ended by themselves."""
        for link in self.proxies.names:
            self.proxies.tell("open", link)
        for name in self.names():
            if self.stack.alive(name):
                self.thaw(name)
            elif name not in self.workers:
                self.restart(name)

    def stop(self):
        self.heal_quietly()
        self.proxies.stop()
        super().stop()

    def heal_quietly(self):
        for name in self.names():
            if self.stack.alive(name):
                self.thaw(name)

    def needs_person(self):
        """What the status says that only a person can mend; nothing in a round is of that kind."""
        done = self.cli("status", PIPELINE, "-o", "json", check=False)
        if done.returncode != 0:
            return ""
        status = json.loads(done.stdout)["pipelines"][0]
        publisher = status["publisher"]
        wrong = [f"the publisher is blocked: {publisher['error_reason']}: {publisher['error']}"] if publisher["state"] == "blocked" else []
        wrong += [f"table {t['table']} is held: {t['error_reason']}: {t['error']}" for t in status["tables"] if t["state"] == "held"]
        return "; ".join(wrong)

    def applied(self):
        """A number that grows when changes reach the destination; raises when it does not answer."""
        query = "SELECT coalesce(sum(next_offset), 0)::bigint FROM _millrace.checkpoints"
        if self.destination_type == "postgres":
            return int(self.sql("destination", DATABASE, query)[0][0])
        return int(self.duckdb(query)[0])

    def duckdb(self, query, retry="20s"):
        """Lines of a query, tab-separated, escaped as COPY does."""
        done = subprocess.run([BIN / "duckdb-query", str(self.duckdb_file), query, "--retry", retry], capture_output=True, text=True)
        if done.returncode != 0:
            raise OSError(done.stderr.strip())
        return done.stdout.split("\n")[:-1]

    def copy_lines(self, server, query):
        """Lines of a query as COPY writes them."""
        import io
        connection = self.connect(server, DATABASE)
        try:
            with connection.cursor() as cursor:
                out = io.StringIO()
                cursor.copy_expert(f"COPY ({query}) TO STDOUT", out)
            return out.getvalue().split("\n")[:-1]
        finally:
            connection.close()


BUILD = harness.BUILD
