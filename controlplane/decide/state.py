"""What the engine remembers, and the one fold that rebuilds it from records.

The same fold serves a restart, `explain`, drills, bug reports and reviews. Evidence that has not led to a decision is
not here: it is not on record, and a restart begins to collect it anew.
"""

from typing import Literal

import msgspec

from controlplane.decide import ledger
from controlplane.decide.ledger import SideStep, Withdrawal
from controlplane.model import record as on
from controlplane.model.analysis import Analysis
from controlplane.model.command import Command, Restore
from controlplane.model.incident import Containment, Incident, Moment, Phase
from controlplane.model.signal import Target
from controlplane.model.unit import CommandId, IncidentId, Nanos

CLOSED_MAX = 200  # closed incidents kept in memory; older ones are in the journal
TIMELINE_MAX = 500  # lines per incident; a flapping target must not grow memory without end


class State(msgspec.Struct, kw_only=True):
    """Incidents, orders in force, epoch and the standing orders of people."""

    mode: Literal["observe", "enforce"] = "enforce"
    epoch: int = 0
    boot: str = ""
    wall_offset_ns: int = 0
    last_at: Nanos = Nanos(0)
    frozen: bool = False
    frozen_reason: str = ""
    incidents: dict[IncidentId, Incident] = msgspec.field(default_factory=dict)
    in_force: dict[str, Command] = msgspec.field(default_factory=dict)
    sides: dict[str, Command] = msgspec.field(default_factory=dict)
    side_steps: dict[str, SideStep] = msgspec.field(default_factory=dict)
    withdrawn: dict[str, Withdrawal] = msgspec.field(default_factory=dict)
    issued_at: list[Nanos] = msgspec.field(default_factory=list)
    incidents_total: int = 0
    commands_total: int = 0
    journal_gap: int = 0

    def open_incidents(self) -> list[Incident]:
        """Incidents not yet closed, oldest first."""
        return [incident for incident in self.incidents.values() if incident.phase is not Phase.CLOSED]

    def open_at(self, service: str) -> Incident | None:
        """The open incident whose origin lies in `service`, or None."""
        return next((incident for incident in self.open_incidents() if incident.origin.service == service), None)

    def containment(self, target: Target) -> tuple[Incident, Containment] | None:
        """The open incident that contains `target`, and how."""
        for incident in self.open_incidents():
            if (held := incident.containments.get(str(target))) is not None:
                return incident, held
        return None


def fold(state: State, record: on.Record) -> None:
    """Change `state` by one fact. Facts about incidents that are no longer kept change nothing."""
    state.last_at = Nanos(max(state.last_at, record.at))
    if isinstance(record, on.IncidentMerged):
        ledger.merged(state, record)
    match record:
        case on.EpochStarted():
            _shift(state, record.shift_ns)
            state.epoch, state.boot, state.last_at = record.epoch, record.boot, record.at
            state.wall_offset_ns = record.wall_ns - record.at
        case on.IncidentOpened():
            _open(state, record)
        case on.OrderTaken():
            _order(state, record)
            ledger.order(state, record)
        case on.CommandIssued():
            _issue(state, record.command, record.at)
        case on.JournalGap():
            state.journal_gap += record.records
        case on.NoticeIssued() | on.NoticeDelivered() | on.PenaltyDecayed():
            pass
        case on.VersionReleased():
            ledger.version_released(state, record)
        case on.LeaseExpired():
            _release(state, record.target, record.command)
            _tell(state, record.incident, record)
        case _:
            _tell(state, record.incident, record)


def _open(state: State, record: on.IncidentOpened) -> None:
    state.incidents_total += 1
    incident = Incident(
        id=record.incident,
        origin=record.origin,
        cause=record.cause,
        phase=Phase.DETECTED,
        opened_at=record.at,
        signal_at=record.signal_at,
        shadow=record.shadow,
        phases={Phase.DETECTED: record.at},
        touched=[record.origin],
        evidence=[record.evidence],
        timeline=[Moment(record.at, f"detected: {record.origin} {record.cause}: {record.evidence}")],
    )
    state.incidents[record.incident] = incident
    closed = [old.id for old in state.incidents.values() if old.phase is Phase.CLOSED]
    for old in closed[: max(0, len(closed) - CLOSED_MAX)]:
        del state.incidents[old]


