"""The sequential test against slow oracles: the exact hypergeometric, its error bound, and what it needs to decide."""

import math
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.decide.change.sequential import (
    THETAS,
    WINDOW_NATS_MAX,
    Evidence,
    Stratum,
    increment,
    threshold,
    worse,
)


def exact(one: Stratum, theta: Fraction) -> Fraction:
    """The likelihood ratio given the margins, by counting every way the bad calls could have fallen."""
    bad = one.new_bad + one.old_bad
    ways = [
        (k, math.comb(one.new_calls, k) * math.comb(one.old_calls, bad - k))
        for k in range(max(0, bad - one.old_calls), min(one.new_calls, bad) + 1)
    ]
    total = sum(count for _, count in ways)
    mean = sum((Fraction(count, total) * theta**k for k, count in ways), Fraction(0))
    return theta**one.new_bad / mean


strata = st.builds(
    lambda new, old, a, b: Stratum(new, min(new, a), old, min(old, b)),
    st.integers(1, 25),
    st.integers(1, 25),
    st.integers(0, 25),
    st.integers(0, 25),
)


@given(strata, st.sampled_from([2, 4, 16]))
def test_it_never_claims_more_than_the_exact_ratio(one: Stratum, theta: int) -> None:
    """The closed form is a lower bound of the exact conditional likelihood ratio (Hoeffding)."""
    assert math.exp(increment(one, theta)) <= float(exact(one, Fraction(theta))) * (1 + 1e-9)


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 20), st.sampled_from([2, 4, 16]))
def test_a_window_is_a_fair_bet_at_best_when_both_are_alike(new: int, old: int, bad: int, theta: int) -> None:
    """Its mean over all ways in which the bad calls fall is at most one, exactly counted: a supermartingale."""
    bad = min(bad, new + old)
    total = math.comb(new + old, bad)
    mean = 0.0
    for k in range(max(0, bad - old), min(new, bad) + 1):
        chance = math.comb(new, k) * math.comb(old, bad - k) / total
        mean += chance * math.exp(increment(Stratum(new, k, old, bad - k), theta))
    assert mean <= 1 + 1e-9


def drawn(draws: Random, calls: int, chance: float) -> int:
    return sum(draws.random() < chance for _ in range(calls))


def test_alike_versions_pass_a_loose_threshold_no_more_often_than_it_says() -> None:
    """2,000 runs of 60 windows whose common chance jumps about: 1/alpha = 20 is passed by at most 5 % of them."""
    draws = Random(7)
    passed = 0
    for _ in range(2000):
        sums, top = Evidence(), 0.0
        for _ in range(60):
            chance = draws.choice((0.0, 0.01, 0.05, 0.4))
            sums.add([Stratum(20, drawn(draws, 20, chance), 40, drawn(draws, 40, chance))])
            top = max(top, sums.value)
        passed += top >= math.log(20)
    assert passed <= 100


@pytest.mark.parametrize(("bad", "windows_max"), [(0.03, 20), (0.05, 10), (0.2, 4), (1.0, 4)])
def test_a_worse_version_is_found_within_windows(bad: float, windows_max: int) -> None:
    """100 calls a window to the new version, 300 to the old one, of which 0.2 % fail: the median of 41 runs."""
    taken = []
    for seed in range(41):
        draws, sums, window = Random(seed), Evidence(), 0
        while not sums.rejects(1) and window < 200:
            window += 1
            sums.add([Stratum(100, drawn(draws, 100, bad), 300, drawn(draws, 300, 0.002))])
        taken.append(window)
    assert sorted(taken)[20] <= windows_max


def test_no_single_window_decides() -> None:
    """However much fails at once: calls of one moment are not independent."""
    sums = Evidence()
    sums.add([Stratum(10_000, 10_000, 10_000, 0)])
    assert sums.value <= WINDOW_NATS_MAX
    assert not sums.rejects(1)


def test_what_has_no_counterpart_says_nothing() -> None:
    """A zone in which only the new version runs may be a bad zone."""
    sums = Evidence()
    for _ in range(100):
        sums.add([Stratum(100, 50, 0, 0), Stratum(0, 0, 100, 0)])
    assert sums.new_calls == 0
    assert not sums.rejects(1)


def test_a_difference_that_does_not_matter_is_left_alone() -> None:
    """Half a percent more, however sure; or a third more where much fails anyway."""
    assert not worse(0.006, 0.001)
    assert not worse(0.4, 0.3)
    assert worse(0.03, 0.01)


def test_the_tests_of_one_deploy_share_the_error() -> None:
    """The chances of all tests, one after the other, and of both statistics, sum up to alpha."""
    assert 2 * sum(math.exp(-threshold(k)) for k in range(1, 100_000)) <= 1e-6
    assert len(THETAS) == 3
