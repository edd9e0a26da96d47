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


@given(shapes, values, values)
@settings(max_examples=100, deadline=None)
def test_merged_buckets_equal_the_packages(shape: tuple[int, int, int], mine: list[int], others: list[int]) -> None:
    """Two histograms of one shape add up as the package's do."""
    ours, other, theirs, their_other = Histogram(*shape), Histogram(*shape), oracle(shape), oracle(shape)
    for value in mine:
        assert ours.record(value) == theirs.record_value(value)
    for value in others:
        assert other.record_times(value, 3) == their_other.record_value(value, 3)
    ours.add(other)
    theirs.add(their_other)
    assert ours.counts.tolist() == list(theirs.counts)
    assert ours.total == theirs.total_count
    assert other.counts.tolist() == list(their_other.counts)


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


@pytest.mark.parametrize("value", [0, 1, 999_423, (1 << 30) - 1, 1 << 30, (1 << 41) - 1])
def test_an_int_of_any_size_finds_its_bucket(value: int) -> None:
    """Small ones are read without a call, larger ones are not; np.int64 is an int, too."""
    histogram = Histogram(1, 1 << 40, 3)
    for given_value in (value, np.int64(value)):
        assert histogram.record(given_value) is True  # type: ignore[arg-type]
    low, high = histogram.bucket(value)
    assert low <= value <= high
    assert histogram.count_at(value) == histogram.count_between(low, high) == 2


@pytest.mark.parametrize("value", [-1, -(1 << 30), 1 << 50, 1 << 80, -(1 << 80)])
def test_out_of_range_is_counted_apart(value: int) -> None:
    """Such a value changes no bucket."""
    histogram = Histogram(1, 1_000_000, 3)
    assert histogram.record(value) is False
    assert histogram.record_corrected(value, 5) is False
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
    assert (two.total, two.maximum, two.out_of_range, two.quantile(0)) == (2, 501, 1, 10)
    assert (one.total, one.maximum, one.out_of_range, sum(one.counts.tolist())) == (0, 0, 0, 0)


def test_other_shapes_do_not_add_up() -> None:
    """The message names both shapes; nothing was added and nothing was moved."""
    one, two = Histogram(1, 10_000, 2), Histogram(1, 10_001, 2)
    two.record(3)
    for join in (one.add, two.move_to):
        with pytest.raises(ValueError, match=r"shape \(1, 1000[01], 2\), not \(1, 1000[01], 2\)"):
            join(two if join == one.add else one)
        with pytest.raises(TypeError):
            join(None)  # type: ignore[arg-type]
    assert (one.total, two.total) == (0, 1)


@given(values, values)
def test_an_interval_holds_what_was_recorded_since_the_last(first: list[int], second: list[int]) -> None:
    """Each snapshot-and-reset gives its own values, out of range or not, and leaves nothing; a snapshot leaves all."""
    histogram = Histogram(1, 1 << 40, 2)
    for recorded in (first, second):
        expected = Histogram(1, 1 << 40, 2)
        for value in recorded:
            histogram.record(value)
            expected.record(value)
        for taken in (histogram.snapshot(), histogram.snapshot_and_reset()):
            assert taken.counts.tolist() == expected.counts.tolist()
            assert taken.out_of_range == expected.out_of_range
        assert (histogram.total, histogram.out_of_range) == (0, 0)


def test_moving_adds_to_what_was_there() -> None:
    """Into itself it changes nothing."""
    one, two = Histogram(1, 10_000, 2), Histogram(1, 10_000, 2)
    for histogram in (one, two):
        histogram.record_times(7, 5)
        histogram.record(-1)
    one.move_to(two)
    two.move_to(two)
    assert (one.total, one.out_of_range) == (0, 0)
    assert (two.total, two.out_of_range, two.count_at(7)) == (10, 2, 10)


def test_counts_of_elsewhere_add_up() -> None:
    """A buffer of int64, one count a bucket, as another process, a guard or a file has them."""
    one, two = Histogram(1, 10_000, 2), Histogram(1, 10_000, 2)
    one.record_times(9_000, 4)
    two.add_counts(one.counts)
    two.add_counts(np.asarray(one.counts) * 2)
    assert two.count_at(9_000) == 12


def test_wrong_counts_are_refused() -> None:
    """Another length, another type or a negative one: the message says so, and nothing was added."""
    histogram = Histogram(1, 10_000, 2)
    counts = np.ones(len(histogram.counts), dtype=np.int64)
    with pytest.raises(ValueError, match=f"counts must be {len(counts)}, one a bucket, not {len(counts) - 1}"):
        histogram.add_counts(counts[1:].copy())
    with pytest.raises(TypeError, match="counts must hold int64"):
        histogram.add_counts(counts.astype(np.float64))
    counts[5] = -2
    with pytest.raises(ValueError, match="must not be negative: number 5 is -2"):
        histogram.add_counts(counts)
    assert histogram.total == 0


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
    calls = (
        histogram.record,
        histogram.quantile,
        histogram.count_at,
        histogram.bucket,
        lambda value: histogram.record_corrected(5, value),
        lambda value: histogram.record_times(5, value),
        lambda value: histogram.count_between(value, 5),
    )
    for call in calls:
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
