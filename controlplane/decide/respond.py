"""From a verdict to an incident and its containment; from new evidence to a relapse or the next stage."""

from controlplane.decide import blame, penalty, recovery, side
from controlplane.decide.change.noted import recent
from controlplane.decide.draft import Draft
from controlplane.decide.evidence import Evidence
from controlplane.decide.late import acquit, patient
from controlplane.decide.masked import masked
from controlplane.decide.plan.first_act import LATE, TOGETHER_NS, Plan, plan
from controlplane.model.command import Command, Eject, Intent, Isolate, Limit, Probe
from controlplane.model.incident import CHILDREN_MAX, Containment, Incident, Stage
from controlplane.model.record import (
    CommandAcknowledged,
    Escalated,
    EvidenceAdded,
    ImpactCounted,
    IncidentMerged,
    IncidentOpened,
    MaskChanged,
)
from controlplane.model.signal import Acted, Cause, Probed, Relayed, Target, Tripped
from controlplane.model.topology import Service
from controlplane.model.unit import IncidentId, Nanos


def trip(draft: Draft, evidence: Evidence, signal: Tripped) -> None:
    """Answer a verdict about an endpoint or a service."""
    service = draft.topology.service(signal.target.service)
    if service is None:
        return  # unknown is no ground to act on; the admin API refuses such signals with a message
    tripped_at = evidence.tripped(signal.target, signal.at, signal.cause)
    evidence.reflex(signal)
    seen = _seen(signal)
    late = evidence.late_ones.setdefault(service.name, set())
    (late.add if signal.cause in LATE else late.discard)(signal.target.endpoint)
    failed_at = evidence.failed_at.get(service.name, {})
    late = late - {signal.target.endpoint}
    decided = plan(signal, service, tripped_at, draft.policy, failed_at=failed_at, late=late)
    incident = about(draft, service)
    decided = patient(evidence, service, signal, decided)
    if incident is None:
        # where no incident is open, a guard ejects the first bad endpoint by itself: it did not, so all are suspect
        everywhere = signal.capped or any(not target.endpoint for target, _ in decided.acts)
        everywhere = everywhere or not signal.target.endpoint
        if _laid_below(draft, evidence, service, signal, seen, everywhere=everywhere):
            return
        incident = open_incident(
            draft,
            evidence,
            service.name,
            signal.target,
            decided.cause or signal.cause,
            signal.at,
            seen,
            began_at=signal.began_at,
            by=signal.by,
        )
    else:
        at_home = incident.origin.service == service.name  # of what is only held, nothing changes what the cause is
        _alert(draft, incident, signal, seen, decided if at_home else None)
    evidence.felt(incident, signal.at)
    if decided.veto:
        draft.refuse(incident, signal.target, Isolate(), decided.veto, f"{service.name}: {decided.reason}")
    for target, intent in decided.acts:
        held = incident.containments.get(str(target))
        if held is None or target == signal.target or not target.endpoint:
            reflex = signal.contained and target == signal.target
            contain(draft, evidence, incident, target, intent, decided.reason, signal.at, reflex=reflex)
    if all(target != signal.target for target, _ in decided.acts):
        _earns_nothing(draft, evidence, incident, signal.target)
    if decided.together:
        acquit(draft, evidence, incident, service)


def _earns_nothing(draft: Draft, evidence: Evidence, incident: Incident, target: Target) -> None:
    """Bad again on its way back, and not to be held for it, as where all fail together: at least no step further."""
    held = incident.containments.get(str(target))
    if held is not None and held.stage in (Stage.RAMP, Stage.FULL):
        draft.stage(incident, target, recovery.again(held, draft.policy), None)
        evidence.stage_began(target)


def about(draft: Draft, service: Service) -> Incident | None:
    """The open incident that a verdict about `service` belongs to: its origin lies there, or it holds it back."""
    incident = open_at(draft, service.name)
    if incident is None:
        parts = (Target(service.name, endpoint.name) for endpoint in service.endpoints)
        incident = draft.state.holder((Target(service.name), *parts))
    return incident


