"""Percentile tables (`.hgrm`), as HdrHistogram's plotters take them."""

import io

from controlplane._native.histogram import Histogram
from controlplane.adapters.histogram.codec import to_hdrh


def percentile_table(histogram: Histogram, *, unit: float = 1, ticks: int = 5, csv: bool = False) -> str:
    """Value, percentile, count and 1 / (1 - percentile), a row each, twice as dense for every halving of what is left.

    unit   what values are divided by: 1_000_000 shows nanoseconds as milliseconds
    ticks  rows for every halving
    csv    comma-separated, and without the summary at the end
    Raises  ValueError when unit is not above 0 or ticks is below 1.
    """
    if not 0 < unit < float("inf"):
        raise ValueError(f"unit must be above 0, not {unit}")
    if ticks < 1:
        raise ValueError(f"ticks must be at least 1, not {ticks}")
    counts = histogram.snapshot()
    theirs = to_hdrh(counts)
    # the package divides the mean by the unit and not the deviation, and counts both bucket by bucket in Python
    theirs.get_mean_value = lambda: counts.mean
    theirs.get_stddev = lambda: counts.deviation / unit
    out = io.BytesIO()
    theirs.output_percentile_distribution(out, unit, ticks, csv)
    return out.getvalue().decode("ascii")
