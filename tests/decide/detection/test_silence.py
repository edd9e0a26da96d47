"""Silence as evidence: what is overdue, missing or stopped, at one rate of false alarms."""

import math

import numpy as np
import pytest

from controlplane.decide.detection.silence import (
    Arrivals,
    heartbeat_nats,
    silent_nats,
)

SECOND = 1_000_000_000


def test_three_missing_heartbeats_are_silence() -> None:
    """With one beat in a hundred lost on a good day, the third one missing decides."""
    assert heartbeat_nats(3 * SECOND - 1, SECOND) < silent_nats(1e-6) <= heartbeat_nats(3 * SECOND, SECOND) + 1e-9


@pytest.mark.parametrize("rate_per_s", [1 / 60, 100_000])
def test_traffic_that_stops_is_found_at_any_rate(rate_per_s: float) -> None:
    """After about 14 mean gaps at a dial of 1e-6, be the gap a minute or ten microseconds."""
    rng, arrivals = np.random.default_rng(1), Arrivals()
    now = 0
    for gap in rng.exponential(SECOND / rate_per_s, 500):
        now += int(gap)
        arrivals.arrived(now, 1e-6)
    at = arrivals.silent_at_ns(1e-6)
    assert at is not None
    mean_gaps = (at - now) * rate_per_s / SECOND
    assert 8 < mean_gaps < 40
    assert arrivals.nats(at) >= silent_nats(1e-6) > arrivals.nats(now + (at - now) // 2)


@pytest.mark.parametrize("bursts", [False, True])
def test_false_alarms_of_silence_keep_to_the_dial(bursts: bool) -> None:
    """Of the gaps of a Poisson stream, and of one in bursts, no more than the dial's share would have been verdicts."""
    rng, arrivals, dial = np.random.default_rng(2), Arrivals(), 1e-3
    mean = np.where(rng.random(60_000) < 0.2, 5.0, 0.2) if bursts else np.ones(60_000)
    now = alarms = 0
    for gap in rng.exponential(mean * SECOND):
        at = arrivals.silent_at_ns(dial)
        now += int(gap)
        alarms += at is not None and now >= at
        arrivals.arrived(now, dial)
    assert alarms <= 2.5 * dial * 60_000, "the rate is learned from 64 gaps: half as much again and noise"


def test_an_outage_does_not_teach_that_silence_is_normal() -> None:
    """A gap of a day counts for what would have been a verdict, no more."""
    arrivals = Arrivals()
    for second in range(200):
        arrivals.arrived(second * SECOND, 1e-6)
    before = arrivals.rate_per_ns()
    arrivals.arrived(86_400 * SECOND, 1e-6)
    assert arrivals.rate_per_ns() > before / 8
    assert math.isclose(before * SECOND, 1.0, rel_tol=0.01)
