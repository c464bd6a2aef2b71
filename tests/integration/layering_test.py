#!/usr/bin/env python3
"""Who may include whom, and what the control plane may link.

    layering_test.py [--root TREE] [--build BUILD]   checks a source tree, and the binaries of a build of it
    layering_test.py --self-test                     shows that every rule can fail

Each offence is one line that names the file, the rule and what was seen; the exit code is 1 if there is any.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile

TOP_FOLDERS = ("base", "connectors", "control-plane", "data-plane", "proto", "tests")
SOURCE_SUFFIXES = (".h", ".hpp", ".cpp", ".cc")
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+(?:"([^"]+)"|<([^>]+)>|(\S+))', re.MULTILINE)

# Slow to compile, and their types must not spread: in .cpp files, or in a header that only .cpp files of its own folder
# include.
HEAVY = ("boost/", "CLI/", "duckdb.h", "duckdb.hpp", "grpc/", "grpcpp/", "libpq-fe.h", "librdkafka/", "nlohmann/",
         "prometheus/", "rdkafka.h", "spdlog/", "sqlite3.h", "yaml-cpp/")
PROTO_FOLDERS = ("data-plane/agent", "data-plane/bus", "data-plane/codec", "data-plane/publish", "control-plane")
FORBIDDEN_LIBRARIES = ("libpq.", "librdkafka", "libduckdb")
# One function of each library: they would be found in a binary that links it statically.
FORBIDDEN_SYMBOLS = ("PQconnectStartParams", "PQconnectdbParams", "rd_kafka_new", "duckdb_open")
CONTROL_BINARIES = ("millrace-control", "millrace")


class Tree:
    """The sources under `root` and what each includes."""

    def __init__(self, root):
        self.root = root
        self.includes = {}
        self.users = {}
        for top in TOP_FOLDERS:
            for folder, _, names in os.walk(os.path.join(root, top)):
                for name in names:
                    if name.endswith(SOURCE_SUFFIXES):
                        path = os.path.join(folder, name)
                        self.includes[os.path.relpath(path, root)] = self._read(path)
        for path, includes in self.includes.items():
            for include in includes:
                self.users.setdefault(include, []).append(path)

    @staticmethod
    def _read(path):
        with open(path, encoding="utf-8", errors="replace") as source:
            return [quoted or angled or odd for quoted, angled, odd in INCLUDE.findall(source.read())]

    def connectors(self):
        names = {path.split("/")[1] for path in self.includes if path.startswith("connectors/") and path.count("/") > 1}
        return sorted(names - {"sdk"})

    def is_private(self, header):
        """Whether only .cpp files of the header's own folder include it."""
        return all(user.endswith((".cpp", ".cc")) and os.path.dirname(user) == os.path.dirname(header)
                   for user in self.users.get(header, []))

    def exists(self, include):
        return include in self.includes


def under(path, folder):
    return path == folder or path.startswith(folder + "/")


def is_test(path):
    stem = os.path.splitext(path)[0]
    return stem.endswith(("test", "_fixture", "_test_kit")) or under(path, "connectors/sdk/testing") or under(path, "tests")


def is_generated(include):
    return include.startswith("millrace/v1/")


def is_ours(include):
    return include.split("/")[0] in TOP_FOLDERS and "/" in include


def allowed_folders(path):
    """What `path` may include of ours, as folder prefixes; None when it may include anything."""
    own = ["tests/support"] if is_test(path) else []
    if under(path, "base"):
        return own + ["base"]
    if under(path, "control-plane"):
        return own + ["base", "control-plane"]
    if under(path, "data-plane"):
        return own + ["base", "connectors/sdk", "data-plane"]
    if under(path, "connectors/sdk"):
        return own + ["base", "connectors/sdk"]
    if under(path, "connectors") and path.count("/") > 1:
        return own + ["base", "connectors/sdk", "/".join(path.split("/")[:2])]
    if under(path, "connectors"):
        return own + ["base", "connectors/sdk", "connectors/catalog.h"]
    return None


def check_include(tree, path, include):
    """Yields what is wrong with one include."""
    if include.startswith(('"', "<")) or not re.fullmatch(r"[\w./+-]+", include):
        yield f"{path}: the include '{include}' is not spelled out, so that no rule can see it"
        return
    parts = include.split("/")
    beside = os.path.normpath(os.path.join(os.path.dirname(path), include))
    if ".." in parts or "." in parts or (not is_ours(include) and tree.exists(beside)):
        yield f"{path}: '{include}' must be written from the root of the tree"
        return
    if is_generated(include):
        if not any(under(path, folder) for folder in PROTO_FOLDERS) and not under(path, "tests"):
            yield f"{path}: generated header '{include}' may be included only under {', '.join(PROTO_FOLDERS)}"
    elif is_ours(include):
        yield from check_ours(tree, path, include)
    heavy = include.startswith(HEAVY) or include.endswith(".grpc.pb.h")
    if heavy and path.endswith((".h", ".hpp")) and not is_test(path) and not tree.is_private(path):
        yield f"{path}: heavy header '{include}' in a header that others include: {', '.join(tree.users[path])}"