def open_at(draft: Draft, service: str) -> Incident | None:
    """The open incident whose origin lies in `service`, unless only alerts of others know of it."""
    incident = draft.state.open_at(service)
    return None if incident is None or incident.cause is Cause.ALERT else incident


def _alert(draft: Draft, incident: Incident, signal: Tripped, seen: str, decided: Plan | None = None) -> None:
    """Put a verdict on record that `incident` explains: a child of it, unless it has been told the same already."""
    cause = None if decided is None else decided.cause
    version = "" if decided is None else decided.version
    by = signal.by or draft.topology.entry
    told = incident.alerted(signal.target, signal.cause, by) or len(incident.children) >= CHILDREN_MAX
    if told and signal.target in incident.touched and version in ("", incident.version):
        return
    draft.record(
        EvidenceAdded(
            at=draft.now,
            incident=incident.id,
            target=signal.target,
            evidence=seen,
            cause=cause,
            version=version,
            alert=None if told else signal.cause,
            by=by,
            began_at=signal.began_at,
        )
    )


def _laid_below(
    draft: Draft, evidence: Evidence, service: Service, signal: Tripped, seen: str, *, everywhere: bool
) -> bool:
    """Whether what fails at `service` is the failure of somebody below it, and is put down there."""
    found = blame.accused(service.name, evidence.graph, draft.now, _changed(draft, signal))
    below = None
    if found is not None and not found.itself:
        below = open_at(draft, found.service)
        if below is None:
            why = f"{found.share:.0%} of what {service.name} shows comes from it; at {signal.target} {seen}"
            origin = Target(found.service)
            below = open_incident(
                draft, evidence, found.service, origin, Cause.DEPENDENCY, signal.at, why, began_at=signal.began_at
            )
    elif found is None and everywhere:  # nobody tells of the calls that it makes
        below = blame.origin_below(
            service.name, draft.state, evidence.graph, lambda open_: _explains(draft, open_, evidence)
        )
    if below is None:
        return False
    _alert(draft, below, signal, seen)
    evidence.felt(below, signal.at)
    return True


def _changed(draft: Draft, signal: Tripped) -> set[str]:
    onset = min(signal.at, signal.began_at or signal.at)
    return {one.service for one in recent(draft.state, list(draft.state.changes), onset)}


def contain(
    draft: Draft,
    evidence: Evidence,
    incident: Incident,
    target: Target,
    intent: Intent,
    reason: str,
    signal_at: Nanos,
    *,
    reflex: bool = False,
) -> None:
    """Hold `target` back, or hold it again after a relapse. Where it is held already there is nothing to add."""
    held = incident.containments.get(str(target))
    if held is not None and held.stage is Stage.HOLD:
        return
    whole = incident.containments.get(target.service) if target.endpoint else None
    if whole is not None and whole.stage in (Stage.HOLD, Stage.PROBE) and not (whole.overload and reflex):
        # held as a whole; only where it is limited, and so still called, a guard may see that one is sick alone
        _earns_nothing(draft, evidence, incident, target)
        return
    if held is not None and isinstance(intent, Isolate) and not _dispensable(draft, target):
        # a part of its calls may well be answered, as where one shard is out: probes in a row would never pass, and all
        # of that part would be lost
        intent = Limit(draft.policy.overload_concurrency)
        reason = f"{reason}; it relapsed and nobody can do without it: limited, for what it still answers"
    step = recovery.contain(intent, draft.policy.pace(whole=not target.endpoint), held, penalty.sentence(draft, target))
    if step.relapses > draft.policy.remedy_attempts_max:
        escalate(draft, incident, f"{target} relapsed {step.relapses} times: the remedy does not last")
    command = draft.order(incident, target, intent, reason, signal_at=signal_at, reflex=reflex)
    if command is not None:
        draft.stage(incident, target, step, command)
        evidence.stage_began(target)
    elif held is not None and held.stage in (Stage.RAMP, Stage.FULL):
        draft.stage(
            incident, target, recovery.again(held, draft.policy), None
        )  # bad, but not to be held: at least no step further
        evidence.stage_began(target)


