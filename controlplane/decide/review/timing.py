"""When what happened: phases, stages, orders and waits of a case, and its response times as HDR percentiles.

Which phases there are and what each is called is the incident's own business: here they are read off the records.
"""

import msgspec

from controlplane._native.histogram import Histogram
from controlplane.decide.review.case import Case, Entry
from controlplane.model import record as on
from controlplane.model.command import Command, Probe, Restore, Weigh
from controlplane.model.incident import Incident
from controlplane.model.signal import ConditionKind, Target
from controlplane.model.unit import CommandId, Nanos

HIGHEST_NS = 3_600 * 10**9  # an answer later than an hour is no response time
DIGITS = 3


class Span(msgspec.Struct, frozen=True):
    """Something that lasted, in seconds after the deciding signal; `until_s` None: it still does."""

    what: str
    from_s: float
    until_s: float | None
    reason: str = ""

    @property
    def lasted_s(self) -> float | None:
        """How long, in seconds."""
        return None if self.until_s is None else self.until_s - self.from_s


class Share(msgspec.Struct, frozen=True):
    """A stage of one target's containment: the share of its traffic it got, and since when."""

    target: str
    stage: str
    percent: int
    from_s: float
    until_s: float
    reason: str


class OrderStory(msgspec.Struct):
    """What became of one order: when it was issued, how often its lease was renewed, and how it ended."""

    command: Command
    at_s: float
    lease_s: float
    renewals: int = 0
    answered_s: float | None = None
    outcome: str = "no answer on record"


class Figures(msgspec.Struct, frozen=True):
    """Percentiles of one response time over the orders of an incident, in milliseconds."""

    what: str
    count: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float


def end_s(case: Case) -> float:
    """Until when the case is known."""
    return case.after_s(case.ends_ns)


def closed(incident: Incident) -> bool:
    """Whether it is over."""
    return incident.closed_at is not None


def phases(case: Case) -> list[Span]:
    """Each phase in turn, a phase that was returned to as often as it was."""
    marks: list[tuple[str, float, str]] = []
    for entry in _own(case):
        record, at = entry.record, case.after_s(entry.wall_ns)
        match record:
            case on.IncidentOpened():
                marks.append((str(next(iter(case.incident.phases), "opened")), at, "it was opened"))
            case on.PhaseChanged():
                marks.append((str(record.phase), at, record.reason))
            case on.IncidentClosed():
                marks.append(("closed", at, record.reason))
    ends = [mark[1] for mark in marks[1:]]
    return [
        Span(what, at, until, reason)
        for (what, at, reason), until in zip(marks, [*ends, None], strict=True)
        if what != "closed" or until is None
    ]


def waits(case: Case) -> list[Span]:
    """What its recovery waited for, how long and why."""
    since: dict[ConditionKind, tuple[float, str]] = {}
    spans: list[Span] = []
    for entry in _own(case):
        record, at = entry.record, case.after_s(entry.wall_ns)
        if not isinstance(record, on.ConditionChanged):
            continue
        if record.well:
            began = since.pop(record.what, (at, ""))
            spans.append(Span(record.what, began[0], at, f"{began[1]}; {record.reason}"))
        else:
            since[record.what] = (since.get(record.what, (at, ""))[0], record.reason)
    return [*spans, *(Span(what, at, None, reason) for what, (at, reason) in since.items())]


def shares(case: Case) -> list[Share]:
    """The stages of every target that was held back, target by target."""
    found: dict[str, list[tuple[float, on.StageChanged]]] = {}
    for entry in case.entries:
        if isinstance(entry.record, on.StageChanged):
            found.setdefault(str(entry.record.target), []).append((case.after_s(entry.wall_ns), entry.record))
    stages = []
    for target, changes in found.items():
        ends = [at for at, _ in changes[1:]]
        stages += [
            Share(target, str(change.stage), _percent(change), at, until, change.reason)
            for (at, change), until in zip(changes, [*ends, max(end_s(case), changes[-1][0])], strict=True)
        ]
    return stages


