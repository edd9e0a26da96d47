"""An endpoint that is slow beside its siblings, and all that looks like one and is none."""

import numpy as np
import pytest

from controlplane.adapters.gateway.gray import Finding, GrayWatch
from controlplane.model.unit import MILLISECOND

EVERY_NS = 2 * MILLISECOND  # between two answers
SPEEDS = np.array([20.0, 40.0, 100.0]) * MILLISECOND  # uneven, and stable


def run(watch: GrayWatch, rng: np.random.Generator, calls: int, factors: list[float], begin: int = 0) -> list[Finding]:
    rows = rng.integers(0, 3, calls)
    latency = (SPEEDS * factors)[rows] * rng.lognormal(0, 0.5, calls)
    answers = zip(rows.tolist(), latency.astype(np.int64).tolist(), strict=True)
    found = (watch.observe(row, took, (begin + n) * EVERY_NS) for n, (row, took) in enumerate(answers))
    return [finding for finding in found if finding is not None]


@pytest.mark.parametrize("seed", range(4))
def test_a_healthy_noisy_service_with_uneven_endpoints_is_let_be(seed: int) -> None:
    """200,000 lognormal answers of endpoints of different speeds lead to nothing."""
    assert run(GrayWatch(3), np.random.default_rng(seed), 200_000, [1, 1, 1]) == []


@pytest.mark.parametrize("factor", [2.5, 3, 5])
def test_one_replica_that_becomes_slow_is_gray(factor: float) -> None:
    """Beside siblings that do what they did, it is found within seconds."""
    watch, rng = GrayWatch(3), np.random.default_rng(7)
    run(watch, rng, 20_000, [1, 1, 1])
    found = run(watch, rng, 4_000, [1, 1, factor], 20_000)
    assert [(one.endpoint, one.gray) for one in found[:1]] == [(2, True)]


@pytest.mark.parametrize("factor", [1.5, 2, 3, 5])
@pytest.mark.parametrize("seed", range(4))
def test_when_all_move_together_nobody_is_gray(factor: float, seed: int) -> None:
    """It is told as a drift, whatever their speeds."""
    watch, rng = GrayWatch(3), np.random.default_rng(seed)
    run(watch, rng, 20_000, [1, 1, 1])
    found = run(watch, rng, 20_000, [factor] * 3, 20_000)
    assert [one for one in found if one.gray] == []


def test_half_as_slow_again_is_no_ground_to_act() -> None:
    """A drift of x1.5 on one endpoint is news at most."""
    watch, rng = GrayWatch(3), np.random.default_rng(1)
    run(watch, rng, 20_000, [1, 1, 1])
    assert not any(one.gray for one in run(watch, rng, 40_000, [1, 1, 1.5], 20_000))
