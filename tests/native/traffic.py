"""Words for tests of the guard: rows by name, calls to a chosen endpoint, a state reached by its shortest way."""

from array import array
from typing import NamedTuple

from controlplane._native.guard import ERROR, EVENT_WORDS, EVENTS_MAX, Guard, Permit, Refusal

SECOND = 1_000_000_000
MILLISECOND = 1_000_000


class Row(NamedTuple):
    """One row of the event ring."""

    seq: int
    kind: int
    endpoint: int
    t_ns: int
    a: int
    b: int
    c: int
    d: int = 0


def drain(guard: Guard) -> list[Row]:
    """All unread rows."""
    out = array("q", bytes(8 * EVENTS_MAX * EVENT_WORDS))
    count = guard.drain(memoryview(out))
    return [Row(*out[i * EVENT_WORDS : (i + 1) * EVENT_WORDS]) for i in range(count)]


def kinds(guard: Guard) -> list[tuple[int, int]]:
    """(kind, endpoint) of all unread rows."""
    return [(row.kind, row.endpoint) for row in drain(guard)]


def admitted(answer: Permit | Refusal) -> Permit:
    """The permit, where a refusal would be the test's own mistake."""
    assert isinstance(answer, Permit), answer
    return answer


def refused(answer: Permit | Refusal) -> Refusal:
    """The refusal, where a permit would be the test's own mistake."""
    assert isinstance(answer, Refusal), answer
    return answer


def permit_to(guard: Guard, endpoint: int) -> Permit:
    """A first call that the guard sends to `endpoint`; the others are cancelled."""
    for _ in range(10_000):
        permit = admitted(guard.try_acquire())
        if permit.endpoint == endpoint:
            return permit
        permit.cancel()
    raise AssertionError(f"endpoint {endpoint} was never chosen")


def fail(guard: Guard, endpoint: int, times: int, kind: int = ERROR) -> int:
    """Let `times` calls to `endpoint` fail; returns the last settlement's answer."""
    answer = 0
    for _ in range(times):
        answer = permit_to(guard, endpoint).failure(kind)
    return answer


def succeed(guard: Guard, endpoint: int, times: int) -> int:
    """Let `times` calls to `endpoint` succeed; returns the last settlement's answer."""
    answer = 0
    for _ in range(times):
        answer = permit_to(guard, endpoint).success()
    return answer


def states(guard: Guard, endpoints: int) -> list[int]:
    """State of each endpoint."""
    return [guard.endpoint(index)["state"] for index in range(endpoints)]