def _dispensable(draft: Draft, target: Target) -> bool:
    """Whether callers can do without `target`, so that isolating it costs them little."""
    service = draft.topology.service(target.service)
    return service is None or service.dispensable


def acted(draft: Draft, evidence: Evidence, incident: Incident, command: Command, signal: Acted) -> None:
    """A data plane answered: only now is the target held back, or a person called."""
    target = command.target
    at = min(signal.at, draft.now)  # when it took it, not when the engine heard so
    draft.record(
        CommandAcknowledged(at=at, incident=incident.id, command=command.id, ok=signal.ok, reason=signal.reason)
    )
    if not signal.ok:
        evidence.not_taken(target, draft.now, retryable=signal.retryable)
        escalate(draft, incident, f"{target}: the order was not taken: {signal.reason}")
        return
    evidence.taken(target)


def probed(draft: Draft, evidence: Evidence, signal: Probed) -> None:
    """Real requests have passed, or one has failed."""
    if signal.passed:
        evidence.reflexes.discard(signal.target)
    found = draft.state.containment(signal.target)
    if found is None:
        return
    incident, held = found
    if incident.shadow:
        return
    if not signal.passed:
        if held.stage is not Stage.HOLD:
            evidence.tripped(signal.target, signal.at)
            intent = Eject() if signal.target.endpoint else Isolate()
            contain(draft, evidence, incident, signal.target, intent, "a probe failed", signal.at)
        return
    step = recovery.passed(held, draft.policy)
    if step is not None:
        take(draft, evidence, incident, held, step)


def take(draft: Draft, evidence: Evidence, incident: Incident, held: Containment, step: recovery.Step) -> None:
    """Carry out one step of a recovery. A refused order leaves the stage as it was: it is asked for again."""
    target = held.target
    command = None
    wanted = side.careful(draft, evidence, held, step)
    if wanted is None:
        return
    step = wanted
    if isinstance(step.intent, Isolate):
        evidence.signal_at[target] = draft.now  # what decided is that the limit did not help, not the first verdict
    if step.intent is not None:
        signal_at = evidence.signal_at.get(target, incident.signal_at)
        command = draft.order(incident, target, step.intent, step.reason, signal_at=signal_at)
        if command is None:
            return
    draft.stage(incident, target, step, command)
    evidence.stage_began(target)
    if isinstance(step.intent, Isolate):
        escalate(draft, incident, step.reason)
    if step.stage in (Stage.FULL, Stage.VERIFIED):
        evidence.cleared(target)


def relayed(draft: Draft, evidence: Evidence, signal: Relayed) -> None:
    """A caller answered with a failure and named its cause: the named service is accused, never the relay."""
    service = draft.topology.service(signal.callee)
    if service is None:
        return  # names come in headers: those that nobody declared are not even remembered
    count = evidence.relayed.count(signal)
    if (incident := about(draft, service)) is not None:
        evidence.felt(incident, signal.at)
        return
    if count < blame.RELAYED_MIN:
        return
    callers = ", ".join(evidence.relayed.callers(signal.callee))
    seen = f"{count} failures relayed by {callers}, which named it"
    origin, began_at = Target(service.name), evidence.relayed.since(signal.callee)
    open_incident(
        draft, evidence, service.name, origin, Cause.DEPENDENCY, signal.at, seen, began_at=began_at, by=signal.caller
    )


