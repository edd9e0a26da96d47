"""Phases of an incident as a table, and the records that move it along."""

from controlplane.model.incident import MOVES, Incident, Phase
from controlplane.model.record import PhaseChanged
from controlplane.model.unit import Nanos


def move(incident: Incident, phase: Phase, reason: str, now: Nanos) -> list[PhaseChanged]:
    """The record that brings `incident` to `phase`; empty when it is there already.

    An illegal move is our own mistake, not an input's: it asserts.
    """
    if incident.phase is phase:
        return []
    assert phase in MOVES[incident.phase], f"{incident.id}: {incident.phase} -> {phase} is not in the table"
    return [PhaseChanged(at=now, incident=incident.id, phase=phase, reason=reason)]


def may_move(incident: Incident, phase: Phase) -> bool:
    """Whether the table has that move."""
    return phase in MOVES[incident.phase]
