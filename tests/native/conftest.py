"""Fixtures of the native core: time is a number."""

from collections.abc import Iterator

import pytest

from controlplane._native import guard as native


class StoodClock:
    """The native clock, standing until it is moved."""

    def __init__(self, now_ns: int) -> None:
        self.now_ns = now_ns
        native.set_test_clock(now_ns)

    def advance(self, ns: int) -> None:
        """Let `ns` nanoseconds pass."""
        self.now_ns += ns
        native.set_test_clock(self.now_ns)


@pytest.fixture
def clock() -> Iterator[StoodClock]:
    """The native clock at 1,000 s; afterwards the real one runs again."""
    yield StoodClock(1_000_000_000_000)
    native.set_test_clock(-1)