def _percent(change: on.StageChanged) -> int:
    return {"hold": 0, "probe": 0, "ramp": change.percent}.get(str(change.stage), 100)


def stories(case: Case) -> list[OrderStory]:
    """What became of each order, in the order in which they were issued."""
    told: dict[CommandId, OrderStory] = {}
    holds: dict[str, OrderStory] = {}
    for entry in case.entries:
        record, at = entry.record, case.after_s(entry.wall_ns)
        match record:
            case on.CommandIssued(command=command) if command.id in told:
                told[command.id].renewals += 1
                told[command.id].command = command
            case on.CommandIssued(command=command):
                place = f"{command.target} {getattr(command.intent, 'what', '')}"
                if (before := holds.get(place)) is not None and before.outcome == "in force":
                    before.outcome = f"gave way to {command.id} after {at - before.at_s:.1f} s"
                lease_s = (command.lease_until - record.at) / 1e9
                told[command.id] = holds[place] = OrderStory(command, at, lease_s)
            case on.CommandAcknowledged() if (story := told.get(record.command)) is not None:
                story.answered_s = at if story.answered_s is None else story.answered_s
                story.outcome = _answer(story, record)
            case on.LeaseExpired() if (story := told.get(record.command)) is not None:
                story.outcome = f"lapsed after {at - story.at_s:.1f} s: its lease ran out"
            case on.RollbackEnded() if (story := told.get(record.command)) is not None:
                story.outcome = "rolled back" if record.ok else f"failed: {record.reason}"
    return list(told.values())


def _answer(story: OrderStory, record: on.CommandAcknowledged) -> str:
    if not record.ok:
        return f"not taken: {record.reason}"
    if isinstance(story.command.intent, Restore):
        return "taken: nothing interferes any more"
    return "only written down" if story.command.enforcement == "shadow" else "in force"


def contains(command: Command) -> bool:
    """Whether it holds something back, rather than gives it back."""
    return not isinstance(command.intent, Probe | Weigh | Restore)


def response_times(case: Case) -> list[Figures]:
    """From the signal that decided to what followed of it, over the orders that held something back."""
    decided, answered, effective = (Histogram(1, HIGHEST_NS, DIGITS) for _ in range(3))
    issued: dict[CommandId, on.CommandIssued] = {}
    seen: set[CommandId] = set()  # issued again, an order is renewed: nothing was decided then
    answers: set[tuple[Target, Nanos]] = set()  # a second order about the same verdict was decided with the first
    for entry in case.entries:
        record = entry.record
        match record:
            case on.CommandIssued(command=command) if command.id not in seen and contains(command):
                seen.add(command.id)
                issued[command.id] = record
                if command.signal_at > 0 and (command.target, command.signal_at) not in answers:
                    decided.record(max(0, record.at - command.signal_at))
                answers.add((command.target, command.signal_at))
            case on.CommandAcknowledged() if record.ok and (order := issued.pop(record.command, None)) is not None:
                if order.command.signal_at > 0:
                    answered.record(max(0, record.at - order.command.signal_at))
            case on.BecameEffective():
                effective.record(max(0, record.at - record.signal_at))
    return [
        *_figures("signal to decision", decided),
        *_figures("signal to acknowledgement", answered),
        *_figures("signal to effect", effective),
    ]


def _figures(what: str, histogram: Histogram) -> list[Figures]:
    if not histogram.total:
        return []
    p50, p90, p99 = (histogram.percentile(percent) / 1e6 for percent in (50.0, 90.0, 99.0))
    return [Figures(what, histogram.total, p50, p90, p99, histogram.maximum / 1e6)]


def _own(case: Case) -> list[Entry]:
    """Entries of the incident itself, without those of incidents that were merged into it."""
    return [entry for entry in case.entries if getattr(entry.record, "incident", None) == case.incident.id]
