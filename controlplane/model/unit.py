"""Units and ids as types, so that a nanosecond is never a second and an incident id never a command id."""

from typing import NewType

Nanos = NewType("Nanos", int)
"""Nanoseconds. As a point in time: CLOCK_MONOTONIC of this boot."""

IncidentId = NewType("IncidentId", str)
CommandId = NewType("CommandId", str)
Epoch = NewType("Epoch", int)
"""Raised by one at every start of an engine on its journal; a command of an older epoch never wins."""

MILLISECOND = Nanos(1_000_000)
SECOND = Nanos(1_000_000_000)


def to_nanos(seconds: float) -> Nanos:
    """Nanoseconds nearest to `seconds`, the form in which people write configuration."""
    return Nanos(round(seconds * 1e9))


def to_seconds(nanos: int) -> float:
    """Seconds for people and for Prometheus; never for arithmetic that decides."""
    return nanos / 1e9