def _order(state: State, record: on.OrderTaken) -> None:
    match record.order:
        case "freeze" | "resume":
            state.frozen = record.order == "freeze"
            state.frozen_reason = record.reason if state.frozen else ""
        case "observe" | "enforce":
            state.mode = record.order


def _issue(state: State, command: Command, at: Nanos) -> None:
    incident = state.incidents.get(command.incident)
    renewal = False
    if incident is not None:
        known = next((index for index, old in enumerate(incident.commands) if old.id == command.id), None)
        renewal = known is not None
        if known is None:
            incident.commands.append(command)
            del incident.commands[:-TIMELINE_MAX]
            note = "would order" if command.enforcement == "shadow" else "order"
            _line(incident, at, f"{note}: {describe(command)}")
        else:
            incident.commands[known] = command
        held = None if ledger.apart(command.intent) else incident.containments.get(str(command.target))
        if held is not None:
            held.command = command.id
    if not renewal:
        state.commands_total += 1
        state.issued_at = [past for past in state.issued_at if past > at - 60_000_000_000][-1000:]
        state.issued_at.append(at)
    if command.enforcement == "shadow" or ledger.issue(state, command, at, renewal=renewal):
        return
    if isinstance(command.intent, Restore):
        state.in_force.pop(str(command.target), None)
    else:
        state.in_force[str(command.target)] = command


def _release(state: State, target: Target, command: CommandId) -> None:
    ledger.release(state, target, command)
    held = state.in_force.get(str(target))
    if held is not None and held.id == command:
        del state.in_force[str(target)]


def _tell(state: State, incident_id: IncidentId, record: on.Record) -> None:
    incident = state.incidents.get(incident_id)
    if incident is None:
        return
    at = record.at
    match record:
        case on.EvidenceAdded():
            if record.target not in incident.touched:
                incident.touched.append(record.target)
            incident.cause = record.cause or incident.cause
            incident.version = record.version or incident.version
            if len(incident.evidence) < TIMELINE_MAX:
                incident.evidence.append(record.evidence)
            _line(incident, at, f"evidence: {record.target}: {record.evidence}")
            if any(
                target.service != incident.origin.service or target != incident.origin for target in incident.touched
            ):
                incident.origin = Target(incident.origin.service)
        case on.OriginMoved():
            incident.origin = record.origin
            _line(incident, at, f"laid to {record.origin}: {record.reason}")
        case on.Assessed():
            incident.analysis = record.analysis
            _line(incident, at, f"assessed: {summary(record.analysis)}")
        case on.MaskChanged():
            incident.masked, incident.masked_reason = record.masked, record.reason
            _line(incident, at, ("masked: " if record.masked else "no longer masked: ") + record.reason)
        case on.PhaseChanged():
            incident.phase = record.phase
            if record.phase is not Phase.CONTAINED or Phase.CONTAINED not in incident.phases:
                incident.phases[record.phase] = at  # time to contain is to the first containment; relapses are counted
            _line(incident, at, f"{record.phase}: {record.reason}")
        case on.CommandRefused():
            incident.refused.append(f"{record.rule}: {record.reason}")
            del incident.refused[:-TIMELINE_MAX]
            _line(incident, at, f"refused by {record.rule}: {record.reason}")
        case on.CommandAcknowledged():
            if not record.ok:
                _line(incident, at, f"not taken: {record.command}: {record.reason}")
                ledger.not_taken(state, record.command, at)
                for held in incident.containments.values():
                    if held.command == record.command:
                        held.command = None
                        _release(state, held.target, record.command)
        case on.LeaseExpired():
            _line(incident, at, f"lease ran out: {record.command} on {record.target}")
        case on.StageChanged():
            before = incident.containments.get(str(record.target))
            incident.containments[str(record.target)] = Containment(
                command=record.command or (before.command if before else None),
                target=record.target,
                stage=record.stage,
                percent=record.percent,
                since=at,
                penalty_ns=record.penalty_ns,
                relapses=record.relapses,
                overload=record.overload,
                concurrency=record.concurrency,
            )
            share = f" {record.percent} %" if record.stage == "ramp" and not record.overload else ""
            _line(incident, at, f"{record.target} {record.stage}{share}: {record.reason}")
        case on.BecameEffective():
            if incident.effective_at is None:
                incident.effective_at = at
                _line(
                    incident, at, f"effective: {record.target} {(at - record.signal_at) / 1e6:.3f} ms after the signal"
                )
        case on.ImpactCounted():
            incident.user_requests += record.requests
            incident.user_failed += record.failed
            incident.user_slow += record.slow
            incident.fallbacks += record.fallbacks
        case on.Escalated():
            incident.escalated = True
            _line(incident, at, f"escalated to people: {record.reason}")
        case on.PlanEnacted() | on.PlanJudged() | on.LeftToPeople() | on.RollbackEnded():
            _line(incident, at, ledger.tell(state, incident, record))
        case on.VersionWithdrawn() | on.VersionProven():
            _line(incident, at, ledger.tell(state, incident, record))
        case on.IncidentClosed():
            incident.phase, incident.closed_at = Phase.CLOSED, at
            incident.phases[Phase.CLOSED] = at
            _line(incident, at, f"closed: {record.reason}")


