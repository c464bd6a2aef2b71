"""A private PostgreSQL server for local use and tests. Not for: production, nor the machine's own clusters."""

import glob
import hashlib
import os
import pathlib
import pwd
import shutil
import subprocess

import processes

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "wal_level": "logical",
    "max_replication_slots": "40",
    "max_wal_senders": "40",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
}


def binaries():
    """Folder of the newest installed server."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda p: int(p.split("/")[4]))
    if not found:
        raise SystemExit("PostgreSQL is not installed: apt-get install postgresql-15")
    return pathlib.Path(found[-1])


def _as_user():
    """PostgreSQL refuses to run as root: its package's user runs it then."""
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--"] if os.geteuid() == 0 else []


def _run(command, **kwargs):
    done = subprocess.run([*_as_user(), *map(str, command)], capture_output=True, text=True, cwd="/", **kwargs)
    if done.returncode != 0:
        raise SystemExit(f"{pathlib.Path(str(command[0])).name} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def data_folder(stack, name):
    """Under the stack's home, or, where the server's user may not enter that, in a folder of its own."""
    recorded = stack.state["folders"].get(name)
    if recorded:
        return pathlib.Path(recorded)
    folder = (stack.home / name).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        account = pwd.getpwnam("postgres")
        os.chown(folder, account.pw_uid, account.pw_gid)
        if subprocess.run([*_as_user(), "test", "-x", str(folder)]).returncode != 0:
            digest = hashlib.sha256(str(folder).encode()).hexdigest()[:12]
            folder = pathlib.Path("/var/lib/postgresql") / f"millrace-{digest}-{name}"
            folder.mkdir(parents=True, exist_ok=True)
            os.chown(folder, account.pw_uid, account.pw_gid)
    stack.state["folders"][name] = str(folder)
    stack.save()
    return folder


def start(stack, port, name="postgres", password=None, settings=None):
    """Starts the server unless it runs. `password`: of the superuser "postgres", required over TCP; None trusts."""
    if stack.alive(name):
        return
    if processes.taken(port):
        raise SystemExit(f"Port {port}, which PostgreSQL should use, is taken by another process.")
    folder = data_folder(stack, name)
    data = folder / "data"
    if not (data / "PG_VERSION").exists():
        shutil.rmtree(data, ignore_errors=True)
        auth = ["--auth=trust"]
        secret = folder / "initial"
        if password is not None:
            secret.write_text(password)
            if os.geteuid() == 0:
                shutil.chown(secret, "postgres", "postgres")
            secret.chmod(0o600)
            auth = ["--auth-host=scram-sha-256", "--auth-local=scram-sha-256", f"--pwfile={secret}"]
        try:
            _run([binaries() / "initdb", "-D", data, "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", *auth])
        finally:
            secret.unlink(missing_ok=True)
    options = {**SETTINGS, **(settings or {}), "port": str(port), "unix_socket_directories": ""}
    command = [binaries() / "postgres", "-D", data]
    for key, value in options.items():
        command += ["-c", f"{key}={value}"]
    process, log = stack.launch(name, [*_as_user(), *command], port=port, cwd="/")

    def ready():
        return subprocess.run([binaries() / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]).returncode == 0

    processes.wait_for(ready, 60, "PostgreSQL", process, log)


def start_replica(stack, port, primary_port, name, password, settings=None):
    """A streaming replica of the server at `primary_port`, made from a base backup of it."""
    data = data_folder(stack, name) / "data"
    if not (data / "PG_VERSION").exists():
        _run([binaries() / "pg_basebackup", "-D", data, "-h", "127.0.0.1", "-p", primary_port, "-U", "postgres", "-R", "-X", "stream", "-c", "fast"],
             env={**os.environ, "PGPASSWORD": password})
    start(stack, port, name=name, password=password, settings=settings)


def remove(stack, name="postgres"):
    """Deletes the data of a stopped server."""
    folder = stack.state["folders"].pop(name, None)
    if folder:
        shutil.rmtree(folder, ignore_errors=True)
