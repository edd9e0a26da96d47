"""The kernels of the load-failure loop against the loop written down slowly, its differences, and dense eigenvalues."""

import numpy as np
import pytest

from controlplane._native.feedback import FeedbackLoop
from controlplane.decide.feedback.loop import Loop
from tests.native import feedback_oracle as oracle

SEEDS = range(40)
CIRCLES = [False, True]


def chain(**changed: object) -> Loop:
    """users -> a -> b, each call tried twice."""
    arguments: dict[str, object] = {
        "base": [100.0, 0.0, 0.0], "capacity": [np.inf, 200.0, 200.0], "calls": 1.0, "attempts": 2.0,
    }  # fmt: skip
    return Loop(np.array([0, 1, 2, 2]), np.array([1, 2]), **{**arguments, **changed})  # type: ignore[arg-type]


@pytest.mark.parametrize("circles", CIRCLES)
@pytest.mark.parametrize("seed", SEEDS)
def test_loads_and_failures_are_those_of_the_loop_written_down(seed: int, circles: bool) -> None:
    """A turn of the kernel equals a turn of the slow loop, with and without calls in a circle."""
    loop, failing = oracle.draw(seed, circles=circles)
    np.testing.assert_allclose(loop.core.loads(failing), oracle.loads(loop, failing), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(loop.core.turn(failing), oracle.turn(loop, failing), atol=1e-10)


@pytest.mark.parametrize("circles", CIRCLES)
@pytest.mark.parametrize("seed", SEEDS)
def test_the_jacobian_is_that_of_small_differences(seed: int, circles: bool) -> None:
    """Every entry of the analytic Jacobian is within 1e-6 of the finite difference."""
    loop, failing = oracle.draw(seed, circles=circles)
    expected = oracle.jacobian(loop, failing)
    assert np.max(np.abs(oracle.dense(loop, failing) - expected)) <= 1e-6 * max(1.0, np.max(expected))


@pytest.mark.parametrize("circles", CIRCLES)
@pytest.mark.parametrize("seed", SEEDS)
def test_r_is_the_largest_eigenvalue_of_that_jacobian(seed: int, circles: bool) -> None:
    """R is numpy's spectral radius of the dense Jacobian; where it is under 0.001, a bound that is under 0.001, too."""
    loop, failing = oracle.draw(seed, circles=circles)
    radius, _ = loop.core.radius(failing)
    expected = float(np.max(np.abs(np.linalg.eigvals(oracle.dense(loop, failing)))))
    if radius > 1e-3:
        assert radius == pytest.approx(expected, rel=2e-6)
    else:
        assert expected <= radius + 1e-12


def test_r_of_a_large_graph_is_that_of_long_power_iteration() -> None:
    """On 300 services and 1,500 edges, R equals what 20,000 steps of power iteration come to."""
    random = np.random.default_rng(3)
    ends = np.unique(np.sort(random.integers(300, size=(2000, 2))), axis=0)
    ends = ends[ends[:, 0] < ends[:, 1]]
    indptr = np.concatenate([[0], np.cumsum(np.bincount(ends[:, 0], minlength=300))])
    callers = np.maximum(1, np.bincount(ends[:, 1], minlength=300))
    calls = random.uniform(0.2, 1.0, len(ends)) / callers[ends[:, 1]]
    base, attempts = np.where(callers == 1, 10.0, 1.0), random.integers(1, 4, len(ends))
    need = random.uniform(0.0, 0.3, len(ends))
    still = Loop(indptr, ends[:, 1], base=base, capacity=np.inf, calls=calls, attempts=1).core.loads(np.zeros(300))
    capacity = still / random.uniform(0.5, 1.1, 300)
    loop = Loop(indptr, ends[:, 1], base=base, capacity=capacity, calls=calls, attempts=attempts, need=need)
    failing, _, _ = loop.core.settle(np.zeros(300))
    vector = np.ones(300)
    for _ in range(20_000):
        after = loop.core.derivative(failing, vector)
        vector = after / np.max(after)
    assert loop.core.radius(failing)[0] == pytest.approx(float(np.max(after)), rel=1e-5)


@pytest.mark.parametrize("ratio", [0.3, 0.9, 0.9999, 1.0, 1.0001, 1.3, 5.0])
@pytest.mark.parametrize(("patience", "queue"), [(3, 10), (10, 10), (40, 7), (100, 1000)])
def test_what_an_overfull_queue_fails_is_the_tail_of_the_bounded_queue(ratio: float, patience: int, queue: int) -> None:
    """The overflow is the chance to find `patience` or more of at most `queue` there, summed state by state."""
    states = np.arange(queue + 1) * np.log(ratio)
    weights = np.exp(states - states.max())
    least = min(patience, queue)
    expected = float(weights[least:].sum() / weights.sum())
    loop = chain(base=[0.0, 0.0, 200.0 * ratio], patience=float(patience), queue=float(queue), attempts=1.0, need=0.0)
    assert loop.core.turn(np.zeros(3))[2] == pytest.approx(expected, rel=1e-9, abs=1e-17)


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_indices_of_either_width_are_taken(dtype: type) -> None:
    """scipy's two index types give the same loop."""
    arguments = ([100.0, 0.0, 0.0], [np.inf, 300.0, 300.0], 1.0, 2.0, np.inf, 1.0, 100.0, 1000.0)
    loop = FeedbackLoop(np.array([0, 1, 2, 2], dtype=dtype), np.array([1, 2], dtype=dtype), *arguments)
    np.testing.assert_allclose(loop.loads(np.ones(3)), [100.0, 200.0, 400.0], rtol=1e-9)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"base": [np.nan, 0.0, 0.0]}, r"base\[0\] is nan"),
        ({"base": [1.0, -1.0, 0.0]}, r"base\[1\] is -1.0"),
        ({"base": [1.0, 1.0]}, r"base must have shape \(3,\)"),
        ({"base": np.inf}, r"base\[0\] is inf"),
        ({"capacity": [1.0, 1.0, 0.0]}, r"capacity\[2\] is 0.0"),
        ({"capacity": np.nan}, r"capacity\[0\] is nan"),
        ({"calls": [1.0, -0.5]}, r"calls\[1\] is -0.5"),
        ({"attempts": [1.5, 1.0]}, r"attempts\[0\] is 1.5; it must be a whole number from 1 to 100"),
        ({"attempts": 0.0}, r"attempts\[0\] is 0.0"),
        ({"attempts": 101.0}, r"attempts\[0\] is 101.0"),
        ({"budget": [-0.1, 1.0]}, r"budget\[0\] is -0.1"),
        ({"need": [0.0, 1.1]}, r"need\[1\] is 1.1"),
        ({"patience": 0.5}, r"patience\[0\] is 0.5"),
        ({"queue": [5.0, np.nan, 5.0]}, r"queue\[1\] is nan"),
    ],
)
def test_what_is_no_loop_is_refused_by_name(changed: dict[str, object], message: str) -> None:
    """NaN, negative, zero capacity, half attempts, wrong shapes: the message names the argument and the value."""
    with pytest.raises(ValueError, match=message):
        chain(**changed)


