"""Interval logs, both ways with the `hdrhistogram` package's own reader and writer."""

import io
import math
from pathlib import Path

import pytest
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader, HistogramLogWriter
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.adapters.histogram import Histogram, Interval, LogWriter, encode, read_log

SHAPE = (1_000, 60_000_000_000, 2)
START_S = 1_700_000_000.25
intervals = st.lists(
    st.tuples(
        st.lists(st.integers(min_value=0, max_value=60_000_000_000), max_size=10),
        st.sampled_from([None, "orders", 'Ä=b#"c']),
    ),
    max_size=5,
)


def filled(values: list[int]) -> Histogram:
    histogram = Histogram(*SHAPE)
    for value in values:
        assert histogram.record(value)
    return histogram


def written(recorded: list[tuple[list[int], str | None]]) -> str:
    """A log of one interval of ten seconds after the other."""
    out = io.StringIO()
    log = LogWriter(out, start_s=START_S, comment="made by a test\nof two lines")
    for number, (values, tag) in enumerate(recorded):
        log.write(filled(values), start_s=START_S + 10 * number, end_s=START_S + 10 * number + 10, tag=tag)
    return out.getvalue()


def read(text: str) -> list[Interval]:
    return list(read_log(text.splitlines()))


@given(intervals)
@settings(deadline=None)
def test_what_is_written_is_read(recorded: list[tuple[list[int], str | None]]) -> None:
    """Times to the microsecond, tags, and every bucket."""
    found = read(written(recorded))
    assert [(interval.tag, interval.histogram.counts) for interval in found] == [
        (tag, filled(values).counts) for values, tag in recorded
    ]
    for number, interval in enumerate(found):
        assert interval.start_s == pytest.approx(START_S + 10 * number, abs=2e-6)
        assert interval.end_s == pytest.approx(START_S + 10 * number + 10, abs=2e-6)


def test_the_package_reads_our_log(tmp_path: Path) -> None:
    """Start, tags, absolute times in milliseconds, and counts."""
    path = tmp_path / "some.hlog"
    path.write_text(written([([5_000, 7_000_000], "orders"), ([1_000_000], None), ([], "orders")]))
    reader = HistogramLogReader(str(path), HdrHistogram(*SHAPE))
    try:
        found = [reader.get_next_interval_histogram() for _ in range(3)]
        assert reader.get_next_interval_histogram() is None
        assert reader.get_start_time_sec() == START_S
    finally:
        reader.close()
    assert [theirs.get_tag() for theirs in found] == ["orders", None, "orders"]
    assert [theirs.get_start_time_stamp() for theirs in found] == [1000 * (START_S + 10 * k) for k in range(3)]
    assert [list(theirs.counts) for theirs in found] == [
        filled(values).counts.tolist() for values in ([5_000, 7_000_000], [1_000_000], [])
    ]


@pytest.mark.parametrize("base_s", [None, 1_700_000_000])
def test_we_read_the_packages_log(base_s: int | None) -> None:
    """With and without a base time; it writes no start time."""
    out, theirs = io.StringIO(), HdrHistogram(*SHAPE)
    theirs.record_value(123_456_789)
    writer = HistogramLogWriter(out)
    writer.output_comment("[Logged with jHiccup version 2.0.6]")
    writer.output_log_format_version()
    if base_s:
        writer.output_base_time(1000 * base_s)
    writer.output_legend()
    start_s = 1_700_000_003 - (base_s or 0)
    writer.output_interval_histogram(theirs, start_s, start_s + 1.5)
    (interval,) = read(out.getvalue())
    assert (interval.start_s, interval.end_s, interval.tag) == (1_700_000_003, 1_700_000_004.5, None)
    assert interval.histogram.counts.tolist() == list(theirs.counts)


def test_times_far_before_the_start_count_from_it() -> None:
    """The format's rule for logs that name a start but no base; and without either, times are as they stand."""
    line = f"2.000,1.000,0.005,{encode(filled([5_000]))}"
    (relative,) = read(f"#[StartTime: 1700000000.000 (seconds since epoch), Tue]\n\n{line}")
    assert (relative.start_s, relative.end_s) == (1_700_000_002, 1_700_000_003)
    (absolute,) = read(line)
    assert absolute.start_s == 2.0


