"""The fluids do what queues do; and the verdict, which knows nothing of them, tells what becomes of them."""

import numpy as np
import pytest

from bench.metastability import judge
from controlplane.sim.draw import draw
from controlplane.sim.fluid import Course, Systems, Trigger, simulate

ACCURACY_MIN = 0.95


def one(*, attempts: int, queue: float = 300.0, budget: float = np.inf, need: float = 1.0) -> Systems:
    """Users, 700 requests a second, who wait 0.1 s for a service that completes 1,000."""
    return Systems(
        system=np.zeros(2, dtype=np.int64),
        load=np.array([700.0, 0.0]),
        capacity=np.array([np.inf, 1000.0]),
        queue=np.array([1.0, queue]),
        caller=np.array([0]),
        callee=np.array([1]),
        calls=np.array([1.0]),
        attempts=np.array([attempts]),
        budget=np.array([budget]),
        need=np.array([need]),
        wait=np.array([0.1]),
        pause=np.array([0.02]),
    )


def run(systems: Systems, *, capacity: float = 0.2) -> Course:
    """Two seconds of health, five of a trigger, twenty after it."""
    trigger = Trigger(begin_s=2.0, end_s=7.0, capacity=np.array([1.0, capacity]), load=np.ones(2))
    random = np.random.default_rng(1)
    return simulate(systems, trigger, end_s=27.0, look_s=1.0, step_s=0.01, random=random)


def test_an_overload_outlives_its_trigger_where_callers_try_again() -> None:
    """1,400 tries a second on 1,000 keep the queue longer than anybody waits: all answers are late, for good."""
    course = run(one(attempts=2))
    assert course.before[1] == 0.0
    assert course.triggered[1] > 0.95
    assert course.after[1] > 0.95


@pytest.mark.parametrize(
    "systems",
    [one(attempts=1), one(attempts=2, budget=0.2), one(attempts=2, queue=60.0)],
    ids=["no retry", "a budget of 20 %", "a queue shorter than patience"],
)
def test_it_ends_with_its_trigger(systems: Systems) -> None:
    """Where tries stay under the capacity, or what is refused costs nothing, the service recovers by itself."""
    course = run(systems)
    assert course.triggered[1] > 0.5
    assert course.after[1] < 0.3


def test_without_an_overload_nothing_fails() -> None:
    """A drop of capacity that leaves enough is not felt."""
    assert run(one(attempts=2), capacity=0.9).triggered[1] < 0.01


def test_what_is_refused_is_the_excess() -> None:
    """A short queue under 1.4 times its capacity refuses two of seven tries."""
    course = run(one(attempts=1, queue=30.0), capacity=0.5)
    assert course.triggered[1] == pytest.approx(1 - 500 / 700, abs=0.03)


def test_the_same_seed_gives_the_same_course() -> None:
    """Chance comes from the generator alone."""
    courses = []
    for _ in range(2):
        random = np.random.default_rng(5)
        systems, trigger = draw(3, random, begin_s=1.0, end_s=2.0)
        courses.append(simulate(systems, trigger, end_s=4.0, look_s=1.0, step_s=0.01, random=random))
    for name in ("before", "triggered", "after"):
        np.testing.assert_array_equal(getattr(courses[0], name), getattr(courses[1], name))


def test_what_is_drawn_has_callers_and_room() -> None:
    """Every service but the users has a caller, and in normal operation less load than capacity."""
    systems, _ = draw(50, np.random.default_rng(0), begin_s=1.0, end_s=2.0)
    called = np.bincount(systems.callee, minlength=len(systems.load)) > 0
    np.testing.assert_array_equal(called, systems.load == 0.0)
    load = systems.load.copy()
    for caller, callee, calls in zip(systems.caller, systems.callee, systems.calls, strict=True):
        load[callee] += load[caller] * calls
    assert np.max(load / systems.capacity) <= 0.9 + 1e-9


def test_the_verdict_tells_stuck_from_recovered() -> None:
    """Over 150 systems, near half of which stay stuck, it is right about at least 95 % (a thousand: the page)."""
    judged = judge(150, seed=1)
    score = judged.table()["verdict"]
    assert 0.3 <= score["base_rate"] <= 0.7
    assert score["accuracy"] >= ACCURACY_MIN