def open_incident(
    draft: Draft,
    evidence: Evidence,
    service: str,
    origin: Target,
    cause: Cause,
    at: Nanos,
    seen: str,
    *,
    began_at: Nanos | None = None,
    by: str = "",
) -> Incident:
    """A new incident on record, with its first notice. `by`: who reported it; empty: this plane itself."""
    number = draft.state.incidents_total + 1
    name = IncidentId(f"i{number}")
    shadow = draft.state.mode == "observe"
    draft.record(
        IncidentOpened(
            at=draft.now,
            incident=name,
            origin=origin,
            cause=cause,
            signal_at=at,
            shadow=shadow,
            evidence=seen,
            began_at=began_at,
            by=by or draft.topology.entry,
        )
    )
    incident = draft.state.incidents[name]
    told = draft.state.open_at(service)  # the older one, where there are two
    declared = draft.topology.service(service) or Service(name=service)
    is_masked, why = masked(declared, evidence.fell_back_at.get(service), evidence.entry, draft.now)
    if is_masked:
        draft.record(MaskChanged(at=draft.now, incident=name, masked=True, reason=why))
    hidden = f"; users see nothing of it: {why}" if is_masked else ""
    draft.notice(incident, "warning", f"{name} opened: {origin}: {cause}: {seen}{hidden}", "opened")
    if told is not None and told is not incident and told.cause is Cause.ALERT:
        merge(draft, evidence, told, incident, "an alert had told of it before there was evidence")
    return incident


def merge(draft: Draft, evidence: Evidence, incident: Incident, into: Incident, reason: str) -> None:
    """`incident` is the failure of `into`: it goes on as a child of that one, and people are told so."""
    if requests := evidence.unaccounted.pop(incident.id, 0):
        draft.record(ImpactCounted(at=draft.now, incident=incident.id, requests=requests))
    draft.record(IncidentMerged(at=draft.now, incident=incident.id, into=into.id, reason=reason))
    if (felt := evidence.felt_at.get(incident.id)) is not None:
        evidence.felt(into, felt)
    text = f"{into.id} takes in {incident.id} ({incident.origin}): {reason}"
    draft.notice(into, "warning", text, f"takes in:{incident.id}")
    draft.notice(incident, "info", f"{incident.id} closed: it is part of {into.id} ({into.origin})", "closed")


def escalate(draft: Draft, incident: Incident, reason: str) -> None:
    """Call a person, once per incident."""
    if not incident.escalated:
        draft.record(Escalated(at=draft.now, incident=incident.id, reason=reason))
        draft.notice(incident, "critical", f"{incident.id} needs a person: {reason}", "escalated")


def _explains(draft: Draft, below: Incident, evidence: Evidence) -> bool:
    """Whether failures everywhere at a caller may be this incident's: it is fresh or still heard of, or its whole
    service is held back. One that only stays open, for its recovery to be proven, must not hide a new failure, and one
    sick endpoint among well ones is no reason for everything at a caller to fail."""
    if below.cause in (Cause.SLOW, Cause.ALERT) or _is_one_of_many(draft, below):
        return False
    now, name = draft.now, below.origin.service
    whole = below.containments.get(name)
    if whole is not None and whole.stage in (Stage.HOLD, Stage.PROBE, Stage.RAMP):
        return True
    heard = max([below.signal_at, *(at for target, at in evidence.signal_at.items() if target.service == name)])
    return now - heard <= TOGETHER_NS or not evidence.relayed.quiet(name, now, Nanos(TOGETHER_NS))


def _is_one_of_many(draft: Draft, incident: Incident) -> bool:
    service = draft.topology.service(incident.origin.service)
    return bool(incident.origin.endpoint) and service is not None and len(service.endpoints) > 1


def _seen(signal: Tripped) -> str:
    how = {
        Cause.ERRORS: "calls failed",
        Cause.SLOW: "calls were failing or much slower than healthy traffic",
        Cause.STALLED: "calls failed or did not come back",
        Cause.OVERLOAD: "calls failed, most by time-outs, stalls or 429/503",
        Cause.UNREACHABLE: "probes failed",
    }.get(signal.cause, "calls failed")
    return f"{signal.failures} of {signal.calls} {how}" if signal.calls else how


def reopen(draft: Draft, evidence: Evidence, incident: Incident, held: Containment) -> None:
    """The lease of a containment ran out while nobody watched: the target is free, so it is tried with care."""
    if held.stage in (Stage.HOLD, Stage.PROBE, Stage.RAMP):
        reason = "its lease ran out while the engine was down"
        step = recovery.Step(Stage.PROBE, 0, Probe(), reason, held.penalty_ns, held.relapses)
        take(draft, evidence, incident, held, step)