def test_intervals_add_up_to_any_stretch() -> None:
    """Which is what such a log is for."""
    whole = Histogram(*SHAPE)
    for interval in read(written([([1_000, 2_000], None), ([3_000_000], None)])):
        whole.add(interval.histogram)
    assert whole.counts == filled([1_000, 2_000, 3_000_000]).counts


def test_the_lines_are_as_the_format_wants_them() -> None:
    """Comment, version, times, legend; then tag, seconds from the start, length, maximum in milliseconds, counts."""
    lines = written([([2_500_000], "orders")]).splitlines()
    assert lines[:6] == [
        "#made by a test",
        "#of two lines",
        "#[Histogram log format version 1.3]",
        "#[StartTime: 1700000000.250000 (seconds since epoch)]",
        "#[BaseTime: 1700000000.250000 (seconds since epoch)]",
        '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"',
    ]
    assert lines[6] == f"Tag=orders,0.000000,10.000000,2.507,{encode(filled([2_500_000]))}"
    assert len(lines) == 7


def test_a_torn_last_line_is_named_after_the_others() -> None:
    """As a process leaves it that was killed while it wrote: what came before is given."""
    log = read_log(written([([5_000], None), ([6_000], None)])[:-20].splitlines())
    assert next(log).histogram.total == 1
    with pytest.raises(ValueError, match=r"^line 8: an encoded histogram must "):
        next(log)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1.0,2.0,3.0", "an interval must have start, length, maximum and histogram, not 3 fields"),
        ("Tag=a", "not 1 fields"),
        ("x,2.0,3.0,HIST", "StartTimestamp must be a number from 0 on, not 'x'"),
        ("1.0,-2.0,3.0,HIST", "Interval_Length must be a number from 0 on, not '-2.0'"),
        ("1.0,2.0,nan,HIST", "Interval_Max must be a number from 0 on, not 'nan'"),
        ("1.0,2.0,3.0,HIST", "an encoded histogram must have 8 bytes"),
        ("#[StartTime: noon (seconds since epoch)]", "StartTime must be a number from 0 on, not 'noon'"),
        ("hello", "not 1 fields"),
    ],
)
def test_a_bad_line_is_named(line: str, message: str) -> None:
    """By its number, and with what would be right; the package takes most of these for comments."""
    with pytest.raises(ValueError, match=rf"^line 2: .*{message}"):
        read(f"# a comment\n{line}\n")


@pytest.mark.parametrize("tag", ["", "a,b", "a b", "a\nb"])
def test_a_tag_that_would_break_the_line_is_refused(tag: str) -> None:
    """And nothing is written."""
    out = io.StringIO()
    log = LogWriter(out, start_s=0)
    before = out.getvalue()
    with pytest.raises(ValueError, match="tag must have neither commas nor blanks"):
        log.write(filled([]), start_s=0, end_s=1, tag=tag)
    assert out.getvalue() == before


@pytest.mark.parametrize(("start_s", "end_s"), [(5, 4), (-1, 4), (math.nan, 4), (1, math.inf), (1, math.nan)])
def test_an_interval_goes_forward(start_s: float, end_s: float) -> None:
    """Neither before the start of the log, nor backward, nor for ever."""
    with pytest.raises(ValueError, match="an interval must go forward"):
        LogWriter(io.StringIO(), start_s=0).write(filled([]), start_s=start_s, end_s=end_s)


def test_a_log_starts_in_time() -> None:
    """Since the epoch, and with a unit that divides."""
    with pytest.raises(ValueError, match="start_s must be seconds since the epoch, not nan"):
        LogWriter(io.StringIO(), start_s=math.nan)
    with pytest.raises(ValueError, match="maximum_unit must be above 0, not 0"):
        LogWriter(io.StringIO(), start_s=1, maximum_unit=0)
