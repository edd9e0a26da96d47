"""From a verdict to an incident and its containment; from new evidence to a relapse or the next stage."""

from controlplane.decide import blame, lifecycle, recovery
from controlplane.decide.draft import Draft
from controlplane.decide.evidence import Evidence
from controlplane.decide.impact import masked
from controlplane.decide.plan.first_act import TOGETHER_NS, plan
from controlplane.model.command import Command, Eject, Intent, Isolate, Limit, Probe
from controlplane.model.incident import Containment, Incident, Phase, Stage
from controlplane.model.record import CommandAcknowledged, Escalated, EvidenceAdded, IncidentOpened, MaskChanged
from controlplane.model.signal import Acted, Cause, Probed, Relayed, Target, Tripped
from controlplane.model.topology import Service
from controlplane.model.unit import IncidentId, Nanos


def trip(draft: Draft, evidence: Evidence, signal: Tripped) -> None:
    """Answer a verdict about an endpoint or a service."""
    service = draft.topology.service(signal.target.service)
    if service is None:
        return  # unknown is no ground to act on; the admin API refuses such signals with a message
    tripped_at = evidence.tripped(signal.target, signal.at)
    seen = _seen(signal)
    decided = plan(signal, service, tripped_at, draft.policy)
    incident = draft.state.open_at(service.name)
    if incident is None:
        everywhere = not signal.target.endpoint or (signal.capped and decided.cause is not None)
        if _laid_below(draft, evidence, service, signal, seen, everywhere=everywhere):
            return
        incident = open_incident(
            draft, evidence, service.name, signal.target, decided.cause or signal.cause, signal.at, seen
        )
    elif signal.target not in incident.touched or (decided.version and decided.version != incident.version):
        draft.record(
            EvidenceAdded(
                at=draft.now,
                incident=incident.id,
                target=signal.target,
                evidence=seen,
                cause=decided.cause,
                version=decided.version,
            )
        )
    if decided.veto:
        draft.refuse(incident, signal.target, Isolate(), decided.veto, f"{service.name}: {decided.reason}")
    for target, intent in decided.acts:
        held = incident.containments.get(str(target))
        if held is None or target == signal.target or not target.endpoint:
            reflex = signal.contained and target == signal.target
            contain(draft, evidence, incident, target, intent, decided.reason, signal.at, reflex=reflex)
    if all(target != signal.target for target, _ in decided.acts):
        _earns_nothing(draft, evidence, incident, signal.target)


def _earns_nothing(draft: Draft, evidence: Evidence, incident: Incident, target: Target) -> None:
    """Bad again on its way back, and not to be held for it, as where all fail together: at least no step further."""
    held = incident.containments.get(str(target))
    if held is not None and held.stage in (Stage.RAMP, Stage.FULL):
        draft.stage(incident, target, recovery.again(held), None)
        evidence.stage_began(target)


def _laid_below(
    draft: Draft, evidence: Evidence, service: Service, signal: Tripped, seen: str, *, everywhere: bool
) -> bool:
    """Whether what fails at `service` is the failure of somebody below it, and is put down there."""
    found = blame.accused(service.name, evidence.graph, draft.now)
    below = None
    if found is not None and not found.itself:
        below = draft.state.open_at(found.service)
        if below is None:
            why = f"{found.share:.0%} of what {service.name} shows comes from it; at {signal.target} {seen}"
            origin = Target(found.service)
            below = open_incident(draft, evidence, found.service, origin, Cause.DEPENDENCY, signal.at, why)
    elif found is None and everywhere:  # nobody tells of the calls that it makes
        below = blame.origin_below(
            service.name, draft.state, evidence.graph, lambda open_: _explains(open_, evidence, draft.now)
        )
    if below is None:
        return False
    if signal.target not in below.touched:
        draft.record(EvidenceAdded(at=draft.now, incident=below.id, target=signal.target, evidence=seen))
    return True


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
    step = recovery.contain(intent, draft.policy, held)
    if step.relapses > draft.policy.remedy_attempts_max:
        escalate(draft, incident, f"{target} relapsed {step.relapses} times: the remedy does not last")
    command = draft.order(incident, target, intent, reason, signal_at=signal_at, reflex=reflex)
    if command is not None:
        draft.stage(incident, target, step, command)
        evidence.stage_began(target)
    elif held is not None and held.stage in (Stage.RAMP, Stage.FULL):
        draft.stage(incident, target, recovery.again(held), None)  # bad, but not to be held: at least no step further
        evidence.stage_began(target)


