"""Kills, stops and cuts off parts of the stack at random moments, lets workers die at named failpoints, and counts.

Not for: bringing the round to rest (prover). A kill counts only when changes have reached the destination since the one
before it.
"""

import random
import time
from collections import Counter

import psycopg2

import places
from stack import PIPELINE


# Tables with a key of every kind; each row of the others is to be in its topic once.
RESYNCED = ["plain", "pair", "things", "toasted", "typed", "parts", "whole", "by_index", "parent", "child"]


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
        self.failpoints = places.failpoints() if places.compiled_in() else []
        # Where workers died by themselves, as they were told to.
        self.died_at = Counter()
        self.mark = 0
        # The last that was seen to have reached the destination.
        self.reached = 0
        self.waits = []
        self.wrong = ""
        self.check = lambda: None

    def applied(self):
        try:
            return self.stack.applied()
        except (psycopg2.Error, OSError):
            return None

    def look(self):
        """Whether changes have reached the destination since the last kill."""
        now = self.applied()
        if now is not None:
            self.reached = max(self.reached, now)
        return self.reached > self.mark

    def count(self, name, how):
        """A process has just died; what has reached the destination until now is progress no more."""
        counts = self.reached > self.mark
        (self.kills if counts else self.uncounted)[name] += 1
        self.say(f"{how}{'' if counts else ' (does not count)'}")
        self.mark = self.reached

    def note(self):
        """What the destination holds now is no progress any more."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            now = self.applied()
            if now is not None:
                self.reached = max(self.reached, now)
                self.mark = max(self.mark, now)
                return
            time.sleep(0.2)

    def await_progress(self):
        began = time.monotonic()
        asked = 8
        while (waited := time.monotonic() - began) < self.patience:
            self.check()
            self.reap()
            if waited > asked:
                asked = waited + 4
                self.ask_status()
            if self.look():
                self.waits.append(waited)
                if waited > 5:
                    self.say(f"changes arrive again after {waited:.1f} s")
                return
            time.sleep(0.15)
        raise Stuck(f"nothing reached the destination for {self.patience} s\n{self.stack.cli('status', PIPELINE, check=False).stdout}")

    def ask_status(self):
        """Twice in a row in need of a person: waiting is of no use."""
        before, self.wrong = self.wrong, self.stack.needs_person()
        if before and self.wrong:
            raise Stuck(self.wrong)

    def run(self, seconds):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.await_progress()
            self.linger(self.rng.random() * 1.2)
            self.act()

    def linger(self, seconds):
        """Time in which workers may die by themselves."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.reap()
            time.sleep(min(left, 0.15))
            self.look()

    def act(self):
        kind = self.rng.choices(["kill", "pair", "stop", "stall", "cut", "resync"], [70, 8, 6, 6, 5, 5])[0]
        if kind == "kill":
            self.kill([self.victim()])
        elif kind == "pair":
            first, second = self.victim(), self.victim()
            self.kill([first, second] if first != second else [first])
        elif kind == "stop":
            self.freeze(self.victim())
        elif kind == "resync":
            self.resync()
        else:
            self.part(kind)

    def resync(self):
        """Of one table, as a user asks for it while all the rest goes on."""
        table = self.rng.choice(RESYNCED)
        if self.stack.cli("table", "resync", PIPELINE, f"public.{table}", check=False).returncode == 0:
            self.say(f"resync of {table}")
            self.others["resync"] += 1

    def victim(self):
        weights = {"kafka": 2, "source": 3, "destination": 3, "control": 1}
        names = self.stack.names()
        return self.rng.choices(names, [weights.get(n, 5 if len(self.stack.workers) > 1 else 8) for n in names])[0]

    def kill(self, victims):
        for name in victims:
            if not self.stack.stack.alive(name):
                continue
            self.look()
            self.stack.kill(name)
            self.count(name, f"kill -9 {name}")
        time.sleep(self.rng.choice([0, 0, 0.2, 0.5, 2]))
        for name in self.rng.sample(victims, len(victims)):
            self.restart(name)
        self.note()

    def restart(self, name, arm=True):
        if arm and self.failpoints and name in self.stack.workers and self.rng.random() < 0.6:
            # Late hits belong to places that every change passes.
            self.stack.armed[name] = f"{self.rng.choice(self.failpoints)}=kill@{self.rng.choice([1, 1, 2, 3, 8, 30, 150])}"
        self.stack.restart(name)

    def reap(self, arm=True):
        """Starts workers again that died at their failpoint; any other end is a fault of theirs."""
        for name in self.stack.workers:
            if self.stack.stack.alive(name):
                continue
            places_of_death = self.stack.deaths[name].new_deaths()
            if not places_of_death:
                raise AssertionError(f"worker {name} ended by itself\n{self.stack.log_tail()}")
            self.died_at.update(places_of_death)
            self.count(name, f"{name} died at {places_of_death[-1]}")
            self.restart(name, arm)

    def freeze(self, name):
        # Sometimes longer than the group's session lasts: its tables move, and it comes back as a zombie.
        seconds = self.rng.choice([0.5, 2, 5, 9, 14])
        self.say(f"stop {name} for {seconds} s")
        self.stack.freeze(name)
        try:
            time.sleep(seconds)
        finally:
            self.stack.thaw(name)
        self.others["stop"] += 1
        self.note()

    def part(self, how):
        links = list(self.stack.proxies.names)
        if self.stack.destination_type != "postgres":
            links.remove("worker-destination")
        link = self.rng.choice(links)
        seconds = self.rng.choice([0.2, 1, 4, 8, 13])
        self.say(f"{how} {link} for {seconds} s")
        self.stack.proxies.tell(how, link)
        try:
            time.sleep(seconds)
        finally:
            self.stack.proxies.tell("open", link)
        self.others[how] += 1
        self.note()

    def summary(self):
        killed = " ".join(f"{n}={self.kills[n]}" for n in self.stack.names() if self.kills[n])
        others = {**self.others, "at-failpoints": sum(self.died_at.values())}
        rest = " ".join(f"{n}={c}" for n, c in sorted(others.items()) if c)
        recovery = f" recovery median {sorted(self.waits)[len(self.waits) // 2]:.1f} s longest {max(self.waits):.1f} s" if self.waits else ""
        return f"kills {sum(self.kills.values())} ({killed}) {rest}{recovery}".strip()
