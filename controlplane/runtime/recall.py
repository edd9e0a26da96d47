"""An incident out of the journal of a running process, a page at a time: appends go on in between."""

from collections.abc import AsyncIterator

from controlplane.decide.review import case
from controlplane.decide.review.case import Case
from controlplane.model.record import IncidentMerged, Record
from controlplane.model.unit import IncidentId
from controlplane.ports import Journal

_PAGE_RECORDS = 200  # read in well under a millisecond: a containment may be waiting to be put on record


async def recall(journal: Journal, incident: IncidentId) -> Case | None:
    """The case of `incident`; None: it is not on record. Raises JournalError."""
    merges = [record async for record in _pages(journal) if isinstance(record, IncidentMerged)]
    concerned = case.family(merges, incident)
    records = [record async for record in _pages(journal) if case.concerns(record, concerned)]
    return case.recall(records, incident)


async def _pages(journal: Journal) -> AsyncIterator[Record]:
    number = 0
    while page := await journal.read_after(number, limit=_PAGE_RECORDS):
        for _, record in page:
            yield record
        number = page[-1][0]
