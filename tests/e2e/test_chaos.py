"""A short round of the prover (tests/chaos) into each destination, and proof that its judges find what is wrong."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "chaos"))

import history  # noqa: E402
import oracle  # noqa: E402
import prover  # noqa: E402
import topics  # noqa: E402
import workload  # noqa: E402
from harness import FULL  # noqa: E402


@pytest.mark.parametrize("destination, seconds", [("postgres", 60), ("duckdb", 30)])
def test_chaos_round(destination, seconds):
    one = prover.Round(7, seconds * (2 if FULL else 1), destination, lambda text: print(text, flush=True), marks=1, large_rows=20_000)
    result = one.run()
    print(prover.describe(result))
    assert not result.failures, prover.describe(result)
    assert result.kills > 0
    assert result.counts["rows"] > 1000 and result.records > 1000 and result.looks > 5
    assert result.transactions["committed"] > result.transactions["rolled back"] > 0


# The judges themselves -----------------------------------------------------------------------------------------------


def found(key_columns, source, destination):
    difference = oracle.compare("t", key_columns, source, destination)
    return {k: len(getattr(difference, k)) for k in ("lost", "extra", "duplicate", "stale") if getattr(difference, k)}


def test_the_comparison_finds_each_kind_of_difference():
    rows = ["1\ta", "2\tb", "3\t\\N"]
    assert found(1, rows, rows[::-1]) == {}
    assert found(1, rows, rows[:2]) == {"lost": 1}
    assert found(1, rows, rows + ["4\td"]) == {"extra": 1}
    assert found(1, rows, ["1\ta", "2\tx", "3\t\\N"]) == {"stale": 1}
    assert found(1, rows, rows + ["2\tb"]) == {"duplicate": 1}
    assert found(2, ["1\ta\tx"], ["1\tb\tx"]) == {"lost": 1, "extra": 1}
    assert found(0, ["a", "a", "b"], ["a", "b"]) == {"lost": 1}
    assert found(0, ["a", "b"], ["a", "a", "b"]) == {"duplicate": 1}


def record(offset, lsn, seq, generation=1, key="", xid=5, topic=topics.MARKS, op="insert"):
    return {"topic": topic, "offset": offset, "op": op, "commit_lsn": lsn, "seq": seq, "generation": generation, "xid": xid, "key": key}


def key(mark):
    digits = str(mark).encode()
    return (bytes([len(digits)]) + digits).hex()


def judged(records, committed=(), absent=(), rolled_back=(), reused=()):
    checks = topics.TopicChecks()
    for one in records:
        checks.take(one)
    ledger = workload.Ledger()
    ledger.committed, ledger.absent = set(committed), set(absent)
    ledger.rolled_back_xids, ledger.other_xids = set(rolled_back), set(reused)
    checks.finish(ledger)
    return checks.failures


def test_the_topic_reader_finds_what_is_out_of_order_lost_or_never_committed():
    good = [record(0, 10, 0, key=key(1)), record(1, 10, 1, key=key(2)), record(3, 20, 0, key=key(3))]
    assert judged(good, [1, 2, 3]) == []
    assert "does not follow" in judged([good[1], record(2, 10, 0, key=key(1))])[0]
    assert "does not follow" in judged([good[0], record(1, 10, 0, key=key(1))])[0]
    assert "0 times" in judged(good[:2], [1, 2, 3])[0]
    assert "2 times" in judged(good + [record(4, 30, 0, key=key(2))], [1, 2, 3])[0]
    assert "never committed" in judged(good, [1, 2], absent=[3])[0]
    assert "rolled back" in judged(good, [1, 2, 3], rolled_back=[(7 << 32) + 5])[0]
    assert judged(good, [1, 2, 3], rolled_back=[5], reused=[5]) == []
    assert "read again" in judged([good[2], record(3, 30, 0, key=key(4))])[0]
    # A chunk brings again what had been streamed when it was read, and brings it once.
    assert judged(good + [record(4, 30, 1, key=key(2), op="read")], [1, 2, 3]) == []
    assert "2 times as a row" in judged(good + [record(4, 30, 1, key=key(2), op="read"), record(5, 30, 2, key=key(2), op="read")], [1, 2, 3])[0]
    # A copy that begins anew counts by itself.
    assert judged(good + [record(4, 5, 0, 2, key(1)), record(5, 5, 1, 2, key(2)), record(6, 30, 0, 2, key(3))], [1, 2, 3]) == []


def test_the_history_finds_rows_that_go_back_or_come_back():
    one = history.History("t")
    one.take([("a", 1, False), ("b", 2, True)], True)
    one.take([("a", 3, False)], True)
    assert one.failures == [] and one.returned == []
    one.take([("a", 2, False), ("b", 4, True)], True)
    assert "went back" in one.failures[0] and "is there again" in one.returned[0]
    anew = history.History("t")
    anew.take([("a", 1, True)], False)
    anew.take([], False)
    anew.take([("a", 1, True)], True)
    assert anew.failures == [] and anew.returned == []


def test_transactions_can_be_drawn_again():
    import random
    import tables
    draws = [workload.Script(random.Random("1/0/5"), tables.tables(), 0, 5).steps for _ in range(2)]
    assert draws[0] == draws[1] and draws[0]
