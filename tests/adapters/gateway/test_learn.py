"""What is normal, learned: followed slowly, never from too little, and not from an incident."""

import random

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given
from hypothesis import strategies as st

from controlplane._native.guard import ERROR, Guard, Permit, now_ns, set_test_clock
from controlplane.adapters.gateway.guards import GuardSet
from controlplane.adapters.gateway.learn import (
    FailureShare,
    LatencyWindow,
    learned_p99_ns,
    slow_ns,
    stall_ns,
    upper_bounds,
)
from controlplane.adapters.gateway.service import ServiceGuard
from controlplane.model.policy import GuardPolicy
from controlplane.model.topology import Endpoint, Service, Topology
from controlplane.model.unit import MILLISECOND, SECOND

START = 1_000 * SECOND


@pytest.fixture
def service() -> object:
    """A guarded service of two endpoints under a clock that stands still."""
    set_test_clock(START)
    declared = Service(name="orders", endpoints=tuple(Endpoint(name=f"o{n}", url=f"http://h:{n}") for n in (1, 2)))
    yield GuardSet(Topology(services=(declared,)), {}).services["orders"]
    set_test_clock(-1)


def calls(service: ServiceGuard, count: int, latency_ns: int, *, fails: bool = False) -> None:
    for _ in range(count):
        permit = service.guard.try_acquire()
        assert isinstance(permit, Permit)
        set_test_clock(now_ns() + latency_ns)
        if fails:
            service.fail(permit, ERROR)
        else:
            service.succeed(permit)


def second_passes() -> None:
    set_test_clock(now_ns() + SECOND)


def test_before_anything_is_learned_nothing_is_slow() -> None:
    """No slow evidence, and a stall is a time-out."""
    policy = GuardPolicy(attempt_timeout_s=7.0)
    assert slow_ns(policy, 0) == 0
    assert stall_ns(policy, 0) == 7 * SECOND


def test_thresholds_follow_the_learned_p99() -> None:
    """Three and four times it, never under the floor, and a stall never later than the time-out."""
    policy = GuardPolicy()
    assert (slow_ns(policy, 100 * MILLISECOND), stall_ns(policy, 100 * MILLISECOND)) == (300_000_000, 400_000_000)
    assert (slow_ns(policy, MILLISECOND), stall_ns(policy, MILLISECOND)) == (200_000_000, 200_000_000)
    assert stall_ns(policy, 60 * SECOND) == 10 * SECOND


def test_configured_thresholds_are_not_learned() -> None:
    """What the policy says is what holds."""
    policy = GuardPolicy(slow_s=0.5, stall_s=0.7)
    assert (slow_ns(policy, SECOND), stall_ns(policy, SECOND)) == (500_000_000, 700_000_000)


@given(st.integers(1, 10**12), st.integers(1, 10**12))
def test_one_window_moves_the_p99_by_a_fifth_at_most(learned: int, window: int) -> None:
    """However extreme the window: up by at most a fifth, down by at most a fifth, never to zero."""
    moved = learned_p99_ns(learned, window)
    assert min(learned, 0.8 * learned - 1) <= moved <= 1.2 * learned + 1
    assert moved >= 1


