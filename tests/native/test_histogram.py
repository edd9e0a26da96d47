"""The recorder against the `hdrhistogram` package, bucket for bucket."""

from typing import Any

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from controlplane._native.histogram import Histogram

SHAPES = [(1, 3_600_000_000, 3), (1000, 60_000_000_000, 2), (7, 1_000_000, 4), (1, 2, 1), (1024, 1 << 40, 1)]
shapes = st.one_of(
    st.sampled_from(SHAPES),
    st.tuples(
        st.integers(min_value=1, max_value=100_000),
        st.integers(min_value=200_000, max_value=1 << 45),
        st.integers(min_value=1, max_value=3),
    ),
)
values = st.lists(st.integers(min_value=0, max_value=1 << 46), max_size=40)


def oracle(shape: tuple[int, int, int]) -> HdrHistogram:
    """The package's histogram of that shape, where its floating-point logarithm rounds as the true one does."""
    made = HdrHistogram(*shape)
    assume(made.unit_magnitude == shape[0].bit_length() - 1)  # log(2**k)/log(2) is not always k in floating point
    return made


@given(shapes, values, st.integers(min_value=0, max_value=1000))
@settings(max_examples=150, deadline=None)
def test_every_bucket_equals_the_packages(shape: tuple[int, int, int], recorded: list[int], permille: int) -> None:
    """Counts, number of buckets, total and quantiles."""
    ours, theirs = Histogram(*shape), oracle(shape)
    for value in recorded:
        assert bool(ours.record(value)) == theirs.record_value(value)
    assert ours.counts.tolist() == list(theirs.counts)
    assert ours.total == theirs.total_count
    assert ours.total + ours.out_of_range == len(recorded)
    assert ours.quantile(permille) == (theirs.get_value_at_percentile(permille / 10) if ours.total else 0)


@given(st.integers(min_value=0, max_value=1 << 20), st.integers(min_value=-1, max_value=2_000))
@settings(max_examples=150, deadline=None)
def test_corrected_values_equal_the_packages(value: int, interval: int) -> None:
    """The calls that a stall hid are counted as the package counts them, one by one."""
    assume(interval <= 0 or value // interval < 20_000)
    ours, theirs = Histogram(1, 1 << 19, 2), HdrHistogram(1, 1 << 19, 2)
    assert bool(ours.record_corrected(value, interval)) == theirs.record_corrected_value(value, interval)
    assert ours.counts.tolist() == list(theirs.counts)
    assert ours.total == theirs.total_count


def test_a_hostile_correction_ends() -> None:
    """The cost is bounded by the number of buckets, not by value / interval."""
    histogram = Histogram(1, (1 << 62) - 1, 3)
    assert histogram.record_corrected((1 << 62) - 1, 1) == 1
    assert histogram.total == (1 << 62) - 1


def test_maximum_is_exact() -> None:
    """The largest value itself, not its bucket."""
    histogram = Histogram(1000, 60_000_000_000, 2)
    assert histogram.maximum == 0
    for value in (5, 123_456_789, 77):
        histogram.record(value)
    assert histogram.maximum == 123_456_789


@pytest.mark.parametrize("value", [-1, 1 << 50, 1 << 80, -(1 << 80)])
def test_out_of_range_is_counted_apart(value: int) -> None:
    """Such a value changes no bucket."""
    histogram = Histogram(1, 1_000_000, 3)
    assert histogram.record(value) == 0
    assert histogram.record_corrected(value, 5) == 0
    assert (histogram.total, histogram.out_of_range, histogram.maximum) == (0, 2, 0)
    assert not any(histogram.counts.tolist())


def test_histograms_of_one_shape_add_up() -> None:
    """Counts, totals and maxima; reset empties only the one."""
    one, two = Histogram(1, 10_000, 2), Histogram(1, 10_000, 2)
    one.record(10)
    one.record(-1)
    two.record(500)
    two.add(one)
    one.reset()
    assert (two.total, two.maximum, two.out_of_range, two.quantile(0)) == (2, 500, 1, 10)
    assert (one.total, one.maximum, one.out_of_range, sum(one.counts.tolist())) == (0, 0, 0, 0)


def test_other_shapes_do_not_add_up() -> None:
    """The message names both shapes; nothing was added."""
    one, two = Histogram(1, 10_000, 2), Histogram(1, 10_001, 2)
    two.record(3)
    with pytest.raises(ValueError, match=r"shape \(1, 10000, 2\), not \(1, 10001, 2\)"):
        one.add(two)
    with pytest.raises(TypeError):
        one.add(None)  # type: ignore[arg-type]
    assert one.total == 0


@pytest.mark.parametrize(
    ("shape", "name"),
    [
        ((0, 10, 2), "lowest"),
        ((5, 9, 2), "highest"),
        ((1, 10, 0), "digits"),
        ((1, 10, 6), "digits"),
        ((1, 1 << 62, 2), "highest"),
    ],
)
def test_a_bad_shape_is_refused_by_name(shape: tuple[int, int, int], name: str) -> None:
    """With its bounds."""
    with pytest.raises(ValueError, match=rf"^{name} must be between \d+ and \d+, not \d+$"):
        Histogram(*shape)


def test_buckets_beyond_63_bits_are_refused() -> None:
    """Where the finest bucket is so wide that two doublings leave the word."""
    with pytest.raises(ValueError, match="lowest must be smaller"):
        Histogram(1 << 58, 1 << 60, 5)


@pytest.mark.parametrize("bad", [1.9, True, "3", None])
def test_what_is_no_int_is_refused(bad: Any) -> None:
    """Everywhere a number is asked for."""
    histogram = Histogram(1, 10_000, 2)
    for call in (histogram.record, histogram.quantile, lambda value: histogram.record_corrected(5, value)):
        with pytest.raises(TypeError, match="must be an int"):
            call(bad)
    for shape in ((bad, 10, 2), (1, bad, 2), (1, 10, bad)):
        with pytest.raises(TypeError, match="must be an int"):
            Histogram(*shape)
    assert histogram.total == 0


def test_counts_are_a_live_read_only_view() -> None:
    """numpy reads them without a copy, and they outlive the histogram."""
    histogram = Histogram(1, 10_000, 2)
    counts = np.asarray(histogram.counts)
    histogram.record(np.int64(3))  # type: ignore[arg-type]
    del histogram
    assert counts.sum() == 1
    assert not counts.flags.writeable
