"""What happened in a world, line by line: what went wrong, what users felt, what each plane saw and did."""

from collections.abc import Sequence

import msgspec

from controlplane.model import record as on
from controlplane.model.command import Command, Eject, Isolate, Limit, Restore, Weigh
from controlplane.model.outcome import Outcome
from controlplane.model.record import Record
from controlplane.model.signal import Signal, Target
from controlplane.model.unit import SECOND, Nanos
from controlplane.sim.run import BEGIN_NS, RunResult
from controlplane.sim.scenario import Scenario

HURT_PERCENT = 5  # of a second's users that fail, before it is worth a line


class Moment(msgspec.Struct, frozen=True, order=True):
    """One line. `at_ns` since the world began; `who` is "fault", "users" or the service whose plane it is."""

    at_ns: int
    who: str
    text: str


class Teller:
    """Watches one plane and puts its records into words; what is only renewed is not told again."""

    def __init__(self, plane: str, moments: list[Moment]) -> None:
        self.plane, self._moments = plane, moments
        self._ordered: dict[tuple[Target, str], Command] = {}
        self.orders = 0

    def decided(self, _signal: Signal | None, outcome: Outcome, _now: Nanos) -> None:
        """Tell what is on record."""
        for record in outcome.records:
            text = self._words(record)
            if text:
                self._moments.append(Moment(record.at - BEGIN_NS, self.plane, text))

    def applied(self, command: Command, now: Nanos) -> None:
        """An order in force is told where it was issued."""

    def _words(self, record: Record) -> str:
        match record:
            case on.IncidentOpened():
                return f"{record.incident} detected: {record.origin}, {record.cause.value} ({record.evidence})"
            case on.OriginMoved():
                return f"{record.incident} lies at {record.origin}: {record.reason}"
            case on.CommandIssued(command=command):
                return self._order(command)
            case on.CommandRefused():
                name = type(record.intent).__name__.lower()
                return f"{record.incident} no {name} of {record.target}, by rule {record.rule}: {record.reason}"
            case on.CommandAcknowledged(ok=False):
                return f"{record.incident} {record.command} failed: {record.reason}"
            case on.StageChanged():
                percent = f" at {record.percent} %" if record.percent < 100 else ""
                return f"{record.incident} {record.target} {record.stage.value}{percent}: {record.reason}"
            case on.PhaseChanged():
                return f"{record.incident} {record.phase.value}: {record.reason}"
            case on.Escalated():
                return f"{record.incident} escalated: {record.reason}"
            case on.IncidentMerged():
                return f"{record.incident} is part of {record.into}: {record.reason}"
            case on.IncidentClosed():
                return f"{record.incident} closed: {record.reason}"
        return ""

    def _order(self, command: Command) -> str:
        key = (command.target, type(command.intent).__name__)
        before = self._ordered.get(key)
        if isinstance(command.intent, Restore):
            self._ordered = {held: order for held, order in self._ordered.items() if held[0] != command.target}
        else:
            self._ordered[key] = command
        if before is not None and before.intent == command.intent and before.incident == command.incident:
            return ""  # its lease goes on
        self.orders += 1
        shadow = "" if command.enforcement == "full" else f" ({command.enforcement}: not in force)"
        return f"{command.incident} orders {_named(command)}{shadow}"


def _named(command: Command) -> str:
    intent, target = command.intent, command.target
    match intent:
        case Eject():
            return f"eject {target}"
        case Isolate():
            return f"isolate {target}"
        case Limit():
            return f"limit {target} to {intent.concurrency} at a time"
        case Weigh():
            return f"{intent.percent} % of its calls to {target}"
        case Restore():
            return f"restore {target}"
    return f"{type(intent).__name__.lower()} {target}"


def course(scenario: Scenario, result: RunResult, told: Sequence[Moment]) -> list[Moment]:
    """All lines, in the order of time: those of planes between what befell the world and its users."""
    moments = list(told)
    for fault in scenario.faults:
        moments.append(Moment(round(fault.begins_s * SECOND), "fault", f"begins: {fault.name}, {fault.text}"))
        moments.append(Moment(round(fault.ends_s * SECOND), "fault", f"ends: {fault.name}"))
    return sorted([*moments, *_users(result)], key=lambda moment: moment.at_ns)


def _users(result: RunResult) -> list[Moment]:
    """When users began to suffer, and when it was over. A request is counted in the second in which it began."""
    found: list[Moment] = []
    since, lost, calm = -1, 0, 0
    usual = max(1.0, result.requests / max(1, len(result.failed_by_second)))
    for second, failed in enumerate(result.failed_by_second):
        hurt = 100 * failed >= HURT_PERCENT * usual
        if hurt and since < 0:
            since, lost = second, 0
            found.append(Moment(second * SECOND, "users", f"{failed} requests of this second fail, the first of many"))
        if since < 0:
            continue
        lost, calm = lost + failed, 0 if hurt else calm + 1
        if calm == 3:
            over = second - 2
            found.append(Moment(over * SECOND, "users", f"served again; {lost} requests failed in {over - since} s"))
            since = -1
    if since >= 0:
        found.append(Moment(len(result.failed_by_second) * SECOND, "users", f"still failing; {lost} requests so far"))
    return found
