"""Kills, stops and cuts off parts of the stack at random moments, and counts.

Not for: bringing the round to rest (prover). A kill counts only when changes have reached the destination since the one
before it.
"""

import random
import time
from collections import Counter

import psycopg2

from stack import PIPELINE


class Stuck(Exception):
    """Nothing reached the destination for too long although everything runs."""


class Nemesis:
    def __init__(self, stack, seed, say, patience=120):
        self.stack = stack
        self.rng = random.Random(f"{seed}/nemesis")
        self.say = say
        self.patience = patience
        self.kills = Counter()
        self.uncounted = Counter()
        self.others = Counter()
        self.mark = 0
        self.counts = False
        self.check = lambda: None

    def applied(self):
        try:
            return self.stack.applied()
        except (psycopg2.Error, OSError):
            return None

    def note(self):
        """What the destination holds now is no progress any more."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            now = self.applied()
            if now is not None:
                self.mark = max(self.mark, now)
                return
            time.sleep(0.2)

    def await_progress(self):
        began = time.monotonic()
        while time.monotonic() < began + self.patience:
            self.check()
            now = self.applied()
            if now is not None and now > self.mark:
                self.counts = True
                if (waited := time.monotonic() - began) > 5:
                    self.say(f"changes arrive again after {waited:.1f} s")
                return
            time.sleep(0.25)
        raise Stuck(f"nothing reached the destination for {self.patience} s\n{self.stack.cli('status', PIPELINE, check=False).stdout}")

    def run(self, seconds):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.await_progress()
            time.sleep(self.rng.random() * 2)
            self.act()
            self.note()

    def act(self):
        kind = self.rng.choices(["kill", "pair", "stop", "stall", "cut"], [60, 8, 12, 10, 10])[0]
        if kind == "kill":
            self.kill([self.victim()])
        elif kind == "pair":
            first, second = self.victim(), self.victim()
            self.kill([first, second] if first != second else [first])
        elif kind == "stop":
            self.freeze(self.victim())
        else:
            self.part(kind)

    def victim(self):
        weights = {"kafka": 3, "source": 3, "destination": 3, "control": 1}
        names = self.stack.names()
        return self.rng.choices(names, [weights.get(n, 5 if len(self.stack.workers) > 1 else 8) for n in names])[0]

    def kill(self, victims):
        for name in victims:
            self.say(f"kill -9 {name}{'' if self.counts else ' (does not count)'}")
            self.stack.kill(name)
            (self.kills if self.counts else self.uncounted)[name] += 1
            self.counts = False
        time.sleep(self.rng.choice([0, 0.2, 1, 3]))
        for name in self.rng.sample(victims, len(victims)):
            self.stack.restart(name)

    def freeze(self, name):
        # Sometimes longer than the group's session lasts: its tables move, and it comes back as a zombie.
        seconds = self.rng.choice([0.5, 2, 5, 12, 16])
        self.say(f"stop {name} for {seconds} s")
        self.stack.freeze(name)
        try:
            time.sleep(seconds)
        finally:
            self.stack.thaw(name)
        self.others["stop"] += 1

    def part(self, how):
        links = list(self.stack.proxies.names)
        if self.stack.destination_type != "postgres":
            links.remove("worker-destination")
        link = self.rng.choice(links)
        seconds = self.rng.choice([0.2, 1, 4, 10, 14])
        self.say(f"{how} {link} for {seconds} s")
        self.stack.proxies.tell(how, link)
        try:
            time.sleep(seconds)
        finally:
            self.stack.proxies.tell("open", link)
        self.others[how] += 1

    def summary(self):
        killed = " ".join(f"{n}={self.kills[n]}" for n in self.stack.names() if self.kills[n])
        rest = " ".join(f"{n}={c}" for n, c in sorted(self.others.items()))
        return f"kills {sum(self.kills.values())} ({killed}) {rest}".strip()
