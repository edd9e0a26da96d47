"""What time brings: leases are renewed or lapse, recoveries advance, harm is counted, incidents close."""

import msgspec

from controlplane.decide import recovery
from controlplane.decide.assess import assess
from controlplane.decide.draft import Draft
from controlplane.decide.evidence import Evidence
from controlplane.decide.impact import masked
from controlplane.decide.respond import take
from controlplane.model.incident import Containment, Incident, Phase, Stage
from controlplane.model.record import CommandIssued, ImpactCounted, LeaseExpired, MaskChanged, StageChanged
from controlplane.model.signal import Cause
from controlplane.model.unit import MILLISECOND, SECOND, Epoch, Nanos, to_nanos

SAMPLE_NS = 250 * MILLISECOND  # while an incident is open its traffic is looked at no less often than this


def tend(draft: Draft, evidence: Evidence) -> None:
    """Everything that is due at `draft.now`."""
    for incident in draft.state.open_incidents():
        for held in list(incident.containments.values()):
            _advance(draft, evidence, incident, held)
        _mask(draft, evidence, incident)
        _close(draft, evidence, incident)
    assess(draft, evidence)
    _leases(draft)


def wake_at(draft: Draft) -> Nanos | None:
    """When to look again; None while nothing is open and nothing is in force."""
    state, now = draft.state, draft.now
    times = [_renewal(draft, command.lease_until) for command in state.in_force.values()]
    for incident in state.open_incidents():
        times.append(Nanos(now + SAMPLE_NS))
        due = (recovery.due(held, draft.policy) for held in incident.containments.values())
        # what is overdue waits for evidence, not for time: looking again at once would only spin
        times += [at for at in due if at is not None and at > now]
    return min(times, default=None)


def sooner(draft: Draft) -> Nanos | None:
    """What of `wake_at` this draft has added: its cost follows what was decided, not what is open."""
    times = [Nanos(draft.now + SAMPLE_NS)] if draft.records else []
    for record in draft.records:
        match record:
            case CommandIssued():
                times.append(_renewal(draft, record.command.lease_until))
            case StageChanged() if (held := draft.state.containment(record.target)) is not None:
                at = recovery.due(held[1], draft.policy)
                times += [at] if at is not None and at > draft.now else []
    return min(times, default=None)


def _renewal(draft: Draft, lease_until: Nanos) -> Nanos:
    """A lease is renewed when a third of it is left."""
    if draft.state.frozen:
        return lease_until
    return Nanos(lease_until - to_nanos(draft.policy.lease_s) // 3)


def _leases(draft: Draft) -> None:
    state, now = draft.state, draft.now
    for command in list(state.in_force.values()):
        incident = state.incidents.get(command.incident)
        wanted = incident is not None and incident.phase is not Phase.CLOSED and not state.frozen
        if wanted and now >= _renewal(draft, command.lease_until):
            lease_until = Nanos(now + to_nanos(draft.policy.lease_s))
            epoch = Epoch(state.epoch)
            draft.issue(msgspec.structs.replace(command, lease_until=lease_until, epoch=epoch))
        elif now >= command.lease_until:
            draft.record(LeaseExpired(at=now, incident=command.incident, command=command.id, target=command.target))


def _advance(draft: Draft, evidence: Evidence, incident: Incident, held: Containment) -> None:
    if held.stage is Stage.VERIFIED:
        return
    if held.command is None:
        step = recovery.by_itself(
            held, evidence.since_stage(held.target), draft.policy, _verdict_at(evidence, held), draft.now
        )
        if step is not None:
            take(draft, evidence, incident, held, step)
        else:
            _order_again(draft, evidence, incident, held)
        return
    if incident.shadow:
        step = recovery.observed(held, draft.policy, _verdict_at(evidence, held), draft.now)
    else:
        step = recovery.advance(held, evidence.since_stage(held.target), draft.policy, draft.now)
    if step is not None:
        take(draft, evidence, incident, held, step)


def _verdict_at(evidence: Evidence, held: Containment) -> Nanos:
    return evidence.signal_at.get(held.target, held.since)


def _order_again(draft: Draft, evidence: Evidence, incident: Incident, held: Containment) -> None:
    """The data plane did not take the last order about this target: the same one again, later each time."""
    if draft.now < evidence.retry_at(held.target):
        return
    last = next((command for command in reversed(incident.commands) if command.target == held.target), None)
    if last is not None:
        draft.order(incident, held.target, last.intent, last.evidence, signal_at=last.signal_at)


def _mask(draft: Draft, evidence: Evidence, incident: Incident) -> None:
    service = draft.topology.service(incident.origin.service)
    if service is None:
        return
    now_masked, why = masked(service, evidence.fell_back_at.get(service.name), evidence.entry, draft.now)
    if now_masked and incident.masked is False and incident.user_failed > 0:
        return  # users have seen it: a fallback that answers later does not undo that
    if now_masked != incident.masked:
        draft.record(MaskChanged(at=draft.now, incident=incident.id, masked=now_masked, reason=why))
        if not now_masked:
            draft.notice(incident, "warning", f"{incident.id} is masked no longer: {why}", "unmasked")


def _close(draft: Draft, evidence: Evidence, incident: Incident) -> None:
    quiet_ns = to_nanos(draft.policy.verify_s)
    if any(held.stage is not Stage.VERIFIED for held in incident.containments.values()):
        return
    name = incident.origin.service
    if not evidence.relayed.quiet(name, draft.now, quiet_ns):
        return
    fell_back_at = evidence.fell_back_at.get(name)
    if fell_back_at is not None and draft.now - fell_back_at < quiet_ns:
        return  # users see nothing, but a fallback still answers: the recovery is incomplete
    if not incident.containments:
        last = max([incident.signal_at, *(evidence.signal_at.get(target, Nanos(0)) for target in incident.touched)])
        if draft.now - last < max(quiet_ns, SECOND):
            return
        reason = (
            "nothing more was seen of it" if incident.cause is not Cause.DEPENDENCY else "no caller names it any more"
        )
    else:
        reason = "every containment is verified"
    draft.move(incident, Phase.VERIFIED, reason)
    if requests := evidence.unaccounted.pop(incident.id, 0):
        draft.record(ImpactCounted(at=draft.now, incident=incident.id, requests=requests))
    evidence.assessed.pop(incident.id, None)
    draft.close(incident, reason)
