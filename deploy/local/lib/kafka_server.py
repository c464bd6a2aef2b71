"""One Kafka broker (KRaft, broker and controller in one process) for local use and tests. Not for: production."""

import base64
import os
import pathlib
import subprocess
import sys

import processes

ROOT = pathlib.Path(__file__).resolve().parents[3]

PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
num.network.threads=2
num.io.threads=4
"""

LOG4J = """\
status = warn
appender.stdout.type = Console
appender.stdout.name = stdout
appender.stdout.layout.type = PatternLayout
appender.stdout.layout.pattern = [%d] %p %m (%c)%n
rootLogger.level = warn
rootLogger.appenderRef.stdout.ref = stdout
"""


def start(stack, port, name="kafka", folder=None, settings=None):
    """Starts the broker unless it runs; its data survive a restart. `settings`: broker properties on top of ours."""
    if stack.alive(name):
        return
    if processes.taken(port):
        raise SystemExit(f"Port {port}, which Kafka should use, is taken by another process; set MILLRACE_KAFKA_PORT.")
    libs = ROOT / ".cache" / "kafka" / "libs"
    home = pathlib.Path(folder or stack.home / name)
    home.mkdir(parents=True, exist_ok=True)
    data = home / "data"
    stack.state["ports"].setdefault(name + "-controller", processes.free_port())
    config = home / "server.properties"
    own = PROPERTIES.format(port=port, controller=stack.state["ports"][name + "-controller"], data=data)
    # The last one of a property counts.
    config.write_text(own + "".join(f"{key}={value}\n" for key, value in (settings or {}).items()))
    (home / "log4j2.properties").write_text(LOG4J)
    java = ["java", "-Xmx512m", "-Xms128m", "-XX:+UseSerialGC", f"-Dlog4j2.configurationFile={home}/log4j2.properties",
            "-cp", f"{libs}/*"]
    if not (data / "meta.properties").exists():
        # The tool takes an id that begins with '-' for a flag.
        cluster = base64.urlsafe_b64encode(b"M" + os.urandom(15)).decode().rstrip("=")
        done = subprocess.run([*java, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", config],
                              capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"Kafka's storage could not be formatted:\n{done.stdout}{done.stderr}")
    process, log = stack.launch(name, [*java, "kafka.Kafka", config], port=port)
    processes.wait_for(lambda: processes.listening(port), 60, "Kafka", process, log)


if __name__ == "__main__":
    # kafka_server.py HOME PORT: for tests and by hand.
    one = processes.Stack(sys.argv[1])
    start(one, int(sys.argv[2]))
    print(one.pid("kafka"))