def check_ours(tree, path, include):
    allowed = allowed_folders(path)
    if include == "connectors/catalog.h" and path == "data-plane/main.cpp":
        return
    if allowed is not None and not any(under(include, folder) for folder in allowed):
        yield f"{path}: may not include '{include}'; only {', '.join(allowed)}"
    if include.startswith("base/pq") and under(path, "control-plane"):
        yield f"{path}: the control plane never speaks to a customer's database: '{include}'"
    if is_test(include) and not is_test(path):
        yield f"{path}: includes '{include}', which is for tests only"
    if not tree.exists(include):
        yield f"{path}: includes '{include}', which does not exist"


def folder_graph(tree):
    """Folder -> {folder it includes from: one include that shows it}."""
    graph = {}
    for path, includes in sorted(tree.includes.items()):
        source = os.path.dirname(path)
        graph.setdefault(source, {})
        for include in includes:
            target = os.path.dirname(include)
            if is_ours(include) and tree.exists(include) and target != source:
                graph[source].setdefault(target, f"{path} -> {include}")
    return graph


def reachable(graph, start):
    """Folder -> folder before it, for everything that `start` sees, directly or not."""
    before = {}
    queue = [start]
    while queue:
        folder = queue.pop(0)
        for target in graph.get(folder, {}):
            if target not in before:
                before[target] = folder
                queue.append(target)
    return before


def way(graph, before, start, end):
    steps = []
    folder = end
    while True:
        steps.append(graph[before[folder]][folder])
        folder = before[folder]
        if folder == start:
            return "; ".join(reversed(steps))


def check_graph(graph):
    reported = set()
    for folder in sorted(graph):
        before = reachable(graph, folder)
        cycle = frozenset(other for other in before if folder in reachable(graph, other))
        if folder in before and cycle not in reported:
            reported.add(cycle)
            yield f"{folder}: folders in a cycle: {way(graph, before, folder, folder)}"
    for one, other in (("data-plane/publish", "data-plane/apply"), ("data-plane/apply", "data-plane/publish")):
        before = reachable(graph, one)
        if other in before:
            yield f"{one}: sees {other}: {way(graph, before, one, other)}"


def check_sources(root):
    tree = Tree(root)
    if not any(under(path, "base") for path in tree.includes):
        return [f"{root}: no sources under base/; not a source tree of this project"]
    offences = []
    for path, includes in sorted(tree.includes.items()):
        for include in includes:
            offences.extend(check_include(tree, path, include))
    offences.extend(check_graph(folder_graph(tree)))
    return offences


