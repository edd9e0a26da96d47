"""Percentile tables against the `hdrhistogram` package's own."""

import io

import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.adapters.histogram import Histogram, percentile_table

SHAPE = (1, 1_000_000, 2)


def both(values: list[int]) -> tuple[Histogram, HdrHistogram]:
    ours, theirs = Histogram(*SHAPE), HdrHistogram(*SHAPE)
    for value in values:
        assert ours.record(value) == theirs.record_value(value)
    return ours, theirs


@given(
    st.lists(st.integers(min_value=0, max_value=1_000_000), max_size=30),
    st.integers(min_value=1, max_value=10),
    st.booleans(),
)
@settings(deadline=None, max_examples=40)
def test_the_table_is_the_packages(values: list[int], ticks: int, csv: bool) -> None:
    """Line by line, in both forms."""
    ours, theirs = both(values)
    out = io.BytesIO()
    theirs.output_percentile_distribution(out, 1, ticks, csv)
    assert percentile_table(ours, ticks=ticks, csv=csv) == out.getvalue().decode()


def test_the_unit_divides_every_figure() -> None:
    """Also the deviation, which the package leaves as it was."""
    ours, _ = both([100, 300, 100_000])
    table = percentile_table(ours, unit=1_000)
    assert f"StdDeviation   = {ours.deviation / 1000:12.2f}]" in table
    assert f"#[Mean    = {ours.mean / 1000:12.2f}," in table
    assert f"#[Max     = {ours.maximum / 1000:12.2f}," in table
    assert table.splitlines()[2].split()[0] == "0.10"


@pytest.mark.parametrize("unit", [0, -1, float("inf"), float("nan")])
def test_a_unit_must_divide(unit: float) -> None:
    """Named, with what it was."""
    with pytest.raises(ValueError, match=f"unit must be above 0, not {unit}"):
        percentile_table(Histogram(*SHAPE), unit=unit)


def test_a_table_has_rows() -> None:
    """At least one for every halving."""
    with pytest.raises(ValueError, match="ticks must be at least 1, not 0"):
        percentile_table(Histogram(*SHAPE), ticks=0)
