"""The fold's part of posture: findings by guard, each an entry of its incident, which keeps it when it is over."""

from typing import TYPE_CHECKING

import msgspec

from controlplane.model import posture as on
from controlplane.model.incident import Incident
from controlplane.model.record import IncidentMerged
from controlplane.model.unit import Nanos

if TYPE_CHECKING:
    from controlplane.decide.state import State

FINDINGS_MAX = 100  # of one incident: a guard that flaps must not grow memory without end


def fold(state: "State", incident: Incident, record: on.PostureRecord) -> str:
    """Fold what was found; the answer is its line for people."""
    match record:
        case on.PostureFound():
            state.findings[record.finding.guard] = record.finding
            state.findings_total += 1
            _keep(incident, record.finding)
            return f"finding {record.finding.id}: {record.finding}"
        case on.PostureChanged():
            if record.finding.guard in state.findings:
                state.findings[record.finding.guard] = record.finding
                _keep(incident, record.finding)
            return f"finding {record.finding.id}: {record.finding}"
        case on.PostureCleared():
            found = state.findings.pop(record.guard, None)
            if found is not None:
                _keep(incident, msgspec.structs.replace(found, over_at=record.at, over=record.reason))
            return f"finding {record.finding} is over: {record.reason}"


def merged(state: "State", record: IncidentMerged) -> None:
    """What was an entry of one incident is one of the other."""
    into = state.incidents.get(record.into)
    for guard, finding in state.findings.items():
        if finding.incident == record.incident:
            state.findings[guard] = moved = msgspec.structs.replace(finding, incident=record.into)
            if into is not None:
                _keep(into, moved)


def shift(state: "State", shift_ns: int) -> None:
    """Bring times to this boot's clock."""

    def shifted(finding: on.Finding) -> on.Finding:
        over_at = None if finding.over_at is None else Nanos(finding.over_at + shift_ns)
        return msgspec.structs.replace(finding, since=Nanos(finding.since + shift_ns), over_at=over_at)

    state.findings = {guard: shifted(finding) for guard, finding in state.findings.items()}
    for incident in state.incidents.values():
        incident.findings = [shifted(finding) for finding in incident.findings]


def _keep(incident: Incident, finding: on.Finding) -> None:
    incident.findings = [one for one in incident.findings if one.id != finding.id] + [finding]
    del incident.findings[:-FINDINGS_MAX]
