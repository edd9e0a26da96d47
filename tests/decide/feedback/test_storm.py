"""Retry storms, against the plainest reckoning: all rows kept, all summed, each time."""

import random

import pytest

from controlplane.decide.feedback.storm import CALM_RATIO, EDGES_MAX, EXTRA, RATIO, WINDOW_NS, Storms
from controlplane.model.signal import EdgeSampled, EntrySampled
from controlplane.model.unit import SECOND, Nanos


def sample(at: int, calls: int, sends: int, *, caller: str = "cart", callee: str = "stock") -> EdgeSampled:
    return EdgeSampled(
        at=Nanos(at), caller=caller, callee=callee, window_ns=SECOND, calls=calls, attempts=sends, failures=0
    )


@pytest.mark.parametrize("seed", range(20))
def test_storms_begin_and_end_as_the_plain_sums_say(seed: int) -> None:
    """Random traffic on one edge: the same moments as by summing all rows told since the edge was calm."""
    chance, storms, rows, raging = random.Random(seed), Storms(), [], False
    at = 10 * WINDOW_NS
    for _ in range(400):
        at += chance.randrange(1, SECOND)
        calls = chance.randrange(0, 60)
        sends = round(calls * chance.choice((1.0, 1.0, 1.1, 1.6, 2.5)))
        begun, ended = storms.edge(sample(at, calls, sends))
        if rows or sends > calls:
            rows.append((at, calls, sends))
        near = [row for row in rows if row[0] > at - WINDOW_NS]
        asked, sent = sum(row[1] for row in near), sum(row[2] for row in near)
        begins = not raging and sent - asked >= EXTRA and sent >= RATIO * asked
        ends = raging and sent < CALM_RATIO * asked
        assert (begun is not None, ended is not None) == (begins, ends)
        if begins or ends:
            raging = begins
        if ends:
            rows.clear()
    assert bool(storms.raging) == raging


def test_requests_that_are_retries_are_a_storm_of_their_own() -> None:
    """Users' requests that say that they are retries count like sends beyond calls."""
    storms = Storms()
    calm = EntrySampled(at=Nanos(SECOND), requests=100, failed=0, slow=0, retries=2)
    assert storms.entry(calm, "web") == (None, None)
    begun, _ = storms.entry(EntrySampled(at=Nanos(2 * SECOND), requests=200, failed=0, slow=0, retries=120), "web")
    assert begun is not None
    assert begun.text == "40 % of the requests to web are retries of somebody above"


def test_invented_callers_take_no_more_memory_than_a_bound() -> None:
    """Names come from outside: beyond the bound new edges are not watched, and old ones go when they are silent."""
    storms = Storms()
    for number in range(3 * EDGES_MAX):
        storms.edge(sample(SECOND, 1, 2, caller=f"c{number}"))
    assert len(storms._seen) == EDGES_MAX
    storms.edge(sample(SECOND + WINDOW_NS, 1, 2, caller="later"))
    assert len(storms._seen) == 1


def test_a_storm_of_which_nobody_tells_ends_by_itself() -> None:
    """Three seconds after the last word, and the next look is due just then."""
    storms = Storms()
    storms.edge(sample(SECOND, 50, 150))
    assert storms.due_at == SECOND + WINDOW_NS
    assert storms.lapse(Nanos(SECOND + WINDOW_NS - 1)) == []
    (ended,) = storms.lapse(Nanos(SECOND + WINDOW_NS))
    assert ended.text == "cart -> stock: nobody tells of it any more"
    assert (storms.raging, storms.due_at) == ({}, None)
