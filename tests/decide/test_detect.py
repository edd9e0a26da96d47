"""The sequential test on evidence of others: fast on real failure, silent on noise."""

import math
import random

import pytest

from controlplane.decide.detect import BATCH_MAX, FAILURE_P0, FAILURE_P1, THRESHOLD_NATS, Cusum, Detector
from controlplane.model.signal import Cause, Target


def test_five_failures_in_a_row_are_enough_and_four_are_not() -> None:
    """The consecutive-failures default of mature systems falls out of the numbers."""
    test = Cusum()
    assert [test.observe(1, 1, 0) for _ in range(5)] == [None, None, None, None, Cause.ERRORS]


def test_healthy_noise_never_trips() -> None:
    """At half of p0 the test stays silent (seeded)."""
    rng, test = random.Random(7), Cusum()
    assert all(test.observe(1, rng.random() < FAILURE_P0 / 2, 0) is None for _ in range(200_000))


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_the_delay_is_near_the_wald_bound(share: float) -> None:
    """Mean delay over seeded runs against threshold / drift, the asymptotic bound for this test."""
    up, down = math.log(FAILURE_P1 / FAILURE_P0), math.log((1 - FAILURE_P1) / (1 - FAILURE_P0))
    bound = THRESHOLD_NATS / (share * up + (1 - share) * down)
    delays = []
    for seed in range(300):
        rng, test, calls = random.Random(seed), Cusum(), 1
        while test.observe(1, rng.random() < share, 0) is None:
            calls += 1
        delays.append(calls)
    assert sum(delays) / len(delays) <= 1.3 * bound + 1


def test_slow_calls_without_errors_are_found() -> None:
    """A gray failure has its own test."""
    test = Cusum()
    assert [test.observe(1, 0, 1) for _ in range(5)][-1] is Cause.SLOW


def test_one_huge_report_moves_the_test_by_a_bounded_step() -> None:
    """A hostile or stale sum of 10^9 good calls must not hide what follows, nor overflow anything."""
    test = Cusum()
    test.observe(1_000_000_000, 10_000_000, 0)
    assert test.failure_nats <= BATCH_MAX * math.log(FAILURE_P1 / FAILURE_P0)


def test_a_batch_accuses_like_its_calls_one_by_one_successes_first() -> None:
    """The clever sum against the dumb loop, in the order that the batch assumes."""
    batch, single = Cusum(), Cusum()
    batch.observe(20, 3, 0)
    for failed in [0] * 17 + [1] * 3:
        single.observe(1, failed, 0)
    assert batch.failure_nats == pytest.approx(single.failure_nats)


def test_an_unknown_target_is_not_clean() -> None:
    """Nobody may lean on an endpoint of which nothing is known."""
    detector = Detector()
    assert not detector.clean(Target("s", "e"))
    detector.observe(Target("s", "e"), 1, 0, 0)
    assert detector.clean(Target("s", "e"))