@pytest.mark.parametrize(
    ("indptr", "indices", "message"),
    [
        ([0, 1, 2, 3], [1, 2], "indptr must rise"),
        ([1, 1, 2, 2], [1, 2], "indptr must rise"),
        ([0, 2, 1, 2], [1, 2], "indptr must rise"),
        ([0, 1, 2, 2], [1, 3], r"indices\[1\] is 3"),
        ([0, 1, 2, 2], [-1, 2], r"indices\[0\] is -1"),
        ([0.0, 1.0, 2.0, 2.0], [1, 2], "indptr must be a vector of whole numbers"),
        ([0, 1, 2, 2], [[1], [2]], "indices must be a vector of whole numbers"),
    ],
)
def test_what_is_no_graph_is_refused_by_name(indptr: list[int], indices: list[int], message: str) -> None:
    """A structure that is not CSR is refused before anything is read through it."""
    with pytest.raises(ValueError, match=message):
        Loop(np.array(indptr), np.array(indices), base=1.0, capacity=1.0, calls=1.0, attempts=1.0)


@pytest.mark.parametrize("failure", [[np.nan, 0.0, 0.0], [0.0, 1.1, 0.0], [0.0, 0.0, -0.1], [0.0]])
def test_what_is_no_failure_share_is_refused_by_name(failure: list[float]) -> None:
    """An operating point out of 0 to 1, or of another size, gives a ValueError that names it."""
    with pytest.raises(ValueError, match="failure"):
        chain().core.radius(failure)


def test_a_circle_that_gains_load_for_ever_stays_a_number() -> None:
    """Two services without limits that call each other more than once a request end in a number, not in NaN."""
    loop = Loop(np.array([0, 1, 2]), np.array([1, 0]), base=1.0, capacity=np.inf, calls=2.0, attempts=2.0)
    assert np.all(np.isfinite(loop.core.loads(np.ones(2))))
    assert np.isfinite(loop.core.radius(np.full(2, 0.5))[0])


def test_no_services_and_no_edges_are_a_loop() -> None:
    """Empty graphs have R 0."""
    none = np.array([], dtype=np.int64)
    for services in (0, 3):
        loop = Loop(np.zeros(services + 1, dtype=np.int64), none, base=1.0, capacity=2.0, calls=1.0, attempts=1.0)
        assert loop.core.radius(np.zeros(services))[0] == 0.0
