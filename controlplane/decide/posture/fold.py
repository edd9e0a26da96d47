"""The fold's part of posture: findings by guard, each with its lines in the incident that it is an entry of."""

from typing import TYPE_CHECKING

import msgspec

from controlplane.model import posture as on
from controlplane.model.record import IncidentMerged
from controlplane.model.unit import Nanos

if TYPE_CHECKING:
    from controlplane.decide.state import State


def fold(state: "State", record: on.PostureRecord) -> str:
    """Fold what was found; the answer is its line for people."""
    match record:
        case on.PostureFound():
            state.findings[record.finding.guard] = record.finding
            state.findings_total += 1
            return f"finding {record.finding.id}: {record.finding}"
        case on.PostureChanged():
            if record.finding.guard in state.findings:
                state.findings[record.finding.guard] = record.finding
            return f"finding {record.finding.id}: {record.finding}"
        case on.PostureCleared():
            state.findings.pop(record.guard, None)
            return f"finding {record.finding} is over: {record.reason}"


def merged(state: "State", record: IncidentMerged) -> None:
    """What was an entry of one incident is one of the other."""
    for guard, finding in state.findings.items():
        if finding.incident == record.incident:
            state.findings[guard] = msgspec.structs.replace(finding, incident=record.into)


def shift(state: "State", shift_ns: int) -> None:
    """Bring times to this boot's clock."""
    for guard, finding in state.findings.items():
        state.findings[guard] = msgspec.structs.replace(finding, since=Nanos(finding.since + shift_ns))
