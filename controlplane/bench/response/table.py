"""Histograms of nanoseconds as rows of a table, in milliseconds, and as results."""

from typing import Final

from controlplane._native.histogram import Histogram
from controlplane.bench.result import Result

HEAD: Final = f"{'figure':<34} {'faults':>7} {'p50':>9} {'p90':>9} {'p99':>9} {'max':>9}   ms"


def line(name: str, histogram: Histogram) -> str:
    """One row."""
    values = [histogram.quantile(500), histogram.quantile(900), histogram.quantile(990), histogram.maximum]
    return f"{name:<34} {histogram.total:>7} " + " ".join(f"{value / 1e6:>9.3f}" for value in values)


def result(name: str, histogram: Histogram) -> Result:
    """The same for the file."""
    p50_ms, p99_ms = histogram.quantile(500) / 1e6, histogram.quantile(990) / 1e6
    return Result(name, p50_ms, "ms", p50_ms=p50_ms, p99_ms=p99_ms)


def verdict(missed: list[str]) -> str:
    """What was promised and not kept, a line for each."""
    return "promised and MISSED:\n" + "\n".join(f"    {text}" for text in missed) if missed else "all promises met"
