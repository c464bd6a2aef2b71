"""Harm done to a round from outside, each of which the prover must find; run `tests/chaos/run --tamper NAME`.

Not for: faults that the product must survive (nemesis).
"""

import time

from stack import DATABASE


def without_workers(one, statement, server="destination"):
    """What a product with a defect would leave behind, written while no worker runs."""
    for worker in one.stack.workers:
        if one.stack.stack.alive(worker):
            one.stack.kill(worker)
    time.sleep(1)
    result = one.stack.sql(server, DATABASE, statement)
    for worker in one.stack.workers:
        one.stack.restart(worker)
    return result


def replay(one):
    """A batch is applied twice: the checkpoint is older than the data."""
    without_workers(one, "UPDATE _millrace.checkpoints SET next_offset = next_offset - 40 WHERE table_name = 'journal'")


def skip(one):
    """Records are passed over: the checkpoint is newer than the data."""
    # Reserved while the workers are away, so that there is something to pass over.
    without_workers(one, "UPDATE _millrace.checkpoints SET next_offset = next_offset + 30 WHERE table_name IN ('marks', 'plain')")


def free_early(one):
    """The source's log is freed beyond what Kafka holds."""
    without_workers(one, "SELECT pg_replication_slot_advance(slot_name, pg_current_wal_lsn()) FROM pg_replication_slots", "source")


def back_in_time(one):
    """Rows show an older state for a while, then the right one again; the end is equal."""
    one.stack.sql("destination", DATABASE, "CREATE TABLE public.saved AS SELECT id, ver FROM public.typed WHERE id < 20;"
                                           "UPDATE public.typed SET ver = ver - 100000 WHERE id < 20")
    time.sleep(8)
    one.stack.sql("destination", DATABASE, "UPDATE public.typed t SET ver = s.ver FROM public.saved s WHERE s.id = t.id AND t.ver < 0")


def one_cell(one):
    """One cell of a row that nobody writes again is not what the source has."""
    one.stack.sql("destination", DATABASE, "INSERT INTO public.marks VALUES (1, 'nobody wrote this')")


# Each with what the judge that finds it says.
TAMPERINGS = {
    "replay": (replay, "duplicate"),
    "skip": (skip, "lost"),
    "free-early": (free_early, "the slot was confirmed up to"),
    "back-in-time": (back_in_time, "went back from version"),
    "one-cell": (one_cell, "extra"),
}
