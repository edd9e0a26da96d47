"""What an alert of somebody else means: it supports an incident, and where nothing else is known it opens one.

It authorises nothing. An alert may be old, about another fleet, or wrong, and whoever sends it names services by labels
that anybody may set; so no traffic moves by it, no verdict is weighed differently beside it, and an incident that only
alerts know of gives way to the first that has evidence of its own (respond.open_incident). It stays open while they
fire.
"""

from controlplane.decide import respond
from controlplane.decide.draft import Draft
from controlplane.decide.evidence import Evidence
from controlplane.decide.state import State
from controlplane.decide.watch import tell
from controlplane.model.command import Eject, Isolate
from controlplane.model.signal import Alerted, Cause, Target
from controlplane.model.unit import Nanos


def hear(draft: Draft, evidence: Evidence, signal: Alerted) -> None:
    """An alert fires, fires still, or is over. What is repeated says nothing new."""
    target = signal.target
    if not signal.firing:
        if evidence.alerts.resolved(signal.fingerprint):
            _tell(draft, target, f"alert {signal.name} is resolved", f"resolved:{signal.fingerprint}")
        return
    if not evidence.alerts.fires(signal):
        return
    severity = f" ({signal.severity})" if signal.severity else ""
    seen = f"{signal.name}{severity}{': ' if signal.summary else ''}{signal.summary}"
    if draft.state.open_at(target.service) is not None:
        _tell(draft, target, f"alert {seen}", f"alert:{signal.fingerprint}")
        return
    incident = respond.open_incident(
        draft,
        evidence,
        target.service,
        target,
        Cause.ALERT,
        signal.at,
        seen,
        began_at=signal.began_at,
        by=signal.by,
    )
    intent = Eject() if target.endpoint else Isolate()
    draft.refuse(incident, target, intent, "alert", f"{target}: an alert alone moves no traffic")


def stand(draft: Draft, evidence: Evidence) -> None:
    """What time brings: alerts end that were not repeated, and those that fire keep open what only they know of."""
    for one in evidence.alerts.lapsed(draft.now):
        _tell(draft, one.target, f"alert {one.name} was not repeated: it is taken for resolved", f"lapsed:{draft.now}")
    for incident in draft.state.open_incidents():
        if incident.cause is Cause.ALERT and evidence.alerts.about(incident.origin.service):
            evidence.signal_at[incident.origin] = draft.now
            evidence.felt(incident, draft.now)


def with_evidence(state: State) -> dict[str, Nanos]:
    """Services with an open incident that more is known of than alerts, and since when: what is seen there meanwhile
    must not become normal. An alert that fires for days stops nobody from learning."""
    running = (incident for incident in state.open_incidents() if incident.cause is not Cause.ALERT)
    return {incident.origin.service: incident.signal_at for incident in running}


def _tell(draft: Draft, target: Target, text: str, key: str) -> None:
    incident = draft.state.open_at(target.service)
    if incident is not None:
        tell(draft, incident, f"{target}: {text}", f"{key}:{draft.now}")
