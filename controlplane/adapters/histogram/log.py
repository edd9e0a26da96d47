"""Interval logs (`.hlog`): one encoded histogram a line, with its time and its tag.

    #[Histogram log format version 1.3]
    #[StartTime: 1700000000.000000 (seconds since epoch)]
    #[BaseTime: 1700000000.000000 (seconds since epoch)]
    "StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"
    Tag=orders,10.000000,10.000000,1.245,HISTFAAAA...

Adding the intervals of any stretch of time gives the histogram of that stretch. The lines are written and read here and
not by the package: its writer can write neither a start time nor a tag and rounds maxima down, and its reader takes a
damaged line for a comment. Each reads what the other writes (property test).
"""

import math
import re
from collections.abc import Iterable, Iterator
from typing import Final, TextIO

import msgspec

from controlplane._native.histogram import Histogram
from controlplane.adapters.histogram.codec import decode, encode

VERSION: Final = "1.3"
LEGEND: Final = '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"'
MAXIMUM_UNIT: Final = 1_000_000  # values in nanoseconds, maxima in milliseconds: what readers of such logs expect
_YEAR_S: Final = 365 * 86_400
_TAG: Final = re.compile(r"[^,\s]+")
_TIME: Final = re.compile(r"#\[(StartTime|BaseTime):\s*(\S*) ")


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """What was recorded from `start_s` to `end_s`, in seconds since the epoch."""

    start_s: float
    end_s: float
    tag: str | None = None
    histogram: Histogram


class LogWriter:
    """Writes intervals to a text file, of which it writes the head at once and each line whole.

    start_s       seconds since the epoch; the lines count from here
    maximum_unit  what the column of maxima is divided by
    comment       lines to begin with: what was measured, where
    """

    def __init__(self, out: TextIO, *, start_s: float, maximum_unit: float = MAXIMUM_UNIT, comment: str = "") -> None:
        if not (math.isfinite(start_s) and start_s >= 0):
            raise ValueError(f"start_s must be seconds since the epoch, not {start_s}")
        if not (math.isfinite(maximum_unit) and maximum_unit > 0):
            raise ValueError(f"maximum_unit must be above 0, not {maximum_unit}")
        self._out, self._start_s, self._maximum_unit = out, start_s, maximum_unit
        head = [f"#{line}" for line in comment.splitlines()]
        head.append(f"#[Histogram log format version {VERSION}]")
        head += [f"#[{name}: {start_s:.6f} (seconds since epoch)]" for name in ("StartTime", "BaseTime")]
        out.write("\n".join([*head, LEGEND, ""]))

    def write(self, histogram: Histogram, *, start_s: float, end_s: float, tag: str | None = None) -> None:
        """Add an interval, in seconds since the epoch.

        Raises  ValueError, with nothing written, when it starts before the log or ends before it starts, or when the
                tag has a comma or a blank.
        """
        if not (self._start_s <= start_s <= end_s and math.isfinite(end_s)):
            raise ValueError(f"an interval must go forward from {self._start_s}, not from {start_s} to {end_s}")
        if tag is not None and not _TAG.fullmatch(tag):
            raise ValueError(f"tag must have neither commas nor blanks, and not be empty: {tag!r}")
        times = f"{start_s - self._start_s:.6f},{end_s - start_s:.6f}"
        label = "" if tag is None else f"Tag={tag},"
        self._out.write(f"{label}{times},{histogram.maximum / self._maximum_unit:.3f},{encode(histogram)}\n")


def read_log(lines: Iterable[str]) -> Iterator[Interval]:
    """The intervals of a log, as its lines come, from whatever program wrote it.

    Raises  ValueError that names the line and what is wrong with it; the intervals before it have been given.
    """
    start_s: float | None = None
    base_s: float | None = None
    for number, line in enumerate(map(str.strip, lines), 1):
        try:
            if found := _TIME.match(line):
                seconds = _seconds(found[1], found[2])
                start_s, base_s = (seconds, base_s) if found[1] == "StartTime" else (start_s, seconds)
            elif line and line[0] not in '#"':
                tag, time_s, length_s, histogram = _fields(line)
                if start_s is None:
                    start_s = time_s
                if base_s is None:  # the format's own rule: a year before the start is no date, but a distance
                    base_s = start_s if time_s < start_s - _YEAR_S else 0.0
                yield Interval(start_s=base_s + time_s, end_s=base_s + time_s + length_s, tag=tag, histogram=histogram)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None


def _fields(line: str) -> tuple[str | None, float, float, Histogram]:
    tag = None
    if line.startswith("Tag="):
        tag, _, line = line.removeprefix("Tag=").partition(",")
    fields = line.split(",")
    if len(fields) != 4:
        raise ValueError(f"an interval must have start, length, maximum and histogram, not {len(fields)} fields")
    _seconds("Interval_Max", fields[2])
    return tag, _seconds("StartTimestamp", fields[0]), _seconds("Interval_Length", fields[1]), decode(fields[3])


def _seconds(name: str, text: str) -> float:
    """A number that is neither negative nor infinite."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise ValueError(f"{name} must be a number from 0 on, not {text!r}")
    return number
