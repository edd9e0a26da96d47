"""The fold's part of the lifecycle: how an incident begins, moves on, ends or becomes part of another one."""

from typing import TYPE_CHECKING

import msgspec

from controlplane.decide.adopt import adopt
from controlplane.model import record as on
from controlplane.model.command import Probe, Restore, Weigh
from controlplane.model.incident import CHILDREN_MAX, Child, Incident, Moment, Phase, Stage
from controlplane.model.notice import Notice
from controlplane.model.signal import Cause
from controlplane.model.tally import Tally
from controlplane.model.unit import Nanos

if TYPE_CHECKING:
    from controlplane.decide.state import State

CLOSED_MAX = 200  # closed incidents kept in memory; older ones are in the journal
TIMELINE_MAX = 500  # lines per incident; a flapping target must not grow memory without end


def open_incident(state: "State", record: on.IncidentOpened) -> None:
    """A new incident, and the alert that opened it."""
    state.incidents_total += 1
    first = Child(target=record.origin, cause=record.cause, at=record.at, evidence=record.evidence, by=record.by)
    incident = Incident(
        id=record.incident,
        origin=record.origin,
        cause=record.cause,
        phase=Phase.DETECTION,
        opened_at=record.at,
        signal_at=record.signal_at,
        shadow=record.shadow,
        first=first,
        began_at=record.began_at,
        phases={Phase.DETECTION: record.at},
        moved_at=record.at,
        spread_at=record.at,
        touched=[record.origin],
        reached=[record.origin.service],
        evidence=[record.evidence],
        timeline=[Moment(record.at, f"detected: {record.origin} {record.cause}: {record.evidence}")],
    )
    state.incidents[record.incident] = incident
    state.index.opened(incident)
    _took(state, incident, "detect", incident.to_detect_ns)


def _took(state: "State", incident: Incident, what: str, taken_ns: int | None) -> None:
    """Count a time that an incident took; where nothing is done there is no response to be timed."""
    if taken_ns is not None and not incident.shadow:
        state.taken_ns.setdefault(what, Tally()).add(taken_ns)


def _end(state: "State", incident: Incident, at: Nanos, why: str) -> None:
    incident.phase, incident.closed_at, incident.moved_at = Phase.CLOSED, at, at
    incident.phases[Phase.CLOSED] = at
    line(incident, at, f"closed: {why}")
    state.index.ended(incident, state.open_incidents())
    while len(state.index.closed) > CLOSED_MAX:
        state.incidents.pop(state.index.closed.pop(0), None)


def merge(state: "State", record: on.IncidentMerged) -> None:
    """One goes on as a child of the other. Where either is closed, there is nothing to go on with."""
    child, parent = state.incidents.get(record.incident), state.incidents.get(record.into)
    if child is None or parent is None or child is parent or Phase.CLOSED in (child.phase, parent.phase):
        return
    stands = adopt(parent, child, record.at)
    line(parent, record.at, f"{child.id} ({child.origin}) is part of it: {record.reason}")
    _end(state, child, record.at, f"it is part of {parent.id}: {record.reason}")
    for name in stands:
        if parent.command(name) is not None:
            state.index.command[name] = parent.id
    for target in parent.containments:
        state.index.target.setdefault(target, parent.id)
    for target, command in state.in_force.items():
        if command.incident == child.id:
            state.in_force[target] = msgspec.structs.replace(command, incident=parent.id)


def issued(state: "State", notice: Notice) -> None:
    """Only what says that an incident is there, and what holds it, is waited for; the newest of each is enough."""
    incident = state.incidents.get(notice.incident) if notice.incident is not None else None
    if incident is None or incident.phase is Phase.CLOSED:
        return
    kind = notice.key.split(":")[1]
    if kind in ("opened", "contained"):
        incident.untold = {key: at for key, at in incident.untold.items() if key.split(":")[1] != kind}
        incident.untold[notice.key] = notice.at


def answered(incident: Incident, record: on.CommandAcknowledged) -> None:
    """A data plane has taken an order, or has not; what gives traffic back contains nothing."""
    if record.command in incident.unanswered:
        incident.unanswered.remove(record.command)
    command = incident.command(record.command)
    if not record.ok or command is None or incident.taken:
        return
    held = incident.containments.get(str(command.target))
    holding = held is not None and held.stage is Stage.HOLD and held.command == command.id
    incident.taken = holding or not isinstance(command.intent, Probe | Weigh | Restore)


def alert(incident: Incident, record: on.EvidenceAdded, cause: Cause) -> None:
    """One more child; the earliest evidence of any of them is when it began."""
    if len(incident.children) < CHILDREN_MAX:
        child = Child(target=record.target, cause=cause, at=record.at, evidence=record.evidence, by=record.by)
        incident.children.append(child)
    incident.spread_at = record.at
    if record.began_at is not None:
        incident.began_at = min(record.began_at, incident.began_at or incident.signal_at)
    if record.target.service not in incident.reached:
        incident.reached.append(record.target.service)


def move(state: "State", incident: Incident, record: on.PhaseChanged) -> None:
    """First times stay: a relapse is counted with its target, and makes no incident contained later than it was."""
    at = record.at
    incident.phase, incident.moved_at = record.phase, at
    incident.phases.setdefault(record.phase, at)
    if record.phase not in (Phase.DETECTION, Phase.CONTAINMENT) and incident.taken and incident.contained_at is None:
        incident.contained_at = at
        _took(state, incident, "contain", incident.to_contain_ns)
    if record.phase is Phase.RECOVERY and incident.stabilized_at is None:
        incident.stabilized_at = at
        _took(state, incident, "stabilize", incident.to_stabilize_ns)
    line(incident, at, f"{record.phase}: {record.reason}")


def line(incident: Incident, at: Nanos, what: str) -> None:
    """One more line of its timeline, as long as there is place; its end always has one."""
    if len(incident.timeline) < TIMELINE_MAX or what.startswith("closed"):
        incident.timeline.append(Moment(at, what))


def close(state: "State", incident: Incident, record: on.IncidentClosed) -> None:
    """It is over; recovered, where nothing is held back any more and recovery was what it waited for."""
    if incident.phase is Phase.CLOSED:
        return
    whole = all(held.stage is Stage.VERIFIED for held in incident.containments.values())
    if incident.phase is Phase.RECOVERY and whole:
        incident.recovered_at = record.at
        _took(state, incident, "recover", incident.to_recover_ns)
    _end(state, incident, record.at, record.reason)
