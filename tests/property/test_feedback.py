"""The load-failure loop keeps its promises on any graph: numbering, scale, order, and what more retries can do."""

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from controlplane.decide.feedback.loop import Loop, reproduction_number, verdict
from tests.native import feedback_oracle as oracle

seeds = st.integers(0, 100_000)
ENDLESS = 1e12  # calls in a circle that beget more than one another: the sum has no end, and no value
FEW = settings(max_examples=60, deadline=None)


def renumbered(loop: Loop, place: NDArray[np.int64]) -> Loop:
    """The same loop with service v at place[v]."""
    callers = np.repeat(np.arange(len(place)), np.diff(loop.indptr))
    caller, callee = place[callers], place[np.asarray(loop.indices)]
    order, back = np.lexsort((callee, caller)), np.argsort(place)
    return Loop(
        np.concatenate([[0], np.cumsum(np.bincount(caller, minlength=len(place)))]),
        callee[order],
        base=loop.base[back],
        capacity=loop.capacity[back],
        calls=loop.calls[order],
        attempts=loop.attempts[order],
        budget=loop.budget[order],
        need=loop.need[order],
        patience=loop.patience[back],
        queue=loop.queue[back],
    )


def changed(loop: Loop, **arguments: NDArray[np.float64]) -> Loop:
    """The same loop but for what is named."""
    names = ("base", "capacity", "calls", "attempts", "budget", "need", "patience", "queue")
    return Loop(loop.indptr, loop.indices, **{name: getattr(loop, name) for name in names} | arguments)


@FEW
@given(seeds, st.booleans())
def test_the_jacobian_is_that_of_small_differences(seed: int, circles: bool) -> None:
    """Analytic against finite differences, to 1e-6."""
    loop, failing = oracle.draw(seed, circles=circles)
    expected = oracle.jacobian(loop, failing)
    assert np.max(np.abs(oracle.dense(loop, failing) - expected)) <= 1e-6 * max(1.0, np.max(expected))


@FEW
@given(seeds, st.booleans(), st.randoms(use_true_random=False))
def test_the_numbering_of_services_does_not_matter(seed: int, circles: bool, shuffle: object) -> None:
    """R, loads and verdict are the same in any order of the services."""
    loop, failing = oracle.draw(seed, circles=circles)
    place = np.arange(len(failing))
    shuffle.shuffle(place)  # type: ignore[attr-defined]
    other = renumbered(loop, place)
    back = np.argsort(place)
    loads = loop.core.loads(failing)
    assume(np.max(loads) < ENDLESS)
    np.testing.assert_allclose(other.core.loads(failing[back])[place], loads, rtol=1e-9)
    here, there = reproduction_number(loop, failing), reproduction_number(other, failing[back])
    assert abs(here - there) <= 1e-5 * max(1e-3, here)
    mine, its = verdict(loop, failing), verdict(other, failing[back])
    np.testing.assert_allclose(its.failure[place], mine.failure, atol=1e-6)


@FEW
@given(seeds, st.floats(1e-3, 1e3))
def test_the_unit_of_load_does_not_matter(seed: int, scale: float) -> None:
    """All loads and capacities times a number leave failure shares, R and verdict as they are."""
    loop, failing = oracle.draw(seed)
    other = changed(loop, base=loop.base * scale, capacity=loop.capacity * scale)
    np.testing.assert_allclose(other.core.turn(failing), loop.core.turn(failing), atol=1e-10)
    here = reproduction_number(loop, failing)
    assert abs(here - reproduction_number(other, failing)) <= 1e-5 * max(1e-3, here)


@FEW
@given(seeds, st.booleans())
def test_more_failure_never_makes_less_failure(seed: int, circles: bool) -> None:
    """The loop is monotone in its state: so there is a lowest state of rest, and a highest, and no wandering."""
    loop, failing = oracle.draw(seed, circles=circles)
    worse = failing + (1.0 - failing) * np.random.default_rng(seed).random(len(failing))
    assert np.all(loop.core.turn(worse) >= loop.core.turn(failing) - 1e-12)
    assert np.all(loop.core.settle(worse)[0] >= loop.core.settle(failing)[0] - 1e-6)


@FEW
@given(seeds)
def test_more_retries_never_bring_less_load(seed: int) -> None:
    """Loads are monotone in attempts and budgets. Failures are not: a retry helps where load is not the cause."""
    loop, failing = oracle.draw(seed)
    random = np.random.default_rng(seed)
    again = changed(
        loop,
        attempts=loop.attempts + random.integers(0, 3, len(loop.attempts)),
        budget=loop.budget * random.uniform(1.0, 3.0, len(loop.budget)),
    )
    assert np.all(again.core.loads(failing) >= loop.core.loads(failing) - 1e-9)
    assert np.all(verdict(again).amplification >= verdict(loop).amplification - 1e-9)


@FEW
@given(seeds)
def test_r_of_a_healthy_state_grows_with_every_edge_that_retries(seed: int) -> None:
    """Where nothing fails yet and callers can do without whom they call, an edge that begins to retry adds to the
    Jacobian and takes nothing away. Where they cannot, a retry also rescues, which does (seeds 1772, 1774, 2532)."""
    loop, failing = oracle.draw(seed)
    loop, nothing = changed(loop, need=np.zeros(len(loop.need))), np.zeros(len(failing))
    some = changed(loop, attempts=np.where(np.arange(len(loop.attempts)) % 2 == 0, loop.attempts, 1.0))
    assert reproduction_number(some, nothing) <= reproduction_number(loop, nothing) * (1.0 + 1e-5) + 1e-3


@FEW
@given(seeds)
def test_a_metastable_verdict_has_r_over_one_and_two_resting_states(seed: int) -> None:
    """Metastable: the settled state is a fixed point above the healthy one, and between them failures multiply."""
    loop, failing = oracle.draw(seed)
    found = verdict(loop)
    healthy, _, _ = loop.core.settle(np.zeros(len(failing)))
    assert np.all(found.failure >= healthy - 1e-6)
    np.testing.assert_allclose(loop.core.turn(found.failure), found.failure, atol=1e-6)
    if found.metastable:
        assert found.reproduction_number > 1.0
