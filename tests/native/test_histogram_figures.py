"""What a histogram says of its values, against the `hdrhistogram` package and against the sorted values."""

import math
from typing import Any

import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane._native.histogram import Histogram

SHAPES = [(1, 1_000_000, 3), (1_000, 1_000_000_000, 2), (7, 1_000_000, 2), (1, 1 << 40, 1)]
shapes = st.sampled_from(SHAPES)
values = st.lists(st.integers(min_value=0, max_value=1_000_000), min_size=1, max_size=60)
percents = st.floats(min_value=0, max_value=100)


def filled(shape: tuple[int, int, int], recorded: list[int]) -> Histogram:
    histogram = Histogram(*shape)
    for value in recorded:
        assert histogram.record(value)
    return histogram


@given(shapes, values, percents)
@settings(max_examples=60, deadline=None)
def test_the_figures_equal_the_packages(shape: tuple[int, int, int], recorded: list[int], percent: float) -> None:
    """Mean, deviation, minimum, maximum, percentiles, count at a value."""
    ours, theirs = filled(shape, recorded), HdrHistogram(*shape)
    for value in recorded:
        theirs.record_value(value)
    assert ours.mean == theirs.get_mean_value()
    assert ours.deviation == pytest.approx(theirs.get_stddev(), rel=1e-12)
    assert ours.minimum == theirs.get_min_value()
    if any(recorded):  # with nothing but zeros the package says 0, and not the end of their bucket
        assert ours.maximum == theirs.get_max_value()
    assert ours.percentile(percent) == theirs.get_value_at_percentile(percent)
    assert ours.count_at(recorded[0]) == theirs.get_count_at_value(recorded[0])


@given(shapes, values, percents)
@settings(max_examples=150, deadline=None)
def test_every_figure_is_right_to_its_bucket(shape: tuple[int, int, int], recorded: list[int], percent: float) -> None:
    """The dumb way: sort the values and count."""
    histogram = filled(shape, recorded)
    ascending = sorted(recorded)
    rank = min(max(math.floor(percent * len(recorded) / 100 + 0.5), 1), len(recorded))
    low, high = histogram.bucket(ascending[rank - 1])
    assert histogram.percentile(percent) == (high if percent else low)
    assert histogram.minimum == histogram.bucket(ascending[0])[0]
    assert histogram.maximum == histogram.bucket(ascending[-1])[1]
    width = max(shape[0], ascending[-1] / 10 ** shape[2])
    assert histogram.mean == pytest.approx(sum(recorded) / len(recorded), abs=width)


@given(shapes, values, st.integers(min_value=-5, max_value=1 << 45), st.integers(min_value=-5, max_value=1 << 45))
def test_counts_between_values_are_whole_buckets(
    shape: tuple[int, int, int], recorded: list[int], low: int, high: int
) -> None:
    """Both ends included, and beyond the last bucket nothing more."""
    histogram = filled(shape, recorded)
    first = histogram.bucket(max(low, 0))[0] if low < shape[1] else low
    last = histogram.bucket(high)[1] if 0 <= high < shape[1] else high
    expected = sum(first <= value <= last for value in recorded)
    assert histogram.count_between(low, high) == expected
    below = sum(value <= last for value in recorded)
    assert histogram.percent_at_or_below(high) == 100.0 * below / len(recorded)


@given(shapes, st.integers(min_value=0, max_value=1_000_000_000))
def test_a_bucket_is_as_narrow_as_promised(shape: tuple[int, int, int], value: int) -> None:
    """To within the lowest value, or one part in ten to the digits."""
    histogram = Histogram(*shape)
    if value > shape[1]:
        value = shape[1]
    low, high = histogram.bucket(value)
    assert low <= value <= high
    assert high - low < max(shape[0], value / 10 ** shape[2])


def test_without_a_value_figures_are_zero() -> None:
    """And all values, of which there are none, are at or below anything."""
    empty = Histogram(1, 10_000, 2)
    assert (empty.total, empty.minimum, empty.maximum, empty.mean, empty.deviation) == (0, 0, 0, 0.0, 0.0)
    assert (empty.percentile(99.9), empty.quantile(500), empty.count_between(0, 10_000)) == (0, 0, 0)
    assert empty.percent_at_or_below(5) == 100.0


def test_rare_values_are_found_at_their_percentile() -> None:
    """One in a hundred thousand is what p99.9999 shows and p99.99 does not."""
    histogram = Histogram(1, 1_000_000, 3)
    histogram.record_times(100, 99_999)
    histogram.record(500_000)
    assert histogram.percentile(99.99) == 100
    assert histogram.percentile(99.9999) == histogram.maximum == histogram.bucket(500_000)[1]


def test_large_counts_keep_the_figures_right() -> None:
    """Sums leave 64 bits, and ranks leave what a float holds exactly."""
    histogram = Histogram(1, (1 << 62) - 1, 3)
    histogram.record_times(1 << 61, 1 << 61)
    histogram.record_times(3, 1 << 60)
    middle = sum(histogram.bucket(1 << 61)) / 2
    assert histogram.mean == pytest.approx(middle * 2 / 3)
    assert histogram.deviation == pytest.approx(middle * math.sqrt(2) / 3)
    assert histogram.percentile(100) == histogram.quantile(1000) == histogram.maximum
    assert histogram.percentile(33) == 3


@pytest.mark.parametrize("bad", [-0.1, 100.1, math.nan, math.inf, 1_000])
def test_no_percentile_outside_of_a_hundred(bad: float) -> None:
    """The package takes them for 100 or 0; here they are a mistake."""
    with pytest.raises(ValueError, match="percent must be between 0 and 100, not"):
        Histogram(1, 10, 1).percentile(bad)


@pytest.mark.parametrize("bad", ["99", True, None, [99]])
def test_a_percentile_is_a_number(bad: Any) -> None:
    """Neither a text nor a bool."""
    with pytest.raises(TypeError):
        Histogram(1, 10, 1).percentile(bad)
