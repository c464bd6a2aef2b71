"""The local stack: Kafka, a sample database, control plane and one data plane, kept in one folder.

Called by deploy/local/{up,down,status}. Not for: installing or building (lib/prerequisites, up).
"""

import argparse
import json
import os
import pathlib
import secrets
import shutil
import subprocess
import sys
import time
import urllib.request

import kafka_server
import postgres_server
import processes

ROOT = pathlib.Path(__file__).resolve().parents[3]
BIN = ROOT / "build" / "bin"
PIPELINE = "shop"
STOP_ORDER = ["traffic", "worker", "control", "kafka", "sample-postgres"]


def say(text):
    print(text, flush=True)


def secret_file(path, value):
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(value)
    return path.read_text()


def shown(path):
    """Relative below the current folder, absolute elsewhere."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def ready(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


def start_kafka(stack, given):
    if given:
        host, _, port = given.rpartition(":")
        if not host or not port.isdigit():
            raise SystemExit(f"--kafka wants HOST:PORT, not '{given}'.")
        if not processes.listening(int(port), host):
            raise SystemExit(f"No Kafka broker answers at {given}; start it, or leave --kafka out to get one here.")
        stack.state["kafka"] = given
    if stack.state.get("kafka"):
        return stack.state["kafka"]
    port = stack.port("kafka", "MILLRACE_KAFKA_PORT", 9092)
    if not stack.alive("kafka"):
        say(f"  starting Kafka on port {port}")
    kafka_server.start(stack, port)
    return f"127.0.0.1:{port}"


def start_control(stack):
    home = stack.home
    api = stack.port("control", "MILLRACE_API_PORT", 7443)
    admin = stack.port("control-admin", "MILLRACE_ADMIN_PORT", 7444)
    token = secret_file(home / "api.token", secrets.token_urlsafe(32))
    secret_file(home / "plane.token", secrets.token_urlsafe(32))
    credentials = home / "credentials"
    credentials.touch(mode=0o600)
    credentials.write_text(json.dumps({"endpoint": f"127.0.0.1:{api}", "token": token}) + "\n")
    if not stack.alive("control"):
        say(f"  starting the control plane on port {api}")
        process, log = stack.launch("control", [
            BIN / "millrace-control", "--listen", f"127.0.0.1:{api}", "--admin-listen", f"127.0.0.1:{admin}",
            "--store", home / "control.db", "--token-file", home / "api.token",
            "--plane-token-file", home / "plane.token"], port=api)
        processes.wait_for(lambda: ready(admin), 30, "The control plane", process, log)
    return f"127.0.0.1:{api}"


def start_worker(stack, control, kafka):
    admin = stack.port("worker", "MILLRACE_WORKER_PORT", 7445)
    if not stack.alive("worker"):
        say("  starting the data plane (one worker)")
        process, log = stack.launch("worker", [
            BIN / "millrace-worker", "--control", control, "--kafka", kafka, "--admin-listen", f"127.0.0.1:{admin}",
            "--state-dir", stack.home / "worker", "--key-file", stack.home / "plane.key",
            "--plane-token-file", stack.home / "plane.token", "--worker-id", "local-1"], port=admin)
        processes.wait_for(lambda: ready(admin), 30, "The worker", process, log)


def psql(port, password, sql=None, file=None):
    command = ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "-d", "shop" if file else "postgres"]
    command += ["-f", str(file)] if file else ["-At", "-c", sql]
    done = subprocess.run(command, env={**os.environ, "PGPASSWORD": password}, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"The sample database could not be made:\n{done.stderr}")
    return done.stdout.strip()


def start_sample(stack):
    port = stack.port("sample-postgres", "MILLRACE_SAMPLE_PORT", 5433)
    password = secret_file(stack.home / "sample.password", secrets.token_urlsafe(18))
    if not stack.alive("sample-postgres"):
        say(f"  starting the sample PostgreSQL on port {port}")
    postgres_server.start(stack, port, name="sample-postgres", password=password,
                          settings={"max_slot_wal_keep_size": "4GB"})
    if psql(port, password, "SELECT count(*) FROM pg_database WHERE datname = 'shop'") == "0":
        psql(port, password, "CREATE DATABASE shop")
        psql(port, password, file=ROOT / "deploy/local/sample/shop.sql")
    if not stack.alive("traffic"):
        # Five small transactions a second, for as long as the stack is up.
        stack.launch("traffic", [postgres_server.binaries() / "pgbench", "-n", "-h", "127.0.0.1", "-p", port, "-U", "postgres", "-R", 5,
                                 "-c", 1, "-T", 31536000, "-f", ROOT / "deploy/local/sample/traffic.sql", "shop"],
                     env={"PGPASSWORD": password})
    return port


def cli(stack, *arguments, **kwargs):
    return subprocess.run([BIN / "millrace", *map(str, arguments)], env={**os.environ, "MILLRACE_HOME": str(stack.home)}, **kwargs)


def start_pipeline(stack, port):
    listed = cli(stack, "pipeline", "list", "-o", "json", capture_output=True, text=True)
    if listed.returncode != 0:
        raise SystemExit(f"The control plane does not answer:\n{listed.stderr}")
    warehouse = stack.home / "warehouse.duckdb"
    if f"/pipelines/{PIPELINE}\"" not in listed.stdout:
        done = cli(stack, "replicate", "--source", f"postgres://postgres@127.0.0.1:{port}/shop", "--source-password",
                   f"file:{stack.home / 'sample.password'}", "--destination", f"duckdb://{warehouse}", "--tables", "shop.*", "--name", PIPELINE)
        if done.returncode != 0:
            raise SystemExit("The sample pipeline could not be made; the sentence above says why.")
    else:
        done = cli(stack, "wait", PIPELINE, "--for", "caught-up", "--timeout", "2m")
        if done.returncode != 0:
            raise SystemExit("The sample pipeline did not catch up; `millrace status` says why.")
    return warehouse


def up(arguments):
    began = time.monotonic()
    stack = processes.Stack(arguments.home)
    stack.home.mkdir(parents=True, exist_ok=True)
    stack.home.chmod(0o755)
    kafka = start_kafka(stack, arguments.kafka)
    control = start_control(stack)
    start_worker(stack, control, kafka)
    stack.save()
    shown_home = shown(stack.home)
    prefix = "" if stack.home == ROOT / ".millrace" and pathlib.Path.cwd() == ROOT else f"MILLRACE_HOME={shown_home} "
    millrace = prefix + shown(BIN / "millrace")
    lines = ["", f"Millrace is up ({time.monotonic() - began:.0f} s).", ""]
    if not arguments.no_sample:
        port = start_sample(stack)
        stack.save()
        warehouse = start_pipeline(stack, port)
        lines[1] = f"Millrace is up and caught up ({time.monotonic() - began:.0f} s)."
    lines += ["What runs where"]
    for name, entry in stack.state["processes"].items():
        where = f"127.0.0.1:{entry['port']}" if entry["port"] else "-"
        lines.append(f"  {name:<16} pid {entry['pid']:<8} {where}")
    lines += [f"  state and logs   {shown_home}", "", "Look"]
    lines.append(f"  {millrace} status --watch")
    if not arguments.no_sample:
        lines.append(f"  {shown(BIN / 'duckdb-query')} {shown(warehouse)} 'SELECT status, count(*) FROM shop.orders GROUP BY 1'")
        lines.append(f"  PGPASSWORD=$(cat {shown_home}/sample.password) psql -h 127.0.0.1 -p {port} -U postgres shop    # the source: change a row, look again")
    lines += ["", "Your own database",
              f"  {millrace} replicate --source postgres://USER@HOST:5432/DATABASE --destination duckdb://{stack.home}/mine.duckdb --name mine",
              "  (the password is asked for; it is sealed to the data plane before it leaves the command)", "",
              "Stop", f"  {prefix}deploy/local/down            # --purge deletes everything it made"]
    say("\n".join(lines))


def down(arguments):
    stack = processes.Stack(arguments.home)
    names = [n for n in STOP_ORDER if n in stack.state["processes"]]
    names += [n for n in stack.state["processes"] if n not in STOP_ORDER]
    for name in names:
        # PostgreSQL's fast shutdown is SIGINT.
        stopped = stack.stop(name, 2 if name.endswith("postgres") else 15, 30)
        say(f"  {name}: {'stopped' if stopped else 'was not running'}")
    if arguments.purge:
        for name in list(stack.state["folders"]):
            postgres_server.remove(stack, name)
        shutil.rmtree(stack.home, ignore_errors=True)
        say(f"  {shown(stack.home)}: deleted")


def status(arguments):
    stack = processes.Stack(arguments.home)
    rows = [{"name": n, "pid": e["pid"], "port": e["port"], "state": "running" if stack.alive(n) else "dead"}
            for n, e in stack.state["processes"].items()]
    if arguments.output == "json":
        say(json.dumps(rows, indent=2))
    elif not rows:
        say("Nothing runs; start it with deploy/local/up.")
    else:
        for row in rows:
            say(f"{row['name']:<18} {row['state']:<8} pid {row['pid']:<8} port {row['port'] or '-'}")
    return 0 if rows and all(r["state"] == "running" for r in rows) else 1


def main():
    parser = argparse.ArgumentParser(prog="deploy/local/" + (sys.argv[1] if len(sys.argv) > 1 else "up"))
    verbs = parser.add_subparsers(dest="verb", required=True)
    one = verbs.add_parser("up")
    one.add_argument("--no-sample", action="store_true")
    one.add_argument("--kafka")
    verbs.add_parser("down").add_argument("--purge", action="store_true")
    verbs.add_parser("status").add_argument("-o", "--output", choices=["text", "json"], default="text")
    arguments = parser.parse_args()
    arguments.home = pathlib.Path(os.environ.get("MILLRACE_HOME") or ROOT / ".millrace").resolve()
    sys.exit({"up": up, "down": down, "status": status}[arguments.verb](arguments))


if __name__ == "__main__":
    main()