@given(st.lists(st.integers(1_000, 10**10), min_size=50, max_size=400), st.integers(2, 3))
def test_the_window_p99_is_that_of_the_reference_histogram(values: list[int], digits: int) -> None:
    """Bucket for bucket the layout of HdrHistogram, so the quantile agrees with its own."""
    reference = HdrHistogram(1_000, 60 * SECOND, digits)
    for value in values:
        reference.record_value(value)
    counts = np.array([reference.get_count_at_index(index) for index in range(reference.counts_len)], dtype=np.int64)
    live = np.zeros_like(counts)
    window = LatencyWindow(lambda: (live.data, 1_000, 60 * SECOND, digits))
    live[:] = counts
    got = window.take()
    assert got is not None
    rank = -(-len(values) * 99 // 100)
    exact = sorted(values)[rank - 1]
    assert exact <= got <= reference.get_highest_equivalent_value(exact)


def test_the_layout_is_the_native_histograms() -> None:
    """The guard's own quantile and ours agree on the guard's own counts."""
    guard = Guard()
    window = LatencyWindow(guard.latency_counts)
    source = random.Random(1)
    set_test_clock(START)
    try:
        for _ in range(500):
            permit = guard.try_acquire()
            assert isinstance(permit, Permit)
            set_test_clock(now_ns() + source.randrange(1_000, 10 * SECOND))
            permit.success()
    finally:
        set_test_clock(-1)
    assert window.take() == guard.latency_quantile_ns(990)
    counts, lowest_ns, _, digits = guard.latency_counts()
    assert (np.diff(upper_bounds(len(counts), lowest_ns, digits)) > 0).all()


def test_a_window_needs_fifty_calls(service: ServiceGuard) -> None:
    """Forty-nine teach nothing, and are kept for the next look."""
    calls(service, 49, MILLISECOND)
    second_passes()
    service.learn(now_ns())
    assert service.p99_ns == 0
    calls(service, 1, MILLISECOND)
    second_passes()
    service.learn(now_ns())
    assert service.p99_ns == pytest.approx(MILLISECOND, rel=0.02)
    assert service.slow_ns == service.guard.describe()["slow_ns"] == 200 * MILLISECOND
    assert service.stall_s == 0.2


def test_learning_happens_at_most_once_a_second(service: ServiceGuard) -> None:
    """Traffic itself triggers it: the first call after a second has passed."""
    calls(service, 200, 10_000)
    assert service.p99_ns == 0
    second_passes()
    calls(service, 1, 10_000)
    assert service.p99_ns > 0


def test_an_incident_does_not_become_normal(service: ServiceGuard) -> None:
    """While evidence stands against an endpoint, windows are thrown away, not kept for later."""
    calls(service, 100, MILLISECOND)
    second_passes()
    service.learn(now_ns())
    before = service.p99_ns
    while service.guard.endpoint(0)["evidence_mnat"] * 3 < 13_800:
        calls(service, 1, MILLISECOND, fails=True)
    calls(service, 1, MILLISECOND)
    assert service.suspect(now_ns())
    for _ in range(5):
        permit = service.guard.try_acquire()
        assert isinstance(permit, Permit)
        set_test_clock(now_ns() + SECOND)
        permit.cancel()
        service.learn(now_ns())
    assert service.p99_ns == before


def test_a_disturbed_service_teaches_nothing(service: ServiceGuard) -> None:
    """An order in force is an incident, however healthy the answers look; some time after it, learning resumes."""
    service.disturb(now_ns() + 30 * SECOND)
    calls(service, 100, MILLISECOND)
    second_passes()
    service.learn(now_ns())
    assert service.p99_ns == 0
    service.calm(now_ns())
    set_test_clock(now_ns() + 11 * SECOND)
    calls(service, 1, MILLISECOND)
    assert service.p99_ns == 0  # what was seen during the disturbance is gone
    calls(service, 100, MILLISECOND)
    second_passes()
    service.learn(now_ns())
    assert service.p99_ns > 0


def test_slow_windows_raise_the_threshold_only_slowly(service: ServiceGuard) -> None:
    """Five tenfold slower windows raise the learned p99 by a factor of two and a half, not ten."""
    calls(service, 100, 100_000)
    second_passes()
    service.learn(now_ns())
    before = service.p99_ns
    for _ in range(5):
        calls(service, 60, MILLISECOND)
        second_passes()
        service.learn(now_ns())
    assert before < service.p99_ns <= 1.2**5 * before + 5


def test_the_share_of_failures_that_is_normal_is_learned(service: ServiceGuard) -> None:
    """Traffic that always fails in 3 % of its calls teaches the guard so, to a step of its table."""
    rng = random.Random(4)
    for _ in range(60):
        for _ in range(100):
            calls(service, 1, MILLISECOND, fails=rng.random() < 0.03)
        second_passes()
        calls(service, 1, MILLISECOND)
    assert 22_000 <= service.guard.describe()["failure_ppm"] <= 46_000


def test_of_one_window_few_failures_are_believed() -> None:
    """A window full of failures, should it be taken, moves the share by two failures and twice the expected."""
    ended = [0, 0]
    failing = FailureShare(lambda: (ended[0], ended[1]))
    assert failing.share == pytest.approx(0.01)
    ended[:] = [1_000, 1_000]
    failing.take()
    assert failing.share == pytest.approx((2 + 20 + 2.56) / 1_256)
    ended[:] = [50_000, 50_000]
    failing.discard()
    failing.take()
    assert failing.share == pytest.approx((2 + 20 + 2.56) / 1_256)
