"""Who was told of an incident, and how far its ladder was climbed: what is on record of it, folded."""

from typing import TYPE_CHECKING

import msgspec

from controlplane.model import record as on
from controlplane.model.escalation import TELLINGS_MAX, Delivered, Telling
from controlplane.model.incident import Incident, Phase
from controlplane.model.notice import Notice
from controlplane.model.unit import IncidentId, Nanos

if TYPE_CHECKING:
    from controlplane.decide.state import State


def fold(state: "State", record: on.Record) -> None:
    """Change what is known of people by one fact, before the incident itself is changed by it."""
    match record:
        case on.EpochStarted():
            state.born = state.born or record.wall_ns
        case on.NoticeIssued():
            state.notices_total += 1
            if (about := _incident(state, record.notice.incident)) is not None:
                _issued(about, record.notice)
        case on.NoticeDelivered():
            _delivered(state, record)
        case on.PhaseChanged() if record.phase in (Phase.STABILIZATION, Phase.RECOVERY):
            if (about := _incident(state, record.incident)) is not None and not about.climb.urgent:
                about.climb.lost = ""  # it is held after all: a refusal of a moment before is nothing to call for
        case on.CommandRefused() | on.StageChanged() | on.Escalated():
            if (about := _incident(state, record.incident)) is not None and about.climb.ladder:
                _lost(about, record)


def rung_climbed(incident: Incident, record: on.RungClimbed) -> str:
    """Where its ladder stands from now on, as a line of its timeline. Who took it before is asked anew."""
    climb = incident.climb
    climb.ladder, climb.rung, climb.at = record.ladder, record.rung, record.at
    climb.told = tuple(dict.fromkeys((*climb.told, *record.notify)))
    climb.acknowledged_by, climb.acknowledged_at, climb.lost, climb.urgent = "", None, "", False
    return f"ladder {record.ladder}: {', '.join(record.notify) or 'nobody yet'}: {record.reason}"


def acknowledged(incident: Incident, record: on.IncidentAcknowledged) -> str:
    """Who has it, as a line of its timeline."""
    climb = incident.climb
    climb.acknowledged_by, climb.acknowledged_at = record.by, record.at
    climb.lost, climb.urgent = "", False
    return f"acknowledged by {record.by}" + (f": {record.reason}" if record.reason else "")


def shift(incident: Incident, shift_ns: int) -> None:
    """Its times on another boot's clock."""
    climb = incident.climb
    climb.at = Nanos(climb.at + shift_ns)
    if climb.acknowledged_at is not None:
        climb.acknowledged_at = Nanos(climb.acknowledged_at + shift_ns)
    for telling in incident.told:
        telling.notice = msgspec.structs.replace(telling.notice, at=Nanos(telling.notice.at + shift_ns))
        telling.delivered = [msgspec.structs.replace(one, at=Nanos(one.at + shift_ns)) for one in telling.delivered]


def _incident(state: "State", name: IncidentId | None) -> Incident | None:
    return None if name is None else state.incidents.get(name)


def _issued(incident: Incident, notice: Notice) -> None:
    incident.told.append(Telling(notice=notice))
    del incident.told[:-TELLINGS_MAX]


def _delivered(state: "State", record: on.NoticeDelivered) -> None:
    waiting = state.untold.get(record.key)
    if waiting is not None and not record.last:
        state.untold[record.key] = msgspec.structs.replace(waiting, had=(*waiting.had, record.by))
    about = _incident(state, IncidentId(record.key.partition(":")[0]))
    if about is None:
        return
    for telling in reversed(about.told):
        if telling.notice.key == record.key:
            telling.delivered.append(Delivered(record.by, record.at, record.ok, record.reason))
            return


def _lost(incident: Incident, record: on.CommandRefused | on.StageChanged | on.Escalated) -> None:
    """Containment does not hold: a person is to be called who has not been called yet."""
    climb = incident.climb
    match record:
        case _ if incident.phase is Phase.CLOSED or climb.urgent:
            return
        case on.Escalated():
            climb.lost, climb.urgent = record.reason, True
        case on.CommandRefused():
            climb.lost = f"{record.rule} refused what was wanted: {record.reason}"
        case on.StageChanged():
            before = incident.containments.get(str(record.target))
            if record.relapses > (0 if before is None else before.relapses):
                climb.lost = f"{record.target} relapsed: {record.reason}"
