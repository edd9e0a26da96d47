"""What surrounds an incident, put on record with it as evidence: drifted endpoints and recent changes.

None of it is a ground to act. It is added once for each incident, when it opens and when it comes to touch more.
"""

from controlplane.decide.change.noted import recent
from controlplane.decide.draft import Draft
from controlplane.decide.drift import reasons
from controlplane.model.incident import Incident
from controlplane.model.record import EvidenceAdded, IncidentOpened, OriginMoved
from controlplane.model.unit import SECOND

CHANGES_MAX = 4  # of one incident: the latest
LINES_MAX = 8  # for one incident at a time


def add(draft: Draft) -> None:
    """Look at the incidents that began or grew in this step."""
    grew = (IncidentOpened, EvidenceAdded, OriginMoved)
    names = dict.fromkeys(record.incident for record in draft.records if isinstance(record, grew))
    for name in names:
        if (incident := draft.state.incidents.get(name)) is not None:
            _surround(draft, incident)


def _surround(draft: Draft, incident: Incident) -> None:
    services = sorted({target.service for target in (incident.origin, *incident.touched)})
    onset = min(incident.signal_at, incident.began_at or incident.signal_at)
    lines = reasons(draft.state, services)[:LINES_MAX]
    for change in recent(draft.state, services, onset)[:CHANGES_MAX]:
        lines.append(f"{change.text} {(onset - change.made_at) / SECOND:.0f} s before it began")
    for text in lines:
        if text not in incident.evidence:
            draft.record(EvidenceAdded(at=draft.now, incident=incident.id, target=incident.origin, evidence=text))
