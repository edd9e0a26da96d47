"""The odd one among siblings, without any baseline."""

import numpy as np
import pytest

from controlplane.decide.detection.outlier import late_outliers

VALUES = np.array([2**k for k in range(10, 30)])


def latencies(rng: np.random.Generator, calls: list[int], factors: list[float]) -> np.ndarray:  # type: ignore[type-arg]
    """Counts by bin, for each endpoint."""
    rows = [
        np.histogram(np.exp(rng.normal(0, 0.5, n)) * 100_000 * factor, bins=np.array([0, *VALUES]))[0]
        for n, factor in zip(calls, factors, strict=True)
    ]
    return np.array(rows)


def test_a_gray_failure_is_found_among_its_siblings() -> None:
    """Three times slower without an error: found in a hundred calls of each; no slow mark is asked."""
    rng = np.random.default_rng(4)
    assert late_outliers(latencies(rng, [100] * 4, [1, 1, 3, 1]), VALUES, 1e-6) == [2]
    assert late_outliers(latencies(rng, [100] * 4, [3, 3, 3, 3]), VALUES, 1e-6) == []


def test_false_alarms_keep_to_the_dial() -> None:
    """Equal endpoints are told apart in no more of many samples than the dial allows, at any traffic."""
    rng, dial, alarms = np.random.default_rng(6), 0.01, 0
    for _ in range(2_000):
        calls = rng.integers(0, 200, 6)
        alarms += bool(late_outliers(latencies(rng, calls.tolist(), [1] * 6), VALUES, dial))
    assert alarms <= dial * 2_000


def test_an_endpoint_without_calls_is_no_evidence() -> None:
    """Unknown is not zero: without calls, or without siblings that have any, nobody is odd."""
    assert late_outliers(np.zeros((3, len(VALUES)), np.int64), VALUES, 1e-6) == []


def test_shapes_that_disagree_are_named() -> None:
    """A mistake is refused by the argument's name."""
    with pytest.raises(ValueError, match="values_ns"):
        late_outliers(np.zeros((2, 3), np.int64), VALUES, 1e-6)
