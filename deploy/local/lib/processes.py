"""Starts, recognises and stops the processes of a local stack.

Not for: knowing what they are (kafka_server, postgres_server, stack).
"""

import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import time


# Below these numbers lie ports that many services have by default.
LOWEST_PORT = 15_000
given_ports = set()


def free_port(preferred=0):
    """`preferred` if nothing listens there, else another, never the same twice. No outgoing connection is given that one by
    the kernel while its server is down: not even the connection that a client tries to make to it."""
    try:
        highest = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0]) - 1
    except OSError:
        highest = 32_767
    choice = random.sample(range(LOWEST_PORT, highest + 1), 500) if highest >= LOWEST_PORT + 1000 else []
    for port in ([preferred] if preferred else []) + [p for p in choice if p not in given_ports] + [0]:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
            given_ports.add(s.getsockname()[1])
            return s.getsockname()[1]
    raise RuntimeError("no free port")


def listening(port, host="127.0.0.1"):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
        s.settimeout(1)
        return s.connect_ex((host, port)) == 0


def taken(port, seconds=10):
    """Whether something listens there and goes on listening: of a process that was killed, the ports stay open until its last
    thread has gone, which is after it looks dead."""
    deadline = time.monotonic() + seconds
    while listening(port):
        if time.monotonic() > deadline:
            return True
        time.sleep(0.1)
    return False


def start_time(pid):
    """Kernel start time of a live process; None when it is gone. Tells a process from a later one with its pid."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return None if fields[0] in ("Z", "X") else int(fields[19])


def wait_for(condition, seconds, what, process=None, log=None):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        if process is not None and process.poll() is not None:
            break
        time.sleep(0.1)
    tail = ""
    if log and os.path.exists(log):
        lines = pathlib.Path(log).read_text(errors="replace").splitlines()[-15:]
        tail = "\n  Its log ends with:\n    " + "\n    ".join(lines) + f"\n  Log: {log}"
    raise SystemExit(f"{what} did not come up within {seconds} s.{tail}")


class Stack:
    """The processes recorded in <home>/stack.json, each with pid and start time."""

    def __init__(self, home):
        self.home = pathlib.Path(home)
        self.file = self.home / "stack.json"
        self.state = {"processes": {}, "ports": {}, "folders": {}}
        if self.file.exists():
            self.state.update(json.loads(self.file.read_text()))

    def save(self):
        self.home.mkdir(parents=True, exist_ok=True)
        new = self.file.with_suffix(".new")
        new.write_text(json.dumps(self.state, indent=2) + "\n")
        new.rename(self.file)

    def port(self, name, variable, preferred):
        """The port of `name`: from the environment, else the one recorded, else `preferred` or a free one."""
        given = os.environ.get(variable)
        recorded = self.state["ports"].get(name)
        if given:
            port = int(given)
        elif recorded:
            port = recorded
        else:
            port = free_port(preferred)
        self.state["ports"][name] = port
        return port

    def alive(self, name):
        entry = self.state["processes"].get(name)
        return bool(entry) and start_time(entry["pid"]) == entry["start_time"]

    def pid(self, name):
        return self.state["processes"][name]["pid"]

    def record(self, name, pid, port=None):
        self.state["processes"][name] = {"pid": pid, "start_time": start_time(pid), "port": port}
        self.save()

    def launch(self, name, command, port=None, env=None, cwd=None):
        """Starts `command` detached, its output in logs/<name>.log. Returns (Popen, log path)."""
        logs = self.home / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        log = logs / f"{name}.log"
        with open(log, "ab") as out:
            process = subprocess.Popen(
                [str(c) for c in command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                cwd=cwd or self.home,
                env={**os.environ, **(env or {})},
            )
        self.record(name, process.pid, port)
        return process, log

    def stop(self, name, sig=signal.SIGTERM, seconds=20):
        """Stops a process that this stack started, and only that one."""
        if not self.alive(name):
            self.state["processes"].pop(name, None)
            return False
        pid = self.pid(name)
        os.kill(pid, sig)
        deadline = time.monotonic() + seconds
        while self.alive(name) and time.monotonic() < deadline:
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass
            time.sleep(0.05)
        if self.alive(name):
            os.kill(pid, signal.SIGKILL)
            time.sleep(0.2)
        self.state["processes"].pop(name, None)
        self.save()
        return True