def _line(incident: Incident, at: Nanos, what: str) -> None:
    if len(incident.timeline) < TIMELINE_MAX or what.startswith("closed"):
        incident.timeline.append(Moment(at, what))


def _shift(state: State, shift_ns: int) -> None:
    """Bring every time that may still be compared with `now` to this boot's clock."""
    if not shift_ns:
        return

    def moved(at: Nanos) -> Nanos:
        return Nanos(at + shift_ns)

    state.issued_at = [moved(at) for at in state.issued_at]
    state.in_force = {
        key: msgspec.structs.replace(
            command, lease_until=moved(command.lease_until), signal_at=moved(command.signal_at)
        )
        for key, command in state.in_force.items()
    }
    ledger.shift(state, shift_ns)
    for incident in state.incidents.values():
        incident.opened_at, incident.signal_at = moved(incident.opened_at), moved(incident.signal_at)
        incident.effective_at = None if incident.effective_at is None else moved(incident.effective_at)
        incident.closed_at = None if incident.closed_at is None else moved(incident.closed_at)
        incident.phases = {phase: moved(at) for phase, at in incident.phases.items()}
        incident.timeline = [Moment(moved(moment.at), moment.what) for moment in incident.timeline]
        for held in incident.containments.values():
            held.since = moved(held.since)


def summary(analysis: Analysis) -> str:
    """One line for people: whose failure it is, how far it goes, whether it feeds itself."""
    origins = ", ".join(f"{origin.service} {origin.score:.2f}" for origin in analysis.origins[:3]) or "no origin"
    parts = [f"origin {origins}"]
    if analysis.unexplained >= 0.005:
        parts.append(f"unexplained {analysis.unexplained:.2f}")
    if analysis.reproduction_number is not None and analysis.reproduction_number >= 1:
        parts.append(f"it feeds itself, R {analysis.reproduction_number:.2g}")
    if analysis.metastable:
        parts.append("it will not clear when its cause is gone")
    return "; ".join([*parts, *analysis.plan[:1]])


def describe(command: Command) -> str:
    """One line for people: what is done to whom, and until when it may last."""
    intent = command.intent
    detail = " ".join(f"{value}" for name in intent.__struct_fields__ if (value := getattr(intent, name)) != "")
    verb = type(intent).__name__.lower() + (f" {detail}" if detail else "")
    return f"{verb} {command.target} [{command.id}]"
