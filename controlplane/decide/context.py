"""What surrounds an incident, put on record with it as evidence: drifted endpoints and recent changes.

None of it is a ground to act. It is added once for each incident, when it opens and when it comes to touch more.
"""

from controlplane.decide.draft import Draft
from controlplane.decide.drift import reasons
from controlplane.model.incident import Incident
from controlplane.model.record import EvidenceAdded, IncidentOpened, OriginMoved

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
    for text in reasons(draft.state, services)[:LINES_MAX]:
        if text not in incident.evidence:
            draft.record(EvidenceAdded(at=draft.now, incident=incident.id, target=incident.origin, evidence=text))
