"""Evidence on which nothing is done by itself: a latency that drifts, traffic that stopped, a missing heartbeat.

Each is told, and put on record with the incident that it belongs to where one is open. None of it is noted as a verdict
about an endpoint: no later act may lean on it.
"""

from controlplane.decide import respond
from controlplane.decide.detection.expected import Missed, Stopped
from controlplane.decide.draft import Draft
from controlplane.decide.evidence import Evidence
from controlplane.decide.feedback.storm import Storm
from controlplane.model.command import Eject, Isolate, Limit
from controlplane.model.incident import Incident
from controlplane.model.record import EvidenceAdded
from controlplane.model.signal import Cause, Drifted, Heartbeat, Signal, Tripped
from controlplane.model.topology import Service
from controlplane.model.unit import SECOND, Nanos

EDGES_TOLD = 3  # by name, in one notice
UNEXPLAINED_NS = 3 * SECOND  # users' failures without an incident: verdicts have had time to come
INVALID_EVERY_NS = 60 * SECOND  # a source that tells nonsense does so all the time: people are told once a minute


def invalid(draft: Draft, evidence: Evidence, signal: Signal, reason: str) -> None:
    """Nothing acts on `signal`. That it would have led to an act is on record under the rule's name."""
    kind = type(signal).__name__.lower()
    incident = None
    if isinstance(signal, Tripped):
        incident = draft.state.open_at(signal.target.service)
        if incident is not None:
            intent = Eject() if signal.target.endpoint else Isolate()
            what = f"a verdict about {signal.target}"
            if not any(one.startswith(f"invalid_data: {what}") for one in incident.refused):  # its age is no news
                draft.refuse(incident, signal.target, intent, "invalid_data", f"{what}: {reason}")
    if draft.now - evidence.invalid_at >= INVALID_EVERY_NS:
        evidence.invalid_at = draft.now
        draft.notice(incident, "warning", f"a signal ({kind}) is not believed: {reason}", f"invalid:{draft.now}")


def drifted(draft: Draft, signal: Drifted) -> None:
    """Answers take longer than they used to, and it is no ground to act."""
    if draft.topology.service(signal.target.service) is None:
        return
    why = "not far enough from its siblings to be held back" if signal.alone else "its siblings take longer, too"
    text = f"{signal.target} takes {signal.factor:g} x as long as was normal there ({signal.calls} calls): {why}"
    tell(draft, draft.state.open_at(signal.target.service), text, f"drifted:{signal.target}")


def beat(draft: Draft, evidence: Evidence, signal: Heartbeat) -> None:
    """A heartbeat came; of one that was missing people are told that it is back."""
    target = signal.target
    service = draft.topology.service(target.service)
    if service is None or not _known(service, target.endpoint):
        return
    if evidence.expected.beat(signal):
        left = signal.every_ns <= 0
        text = f"{target} {'has left: its heartbeat is not expected' if left else 'beats again'}"
        tell(draft, draft.state.open_at(target.service), text, f"beats:{target}:{signal.at}")


def silent(draft: Draft, evidence: Evidence) -> None:
    """What did not happen by now, though it was expected."""
    for storm in evidence.storms.lapse(draft.now):
        stormed(draft, None, storm)
    missed, stopped = evidence.expected.silent(draft.now)
    for one in missed:
        _missing(draft, evidence, one)
    held = {
        command.target.service
        for command in draft.state.in_force.values()
        if isinstance(command.intent, Isolate | Limit)  # that traffic we stopped ourselves
    }
    _stopped(draft, [one for one in stopped if one.callee not in held and one.caller not in held])


def stormed(draft: Draft, begun: Storm | None, ended: Storm | None) -> None:
    """A retry storm has begun, or is over: told, and on record with the incident of whom it hits or whose it is.

    What is done about it is the plan's: it caps retries where that is worth its price (`decide.plan.load`)."""
    for storm, text, severity in ((begun, "retry storm", "warning"), (ended, "the retry storm is over", "info")):
        if storm is not None:
            caller, callee = storm.edge
            incident = draft.state.open_at(callee) or draft.state.open_at(caller)
            key = f"storm:{caller}:{callee}:{draft.now}"
            tell(draft, incident, f"{text}: {storm.text}", key, severity)


def unexplained(draft: Draft, evidence: Evidence) -> None:
    """Users see failures, and no incident accounts for them: nothing can be done about it but to say so, once."""
    if draft.state.open or not evidence.entry.visible(draft.now):
        evidence.unexplained_at = None
        return
    if evidence.unexplained_at is None:
        evidence.unexplained_at = draft.now
    elif draft.now - evidence.unexplained_at >= UNEXPLAINED_NS and evidence.unexplained_told != evidence.unexplained_at:
        evidence.unexplained_told = evidence.unexplained_at
        text = "users' requests fail, and no incident accounts for it: look at what nobody guards or reports"
        draft.notice(None, "warning", text, f"unexplained:{draft.now}")


def _missing(draft: Draft, evidence: Evidence, one: Missed) -> None:
    service = one.target.service
    incident = draft.state.open_at(service)
    seen = f"no heartbeat for {one.silent_ns / SECOND:.3g} s, expected every {one.every_ns / SECOND:g} s"
    if one.news:
        if incident is None:
            incident = respond.open_incident(
                draft,
                evidence,
                service,
                one.target,
                Cause.UNREACHABLE,
                draft.now,
                seen,
                began_at=Nanos(draft.now - one.silent_ns),
                by=str(one.target),
            )
        else:
            tell(draft, incident, f"{one.target}: {seen}", f"missing:{one.target}:{draft.now}")
        intent = Eject() if one.target.endpoint else Isolate()
        draft.refuse(
            incident, one.target, intent, "silence", f"{one.target}: a missing heartbeat alone moves no traffic"
        )
    if incident is not None and incident.origin == one.target:
        evidence.signal_at[one.target] = draft.now  # it is still missing: the incident stays open
        evidence.felt(incident, draft.now)


def _stopped(draft: Draft, stopped: list[Stopped]) -> None:
    loose = []
    for one in stopped:
        text = f"{one.caller or 'users'} -> {one.callee}: {_lately(one)}"
        incident = draft.state.open_at(one.callee) or draft.state.open_at(one.caller)
        if incident is None:
            loose.append(text)
        else:
            tell(draft, incident, f"traffic stopped: {text}", f"stopped:{one.caller}:{one.callee}:{draft.now}")
    if loose:
        more = f", and {len(loose) - EDGES_TOLD} more" if len(loose) > EDGES_TOLD else ""
        text = f"traffic stopped: {'; '.join(loose[:EDGES_TOLD])}{more}. It may be no more than a quiet hour"
        tell(draft, None, text, f"stopped:{draft.now}")


def _lately(one: Stopped) -> str:
    return f"none for {one.silent_ns / SECOND:.3g} s, where lately {one.gap_ns / SECOND:.3g} s was the mean gap"


def tell(draft: Draft, incident: Incident | None, text: str, key: str, severity: str = "info") -> None:
    """Put `text` on record with `incident`, as evidence that nothing acts on, and let people know."""
    if incident is not None:  # about its origin: nothing new is touched by what is not acted on
        draft.record(EvidenceAdded(at=draft.now, incident=incident.id, target=incident.origin, evidence=text))
    draft.notice(incident, severity, text, key)


def _known(service: Service, endpoint: str) -> bool:
    return not endpoint or any(one.name == endpoint for one in service.endpoints)
