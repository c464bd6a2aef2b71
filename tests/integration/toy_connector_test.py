#!/usr/bin/env python3
"""A new connector is one new folder and no edit elsewhere.

Copies the source tree, builds the catalogue, drops a toy connector folder in, builds again without configuring by hand,
and looks for the toy among the registered connectors.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

TOY = {
    "CMakeLists.txt": "millrace_connector(toy SOURCES register.cpp)\n",
    "register.cpp": """#include "connectors/sdk/connector.h"

namespace millrace::toy {

void Register(sdk::ConnectorRegistry& registry) {
    sdk::Connector connector;
    connector.type = "toy";
    connector.display_name = "Toy";
    connector.documentation = "Proves that a connector is one folder.";
    if (!registry.Add(std::move(connector)).ok()) {
        __builtin_abort();
    }
}

}  // namespace millrace::toy
""",
}


def source_files(root):
    """What belongs to the tree: what git knows or would take, or every file where there is no git."""
    listed = subprocess.run(["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                            capture_output=True, check=False)
    if listed.returncode == 0:
        return [name for name in listed.stdout.decode().split("\0") if name]
    return [str(path.relative_to(root)) for path in pathlib.Path(root).rglob("*")
            if path.is_file() and path.relative_to(root).parts[0] not in ("build", ".cache", ".millrace", ".git")]


def copy_tree(root, target):
    for name in source_files(root):
        source = os.path.join(root, name)
        if os.path.isfile(source):
            destination = os.path.join(target, name)
            os.makedirs(os.path.dirname(destination), exist_ok=True)
            shutil.copy2(source, destination)


def run(command, environment):
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        print(done.stdout[-6000:])
        sys.exit(f"failed: {' '.join(command)}")
    return done.stdout


def registered(tree, build, environment):
    run(["cmake", "--build", build, "--target", "list_connectors", "--parallel", "2"], environment)
    return run([os.path.join(build, "bin", "list_connectors")], environment).split()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", default=str(pathlib.Path(__file__).resolve().parents[2]))
    root = parser.parse_args().root
    with tempfile.TemporaryDirectory(prefix="toy-connector-") as scratch:
        tree = os.path.join(scratch, "tree")
        build = os.path.join(scratch, "build")
        copy_tree(root, tree)
        # The folder differs from run to run; without its name the compiler cache knows every file from the last run.
        environment = {**os.environ, "CCACHE_BASEDIR": scratch, "CCACHE_NOHASHDIR": "1"}
        generator = ["-G", "Ninja"] if shutil.which("ninja") else []
        run(["cmake", "-S", tree, "-B", build, *generator, "-DCMAKE_BUILD_TYPE=", "-DMILLRACE_TESTS=OFF"], environment)
        before = registered(tree, build, environment)
        toy = os.path.join(tree, "connectors", "toy")
        os.makedirs(toy)
        for name, text in TOY.items():
            pathlib.Path(toy, name).write_text(text, encoding="utf-8")
        after = registered(tree, build, environment)
    print(f"before: {before}\nafter:  {after}")
    if not before or "toy" in before:
        sys.exit("failed: the tree without the toy should register its own connectors and no toy")
    if after != sorted(before + ["toy"]):
        sys.exit("failed: the toy connector should be registered beside the others")
    print("ok")


if __name__ == "__main__":
    main()
