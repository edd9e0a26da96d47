"""The sequential test on evidence of others: fast on real failure, silent on noise, and the native numbers."""

import random

import numpy as np
import pytest

from controlplane._native import detector as native
from controlplane.decide.detection import detect
from controlplane.decide.detection.detect import BATCH_MAX, FAILURE_FLOOR, FALSE_ALARM, Cusum, Detector
from controlplane.model.signal import Cause, Target


def test_four_failures_in_a_row_are_enough_and_three_are_not() -> None:
    """A failure is never so surprising that a few stray ones decide: the base rate has a floor."""
    test = Cusum()
    assert [test.observe(1, 1, 0) for _ in range(4)] == [None, None, None, Cause.ERRORS]


def test_healthy_noise_never_trips() -> None:
    """At half of the floor the test stays silent (seeded)."""
    rng, test = random.Random(7), Cusum()
    assert all(test.observe(1, rng.random() < FAILURE_FLOOR / 2, 0) is None for _ in range(20_000))


@pytest.mark.parametrize(("share", "old"), [(0.06, 1e9), (0.1, 182.0), (0.25, 24.0), (0.5, 10.0), (1.0, 5.0)])
def test_no_share_is_found_later_than_by_one_sum_alone(share: float, old: float) -> None:
    """Mean delay over seeded runs, against threshold / drift of the sum from 1 % to 25 % that was here before."""
    delays = []
    for seed in range(150):
        rng, test, calls = random.Random(seed), Cusum(), 1
        while test.observe(1, rng.random() < share, 0) is None:
            calls += 1
        delays.append(calls)
    assert sum(delays) / len(delays) <= 1.1 * old


def test_it_is_the_native_test() -> None:
    """Fed call by call, with the same base rate, each sum is the native detector's."""
    rng, test, compiled = random.Random(3), Cusum(), native.Detector(1)
    rng_calls = np.random.default_rng(3)
    compiled.observe_many(0, (rng_calls.random(2_000) < 0.05).astype(np.uint8), np.full(2_000, -1))
    compiled.clear(0)
    told = compiled.describe(0)
    test.failing.learned_calls, test.failing.learned_bad = told["learned_calls"], told["learned_failures"]  # type: ignore[assignment]
    for _ in range(200):
        failed = rng.random() < 0.05
        compiled.observe(0, failed, -1)
        test.observe(1, failed, 0)
        assert list(test.failing.sums) == compiled.describe(0)["failing_mnat"]


def test_slow_calls_without_errors_are_found() -> None:
    """A gray failure has its own test."""
    test = Cusum()
    assert [test.observe(1, 0, 1) for _ in range(5)][-1] is Cause.SLOW


def test_one_huge_report_moves_the_test_by_a_bounded_step() -> None:
    """A hostile or stale sum of 10^9 good calls must not hide what follows, nor overflow anything."""
    test = Cusum()
    test.observe(1_000_000_000, 10_000_000, 0)
    _, failed, _, _ = native.bank(FAILURE_FLOOR, FALSE_ALARM)
    assert all(each <= BATCH_MAX * up for each, up in zip(test.failing.sums, failed, strict=True))
    assert test.window_calls <= BATCH_MAX


def test_a_batch_accuses_like_its_calls_one_by_one_successes_first() -> None:
    """The clever sum against the dumb loop, in the order that the batch assumes."""
    batch, single = Cusum(), Cusum()
    batch.observe(20, 2, 0)
    for failed in [0] * 18 + [1] * 2:
        single.observe(1, failed, 0)
    assert batch.failing.sums == pytest.approx(single.failing.sums)


def test_a_base_rate_is_learned_and_an_incident_is_not() -> None:
    """A target whose 3 % are normal stops being suspected of them; 40 % teach nothing."""
    rng, test = random.Random(1), Cusum()
    for _ in range(20_000):
        if test.observe(1, rng.random() < 0.03, 0) is not None:
            test.reset()
    learned = test.failing.base
    assert 0.02 < learned < 0.04
    for _ in range(5_000):
        if test.observe(1, rng.random() < 0.4, 0) is not None:
            test.reset()
    assert test.failing.base == pytest.approx(learned, rel=0.05)


def test_an_unknown_target_is_not_clean() -> None:
    """Nobody may lean on an endpoint of which nothing is known, or nothing since it was forgotten."""
    detector, target = Detector(), Target("s", "e")
    assert not detector.clean(target)
    detector.observe(target, 1, 0, 0)
    assert detector.clean(target)
    detector.forget(target)
    assert not detector.clean(target)


def test_the_evidence_of_a_verdict_is_a_copy() -> None:
    """What led to a verdict is handed out, and the running test begins again without touching it."""
    detector, target = Detector(), Target("s", "e")
    found = detector.observe(target, 10, 10, 0)
    assert found is not None
    cause, evidence = found
    assert cause is Cause.ERRORS
    assert (evidence.calls, evidence.failures) == (10, 10)
    assert max(evidence.failing.sums) > 0
    assert pytest.approx(13.8155, abs=1e-3) == detect.THRESHOLD_NATS
