"""Fixtures of the end-to-end tests."""

import pytest

from harness import FULL, Millrace


def pytest_configure(config):
    config.addinivalue_line("markers", "full: fetches or takes too much for a short round; `tests/run --full` runs it")


def pytest_collection_modifyitems(config, items):
    if not FULL:
        config.hook.pytest_deselected(items=[i for i in items if i.get_closest_marker("full")])
        items[:] = [i for i in items if not i.get_closest_marker("full")]


@pytest.fixture(scope="module")
def millrace():
    """One private stack a module."""
    one = Millrace()
    try:
        yield one.start()
    finally:
        one.stop()
