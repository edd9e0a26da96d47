"""One incident out of a journal: folded as the engine folds it, with the records it came from and wall-clock times.

Records carry monotonic times, which two boots do not share; every `EpochStarted` says what they were by the wall clock.
"""

from collections.abc import Iterable

import msgspec

from controlplane.decide.state import State, fold
from controlplane.model import record as on
from controlplane.model.incident import Incident
from controlplane.model.recording import Recording
from controlplane.model.unit import IncidentId


class Entry(msgspec.Struct, frozen=True):
    """A record about the incident, and its time by the wall clock in Unix nanoseconds."""

    wall_ns: int
    record: on.Record


class Line(msgspec.Struct, frozen=True):
    """One line of the timeline."""

    wall_ns: int
    what: str


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """An incident and everything on record about it, oldest first.

    `window`: the figures around it that its newest assessment rests on. `ends_ns`: the last that is known of it.
    """

    incident: Incident
    entries: tuple[Entry, ...]
    lines: tuple[Line, ...]
    began_ns: int
    ends_ns: int
    window: Recording | None = None

    def after_s(self, wall_ns: int) -> float:
        """Seconds from the deciding signal to that time."""
        return (wall_ns - self.began_ns) / 1e9


def family(records: Iterable[on.Record], incident: IncidentId) -> frozenset[IncidentId]:
    """`incident` and those that were merged into it, directly or not."""
    into = {record.incident: record.into for record in records if isinstance(record, on.IncidentMerged)}
    found = {incident}
    while more := {child for child, parent in into.items() if parent in found} - found:
        found |= more
    return frozenset(found)


def concerns(record: on.Record, incidents: frozenset[IncidentId]) -> bool:
    """Whether `record` is about one of `incidents`, or about everything."""
    match record:
        case on.EpochStarted() | on.OrderTaken() | on.JournalGap():
            return True
        case on.CommandIssued():
            return record.command.incident in incidents
        case on.NoticeIssued():
            return record.notice.incident in incidents
        case on.NoticeDelivered():
            return record.key.partition(":")[0] in incidents
        case on.PenaltyDecayed():
            return False
        case _:
            return getattr(record, "incident", None) in incidents


def recall(records: Iterable[on.Record], incident: IncidentId) -> Case | None:
    """The case of `incident` out of `records`, of which only those that concern it are needed; None: not among them."""
    state, offset_ns = State(), 0
    entries: list[Entry] = []
    lines: list[Line] = []
    window: Recording | None = None
    for record in records:
        if isinstance(record, on.EpochStarted):
            offset_ns = record.wall_ns - record.at
        before = state.incidents.get(incident)
        told = 0 if before is None else len(before.timeline)
        fold(state, record)
        after = state.incidents.get(incident)
        if after is None:
            continue
        wall_ns = record.at + offset_ns
        general = isinstance(record, on.EpochStarted | on.OrderTaken | on.JournalGap)
        if general and after.closed_at is not None:
            continue  # what was ordered after it closed is not its story
        entries.append(Entry(wall_ns, record))
        lines += [Line(wall_ns, moment.what) for moment in after.timeline[told:]]
        if general and (what := _general(record)):
            lines.append(Line(wall_ns, what))
        if isinstance(record, on.WindowTaken) and record.incident == incident:
            window = record.recording
    found = state.incidents.get(incident)
    if found is None:
        return None
    opened = next(e for e in entries if isinstance(e.record, on.IncidentOpened) and e.record.incident == incident)
    assert isinstance(opened.record, on.IncidentOpened)
    return Case(
        incident=found,
        entries=tuple(entries),
        lines=tuple(lines),
        began_ns=opened.wall_ns - (opened.record.at - opened.record.signal_at),
        ends_ns=next((e.wall_ns for e in entries if _closes(e.record, incident)), entries[-1].wall_ns),
        window=window,
    )


def _closes(record: on.Record, incident: IncidentId) -> bool:
    return isinstance(record, on.IncidentClosed) and record.incident == incident


def _general(record: on.Record) -> str:
    match record:
        case on.EpochStarted():
            return f"the engine started again, epoch {record.epoch}"
        case on.OrderTaken():
            about = f" about {record.target}" if record.target is not None else ""
            rule = f", rule {record.rule}" if record.rule else ""
            return f"{record.by} ordered {record.order}{about}{rule}: {record.reason or 'no reason given'}"
        case on.JournalGap():
            return f"{record.records} records before this are lost: {record.reason}"
    return ""