def output_of(command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def check_binary(path, connectors):
    """Yields what `path` links and should not, by any of three looks."""
    if not os.path.exists(path):
        yield f"{path}: not built, so what it links cannot be checked"
        return
    for line in output_of(["readelf", "-d", path]).splitlines() + output_of(["ldd", path]).splitlines():
        for library in FORBIDDEN_LIBRARIES:
            if library in line and ("NEEDED" in line or "=>" in line):
                yield f"{path}: links {library.rstrip('.')}: {line.strip()}"
    names = {line.split()[-1] for line in output_of(["nm", path]).splitlines() if line.strip()}
    for symbol in FORBIDDEN_SYMBOLS:
        if symbol in names:
            yield f"{path}: holds {symbol}"
    for connector in connectors:
        mangled = f"8millrace{len(connector)}{connector}"
        if any(mangled in name for name in names):
            yield f"{path}: holds code of connector {connector}"


def check_binaries(root, build):
    connectors = Tree(root).connectors()
    offences = []
    for name in CONTROL_BINARIES:
        offences.extend(check_binary(os.path.join(build, "bin", name), connectors))
    return offences


# --- self-test -------------------------------------------------------------------------------------------------------

GOOD_TREE = {
    "base/status.h": "#include <string>\n",
    "base/pq.h": '#include "base/status.h"\n',
    "base/pq.cpp": '#include <libpq-fe.h>\n#include "base/pq.h"\n',
    "connectors/sdk/source.h": '#include "base/status.h"\n',
    "connectors/sdk/sql/writer.h": '#include "connectors/sdk/source.h"\n',
    "connectors/sdk/testing/suite.h": '#include "connectors/sdk/source.h"\n#include "tests/support/clock.h"\n',
    "connectors/catalog.h": '#include "connectors/sdk/source.h"\n',
    "connectors/postgres/slot.h": '#include "base/pq.h"\n#include "connectors/sdk/source.h"\n',
    "connectors/postgres/slot.cpp": '#include "connectors/postgres/slot.h"\n#include "connectors/sdk/sql/writer.h"\n',
    "connectors/postgres/slot_pgtest.cpp": '#include "connectors/sdk/testing/suite.h"\n#include "tests/support/clock.h"\n',
    "data-plane/bus/producer.h": '#include "base/status.h"\n',
    "data-plane/bus/producer.cpp": '#include <librdkafka/rdkafka.h>\n#include "data-plane/bus/producer.h"\n',
    "data-plane/codec/codec.cpp": '#include "millrace/v1/change_event.pb.h"\n',
    "data-plane/publish/publisher.h": '#include "data-plane/bus/producer.h"\n#include "connectors/sdk/source.h"\n',
    "data-plane/apply/actor.h": '#include "data-plane/bus/producer.h"\n',
    "data-plane/runtime/runner.cpp": '#include "data-plane/apply/actor.h"\n#include "data-plane/publish/publisher.h"\n',
    "data-plane/main.cpp": '#include "connectors/catalog.h"\n#include "data-plane/bus/producer.h"\n',
    "control-plane/store/store.h": '#include "base/status.h"\n',
    "control-plane/api/service.cpp": '#include <grpcpp/grpcpp.h>\n#include "control-plane/store/store.h"\n'
                                     '#include "millrace/v1/control.grpc.pb.h"\n',
    "control-plane/api/call.h": "#include <grpcpp/grpcpp.h>\n",
    "control-plane/api/call.cpp": '#include "control-plane/api/call.h"\n',
    "tests/support/clock.h": '#include "base/status.h"\n#include <libpq-fe.h>\n',
}

# (file to add or replace, its text, part of the offence that must come of it)
BAD_FILES = [
    ("base/a.h", '#include "connectors/sdk/source.h"\n', "may not include 'connectors/sdk/source.h'"),
    ("base/a.cpp", '#include "millrace/v1/link.pb.h"\n', "generated header"),
    ("base/status.h", '#include "boost/asio.hpp"\n', "heavy header 'boost/asio.hpp'"),
    ("base/pq.h", "#  include <nlohmann/json.hpp>\n", "heavy header 'nlohmann/json.hpp'"),
    ("control-plane/session/a.cpp", '#include "control-plane/api/call.h"\n', "heavy header 'grpcpp/grpcpp.h'"),
    ("control-plane/api/a.h", '#include "control-plane/api/call.h"\n', "heavy header 'grpcpp/grpcpp.h'"),
    ("base/a.cpp", '#include "status.h"\n', "must be written from the root"),
    ("base/a.cpp", '#include "../base/status.h"\n', "must be written from the root"),
    ("base/a.cpp", '#define H "base/status.h"\n#include H\n#include MACRO("x")\n', "not spelled out"),
    ("base/a.cpp", '#include "base/absent.h"\n', "does not exist"),
    ("data-plane/bus/a.cpp", '#include "connectors/sdk/testing/suite.h"\n', "for tests only"),
    ("base/a.cpp", '#include "tests/support/clock.h"\n', "may not include 'tests/support/clock.h'"),
    ("control-plane/api/a.cpp", '#include "connectors/sdk/source.h"\n', "may not include 'connectors/sdk"),
    ("control-plane/api/a.cpp", '#include <connectors/postgres/slot.h>\n', "may not include 'connectors/postgres"),
    ("control-plane/api/a.cpp", '#include "data-plane/bus/producer.h"\n', "may not include 'data-plane/bus"),
    ("control-plane/api/a.cpp", '#include "base/pq.h"\n', "never speaks to a customer's database"),
    ("control-plane/store/store.h", '#include "millrace/v1/control.grpc.pb.h"\n', "heavy header"),
    ("data-plane/bus/a.cpp", '#include "connectors/postgres/slot.h"\n', "may not include 'connectors/postgres"),
    ("data-plane/bus/a.cpp", '#include "connectors/catalog.h"\n', "may not include 'connectors/catalog.h'"),
    ("data-plane/runtime/main.cpp", '#include "connectors/catalog.h"\n', "may not include 'connectors/catalog.h'"),
    ("data-plane/main.cpp", '#include "connectors/postgres/slot.h"\n', "may not include 'connectors/postgres"),
    ("data-plane/bus/a.cpp", '#include "control-plane/store/store.h"\n', "may not include 'control-plane"),
    ("data-plane/apply/a.cpp", '#include "millrace/v1/link.pb.h"\n', "generated header"),
    ("data-plane/bus/producer.h", '#include <librdkafka/rdkafka.h>\n', "heavy header"),
    ("connectors/duckdb/a.cpp", '#include "connectors/postgres/slot.h"\n', "may not include 'connectors/postgres"),
    ("connectors/postgres/a.cpp", '#include "data-plane/bus/producer.h"\n', "may not include 'data-plane/bus"),
    ("connectors/postgres/a.cpp", '#include "connectors/catalog.h"\n', "may not include 'connectors/catalog.h'"),
    ("connectors/sdk/a.cpp", '#include "connectors/postgres/slot.h"\n', "may not include 'connectors/postgres"),
    ("connectors/sdk/source.h", '#include <libpq-fe.h>\n', "heavy header"),
    ("data-plane/apply/a.cpp", '#include "data-plane/publish/publisher.h"\n', "sees data-plane/publish"),
    ("data-plane/publish/a.cpp", '#include "data-plane/apply/actor.h"\n', "sees data-plane/apply"),
    # Behind a third folder they still see each other.
    ("data-plane/codec/a.cpp", '#include "data-plane/apply/actor.h"\n', None),
    ("data-plane/bus/a.h", '#include "data-plane/publish/publisher.h"\n', "folders in a cycle"),
    ("connectors/sdk/a.h", '#include "connectors/sdk/sql/writer.h"\n', "folders in a cycle"),
]


def write_tree(root, files):
    for path, text in files.items():
        full = os.path.join(root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as out:
            out.write(text)


def offences_of(files):
    with tempfile.TemporaryDirectory(prefix="layering-") as root:
        write_tree(root, files)
        return check_sources(root)


def test_sources(fail):
    good = offences_of(GOOD_TREE)
    if good:
        fail(f"the good tree is refused: {good}")
    for path, text, expected in BAD_FILES:
        offences = offences_of({**GOOD_TREE, path: text})
        if expected is None:
            if offences:
                fail(f"{path} with {text!r} is harmless, but: {offences}")
        elif not any(expected in offence for offence in offences):
            fail(f"{path} with {text!r} should give '{expected}', gave {offences}")
    indirect = offences_of({
        **GOOD_TREE,
        "data-plane/codec/a.h": '#include "data-plane/apply/actor.h"\n',
        "data-plane/publish/a.cpp": '#include "data-plane/codec/a.h"\n',
    })
    if not any("data-plane/publish: sees data-plane/apply" in offence for offence in indirect):
        fail(f"publish sees apply through codec, unnoticed: {indirect}")
    with tempfile.TemporaryDirectory(prefix="layering-") as empty:
        if not check_sources(empty):
            fail("an empty folder passes for a source tree")


def build_binary(folder, name, source, arguments=()):
    path = os.path.join(folder, name)
    subprocess.run(["c++", "-x", "c++", "-", "-x", "none", "-o", path, *arguments],
                   input=source, text=True, check=True)
    return path


def test_binaries(fail):
    with tempfile.TemporaryDirectory(prefix="layering-") as folder:
        clean = list(check_binary(build_binary(folder, "clean", "int main() {}\n"), ["postgres"]))
        if clean:
            fail(f"a clean binary is refused: {clean}")
        if not list(check_binary(os.path.join(folder, "absent"), [])):
            fail("a binary that was not built passes")
        build_binary(folder, "libpq.so.5", 'extern "C" int f() { return 0; }\n', ["-shared", "-fPIC"])
        linked = build_binary(folder, "linked", 'extern "C" int f();\nint main() { return f(); }\n',
                              [os.path.join(folder, "libpq.so.5"), f"-Wl,-rpath,{folder}"])
        if not any("links libpq" in offence for offence in check_binary(linked, [])):
            fail("a binary that links libpq passes")
        static = build_binary(folder, "static", 'extern "C" void rd_kafka_new() {}\nint main() {}\n')
        if not any("holds rd_kafka_new" in offence for offence in check_binary(static, [])):
            fail("a binary with librdkafka inside passes")
        connector = build_binary(folder, "connector",
                                 "namespace millrace::postgres { void Register() {} }\n"
                                 "int main() { millrace::postgres::Register(); }\n")
        if not any("code of connector postgres" in offence for offence in check_binary(connector, ["postgres"])):
            fail("a binary with a connector inside passes")


def self_test():
    failures = []
    test_sources(failures.append)
    test_binaries(failures.append)
    return failures


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", default=os.path.dirname(os.path.dirname(here)), help="source tree (default: this one)")
    parser.add_argument("--build", help="build folder whose control-plane binaries are checked too")
    parser.add_argument("--self-test", action="store_true", help="feed it bad trees and bad binaries")
    arguments = parser.parse_args()
    if arguments.self_test:
        offences = self_test()
    else:
        offences = check_sources(arguments.root)
        if arguments.build:
            offences += check_binaries(arguments.root, arguments.build)
    for offence in offences:
        print(offence)
    print(f"{len(offences)} offences" if offences else "ok")
    return 1 if offences else 0


if __name__ == "__main__":
    sys.exit(main())
