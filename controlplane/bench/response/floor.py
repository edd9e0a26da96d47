"""What the machine takes for less: one record put into the same journal by a loop that does nothing else."""

import tempfile
from pathlib import Path
from typing import Final

from controlplane._native.guard import now_ns
from controlplane._native.histogram import Histogram
from controlplane.adapters.stores.sqlite import SqliteJournal
from controlplane.model.record import Escalated
from controlplane.model.unit import IncidentId, Nanos

APPENDS: Final = 500


async def append() -> Histogram:
    """Nanoseconds of an append: to the thread that owns the file, one transaction, and back."""
    histogram = Histogram(1_000, 60_000_000_000, 3)
    with tempfile.TemporaryDirectory(prefix="controlplane-response-") as folder:
        journal = SqliteJournal(Path(folder) / "journal.sqlite")
        try:
            for number in range(APPENDS + 20):
                began = now_ns()
                await journal.append([Escalated(at=Nanos(began), incident=IncidentId("i1"), reason="a floor")])
                if number >= 20:
                    histogram.record(now_ns() - began)
        finally:
            await journal.aclose()
    return histogram
