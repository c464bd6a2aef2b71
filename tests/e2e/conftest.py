"""Fixtures of the end-to-end tests."""

import pytest

from harness import Millrace


@pytest.fixture(scope="module")
def millrace():
    """One private stack a module."""
    one = Millrace()
    try:
        yield one.start()
    finally:
        one.stop()