def acted(draft: Draft, evidence: Evidence, incident: Incident, command: Command, signal: Acted) -> None:
    """A data plane answered: only now is the incident contained, or somebody told why not."""
    target = command.target
    draft.record(
        CommandAcknowledged(at=draft.now, incident=incident.id, command=command.id, ok=signal.ok, reason=signal.reason)
    )
    if not signal.ok:
        evidence.not_taken(target, draft.now, retryable=signal.retryable)
        escalate(draft, incident, f"{target}: the order was not taken: {signal.reason}")
        return
    evidence.taken(target)
    if isinstance(command.intent, Eject | Isolate | Limit) and lifecycle.may_move(incident, Phase.CONTAINED):
        held = incident.containments.get(str(target))
        if held is not None and held.stage is Stage.HOLD:
            draft.move(incident, Phase.CONTAINED, command.evidence)
            done = "would be contained" if incident.shadow else "contained"
            text = f"{incident.id} {done}: {target}: {command.evidence}"
            draft.notice(incident, "warning", text, f"contained:{target}:{held.relapses}")


def probed(draft: Draft, evidence: Evidence, signal: Probed) -> None:
    """Real requests have passed, or one has failed."""
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
    if step.stage is not Stage.HOLD and incident.phase is Phase.CONTAINED and not incident.shadow:
        draft.move(incident, Phase.RECOVERING, step.reason)


def relayed(draft: Draft, evidence: Evidence, signal: Relayed) -> None:
    """A caller answered with a failure and named its cause: the named service is accused, never the relay."""
    service = draft.topology.service(signal.callee)
    if service is None:
        return  # names come in headers: those that nobody declared are not even remembered
    count = evidence.relayed.count(signal)
    if count < blame.RELAYED_MIN or draft.state.open_at(signal.callee) is not None:
        return
    callers = ", ".join(evidence.relayed.callers(signal.callee))
    seen = f"{count} failures relayed by {callers}, which named it"
    open_incident(draft, evidence, service.name, Target(service.name), Cause.DEPENDENCY, signal.at, seen)


def open_incident(
    draft: Draft, evidence: Evidence, service: str, origin: Target, cause: Cause, at: Nanos, seen: str
) -> Incident:
    """A new incident on record, with its first notice."""
    number = draft.state.incidents_total + 1
    name = IncidentId(f"i{number}")
    shadow = draft.state.mode == "observe"
    draft.record(
        IncidentOpened(
            at=draft.now, incident=name, origin=origin, cause=cause, signal_at=at, shadow=shadow, evidence=seen
        )
    )
    incident = draft.state.incidents[name]
    declared = draft.topology.service(service) or Service(name=service)
    is_masked, why = masked(declared, evidence.fell_back_at.get(service), evidence.entry, draft.now)
    if is_masked:
        draft.record(MaskChanged(at=draft.now, incident=name, masked=True, reason=why))
    hidden = f"; users see nothing of it: {why}" if is_masked else ""
    draft.notice(incident, "warning", f"{name} opened: {origin}: {cause}: {seen}{hidden}", "opened")
    return incident


def escalate(draft: Draft, incident: Incident, reason: str) -> None:
    """Call a person, once per incident."""
    if not incident.escalated:
        draft.record(Escalated(at=draft.now, incident=incident.id, reason=reason))
        draft.notice(incident, "critical", f"{incident.id} needs a person: {reason}", "escalated")


def _explains(below: Incident, evidence: Evidence, now: Nanos) -> bool:
    """Whether failures everywhere at a caller may be this incident's: it is fresh or still heard of, or its whole
    service is held back. One that only stays open, for its recovery to be proven, must not hide a new failure."""
    if below.cause is Cause.SLOW:
        return False
    name = below.origin.service
    whole = below.containments.get(name)
    if whole is not None and whole.stage in (Stage.HOLD, Stage.PROBE, Stage.RAMP):
        return True
    heard = max([below.signal_at, *(at for target, at in evidence.signal_at.items() if target.service == name)])
    return now - heard <= TOGETHER_NS or not evidence.relayed.quiet(name, now, Nanos(TOGETHER_NS))


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
