"""Runs every test against private servers and prints one summary line. Called by tests/run.

Not for: building or installing.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as xml

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "deploy" / "local" / "lib"))

import kafka_server  # noqa: E402
import postgres_server  # noqa: E402
import processes  # noqa: E402

# Halves of tests that start them as processes of their own; every other disabled case counts as failed.
STARTED_BY_OTHERS = {"ApplyKafkaChild.DISABLED_AppliesUntilKilled"}
SUPPORT = ROOT / "tests" / "support"
# What the suppressions leave out, and why, is said in the files.
SANITIZERS = {
    "asan": {
        "ASAN_OPTIONS": "detect_stack_use_after_return=1:strict_string_checks=1:check_initialization_order=1:detect_leaks=1",
        "LSAN_OPTIONS": f"suppressions={SUPPORT / 'lsan.supp'}:print_suppressions=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
    },
    "tsan": {
        "TSAN_OPTIONS": f"suppressions={SUPPORT / 'tsan.supp'}:ignore_noninstrumented_modules=1:die_after_fork=0:"
                        "second_deadlock_stack=1:history_size=4",
    },
}
MORE_OPTIONS = {
    # It forks while DuckDB is open, whose allocator takes more locks for the fork than the detector of deadlocks can count.
    ("tsan", "duckdb_duckdbtest"): {"TSAN_OPTIONS": ":detect_deadlocks=0"},
    ("tsan", "control_grpctest"): {"TSAN_OPTIONS": f":suppressions={SUPPORT / 'tsan_grpc.supp'}"},
}
# They build and look at the tree; no sanitizer sees them.
NOT_SANITIZED = ("layering", "processes", "toy_connector")
PROVERS = ("failpoints", "defects", "rebalance")
FUZZ_RUNS = 20_000
FUZZ_RUNS_FULL = 5_000_000


class Tally:
    """Counts cases out of JUnit files."""

    def __init__(self):
        self.passed = 0
        self.failed = []

    def add(self, file):
        for case in xml.parse(file).getroot().iter("testcase"):
            name = f"{case.get('classname')}.{case.get('name')}"
            if name in STARTED_BY_OTHERS:
                continue
            if case.find("failure") is not None or case.find("error") is not None or case.find("skipped") is not None or case.get("status") == "notrun":
                self.failed.append(name)
            else:
                self.passed += 1

    def add_one(self, name, good):
        if good:
            self.passed += 1
        else:
            self.failed.append(name)


def ctest_names(build):
    listed = subprocess.run(["ctest", "--show-only=json-v1"], cwd=build, capture_output=True, text=True, check=True)
    return [t["name"] for t in json.loads(listed.stdout)["tests"]]


def run_ctest(build, results, environment, wanted, tally, label, leave_out=()):
    """Runs each ctest entry by itself, so that one that crashes is one failure and no more."""
    names = [n for n in ctest_names(build) if wanted in n and not n.startswith(tuple(leave_out))]
    for name in names:
        began = time.monotonic()
        report = results / f"{label}-{name}"
        report.mkdir(parents=True)
        more = {key: environment[key] + value for key, value in MORE_OPTIONS.get((label, name), {}).items()}
        done = subprocess.run(["ctest", "-R", f"^{name}$", "--output-on-failure", "--no-tests=error"], cwd=build,
                              capture_output=True, text=True, errors="replace",
                              env={**environment, **more, "GTEST_OUTPUT": f"xml:{report}/"})
        before = len(tally.failed)
        files = list(report.glob("*.xml"))
        for file in files:
            tally.add(file)
        if done.returncode != 0 and len(tally.failed) == before:
            tally.add_one(name, False)
        elif not files:
            tally.add_one(name, done.returncode == 0)
        bad = done.returncode != 0
        print(f"  {'FAILED' if bad else 'ok':<7} {label} {name} ({time.monotonic() - began:.1f} s)", flush=True)
        if bad:
            print(done.stdout[-8000:], flush=True)
    return len(names)


def run_pytest(folder, results, environment, wanted, tally, extra=()):
    report = results / f"pytest-{folder.name}.xml"
    command = ["/usr/bin/python3", "-m", "pytest", "-q", "-x" if os.environ.get("MILLRACE_TEST_STOP") else "-q", "-rf", "--tb=short",
               "-p", "no:cacheprovider", f"--junitxml={report}", str(folder), *extra]
    if wanted:
        command += ["-k", wanted]
    done = subprocess.run(command, env=environment, cwd=ROOT)
    if report.exists():
        tally.add(report)
    elif done.returncode not in (0, 5):
        tally.add_one(str(folder), False)


def start_servers(stack):
    port = processes.free_port()
    postgres_server.start(stack, port, name="postgres", settings={"fsync": "off", "max_replication_slots": "100", "max_wal_senders": "100", "max_connections": "300"})
    kafka = processes.free_port()
    kafka_server.start(stack, kafka)
    return {**os.environ, "MILLRACE_TEST_PG": f"postgresql://postgres@127.0.0.1:{port}/postgres",
            "MILLRACE_TEST_KAFKA": f"127.0.0.1:{kafka}", "MILLRACE_BUILD": str(ROOT / "build"), "PYTHONDONTWRITEBYTECODE": "1"}


def run_sanitizers(results, environment, wanted, tally):
    for preset, options in SANITIZERS.items():
        built = subprocess.run([ROOT / "deploy/local/lib/build", "--tests"], env={**environment, "MILLRACE_PRESET": preset})
        if built.returncode != 0:
            tally.add_one(f"build of preset {preset}", False)
            continue
        run_ctest(ROOT / f"build-{preset}", results, {**environment, **options}, wanted, tally, preset, NOT_SANITIZED)


def run_fuzzers(environment, wanted, tally, runs):
    for target in sorted(t.name for t in (ROOT / "tests" / "fuzz" / "corpus").iterdir()):
        if wanted in f"fuzz {target}":
            done = subprocess.run([ROOT / "tests" / "fuzz" / "run", "--runs", str(runs), target], env=environment)
            tally.add_one(f"fuzz {target}", done.returncode == 0)


def run_provers(environment, wanted, tally):
    """They need a build of their own: no release has failpoints or defects."""
    chosen = [name for name in PROVERS if wanted in name]
    if not chosen:
        return
    built = subprocess.run([ROOT / "deploy/local/lib/build", "--tests"], env={**environment, "MILLRACE_PRESET": "dev"})
    for name in chosen:
        done = built.returncode == 0 and subprocess.run([ROOT / "tests" / "chaos" / name], env={**environment, "MILLRACE_BUILD": str(ROOT / "build-dev")})
        tally.add_one(name, done and done.returncode == 0)


def main():
    parser = argparse.ArgumentParser(prog="tests/run")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--filter", default="")
    parser.add_argument("--no-build", action="store_true")
    arguments = parser.parse_args()
    began = time.monotonic()
    tally = Tally()
    work = pathlib.Path(tempfile.mkdtemp(prefix="millrace-tests-"))
    work.chmod(0o755)
    stack = processes.Stack(work / "servers")
    try:
        environment = start_servers(stack)
        run_ctest(ROOT / "build", work / "results", environment, arguments.filter, tally, "release")
        run_fuzzers(environment, arguments.filter, tally, FUZZ_RUNS_FULL if arguments.full else FUZZ_RUNS)
        if arguments.full:
            run_sanitizers(work / "results", environment, arguments.filter, tally)
            run_provers(environment, arguments.filter, tally)
            environment["MILLRACE_TEST_FULL"] = "1"
        run_pytest(ROOT / "tests" / "e2e", work / "results", environment, arguments.filter, tally)
    finally:
        for name in list(stack.state["processes"]):
            stack.stop(name, 2 if name == "postgres" else 15)
        postgres_server.remove(stack)
        shutil.rmtree(work, ignore_errors=True)
    for name in tally.failed:
        print(f"failed: {name}")
    if tally.passed + len(tally.failed) == 0:
        print("no test ran")
        return 1
    print(f"took {(time.monotonic() - began) / 60:.1f} minutes")
    print(f"{tally.passed} passed, {len(tally.failed)} failed")
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
