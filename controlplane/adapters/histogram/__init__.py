"""Histograms as other tools know them: HdrHistogram's V2 encoding, `.hlog` interval logs, `.hgrm` percentile tables.

Nothing here opens a file: text goes in and comes out. The encoding and the percentiles are the `hdrhistogram` package's
(imported as `hdrh`); what it does not check, or does in another way than its Java original, is named where it matters.
"""

from controlplane._native.histogram import Histogram
from controlplane.adapters.histogram.codec import decode, encode, from_hdrh, to_hdrh
from controlplane.adapters.histogram.log import Interval, LogWriter, read_log
from controlplane.adapters.histogram.table import percentile_table

__all__ = [
    "Histogram",
    "encode",
    "decode",
    "LogWriter",
    "Interval",
    "read_log",
    "percentile_table",
    "to_hdrh",
    "from_hdrh",
]
