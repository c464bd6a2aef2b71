"""Names of the failpoints and defects that the product's sources hold.

Not for: what is done at them (failpoints, defects, nemesis).
"""

import os
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("MILLRACE_BUILD", ROOT / "build"))


def named(pattern):
    names = set()
    for folder in ("connectors", "data-plane"):
        for file in (ROOT / folder).rglob("*.cpp"):
            names.update(re.findall(pattern, file.read_text()))
    return sorted(names)


def failpoints():
    return named(r'MILLRACE_FAILPOINT(?:_QUIET)?\("([^"]+)"\)')


def defects():
    return named(r'MILLRACE_DEFECT\("([^"]+)", \d+\)')


def compiled_in():
    """Whether the build that is tried has them; no release has."""
    cache = BUILD / "CMakeCache.txt"
    return cache.exists() and re.search(r"^MILLRACE_FAILPOINTS:\w+=(ON|1|TRUE)$", cache.read_text(), re.MULTILINE) is not None


class DeathLog:
    """The file in which a process notes at which failpoint it dies."""

    def __init__(self, file):
        self.file = file
        self.seen = 0

    def lines(self):
        return self.file.read_text().splitlines() if self.file.exists() else []

    def new_deaths(self):
        """Names of failpoints at which processes died since the last call."""
        lines = self.lines()
        fresh, self.seen = lines[self.seen:], len(lines)
        return [line.split()[1] for line in fresh if line.startswith("kill ")]

    def struck(self, defect):
        return f"defect {defect}" in self.lines()
