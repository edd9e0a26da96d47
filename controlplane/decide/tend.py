"""What time brings: leases are renewed or lapse, recoveries advance, harm is counted, incidents close.

Here is decided *when* an incident may close: every containment is verified, nobody names its origin any more, and
nothing that its recovery waits for is left (decide/unfinished.py).
"""

import msgspec

from controlplane.decide import enact, lifecycle, recovery, rollback, safety, side, unfinished
from controlplane.decide.assess import assess
from controlplane.decide.draft import Draft
from controlplane.decide.evidence import Evidence
from controlplane.decide.ledger import apart
from controlplane.decide.masked import masked
from controlplane.decide.respond import escalate, take
from controlplane.model.command import Command
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
    if (found := assess(draft, evidence)) is not None:
        enact.enact(draft, evidence, *found)
    rollback.tend(draft, evidence)
    side.tend(draft, evidence)
    _leases(draft)


def wake_at(draft: Draft) -> Nanos | None:
    """When to look again; None while nothing is open and nothing is in force."""
    state, now = draft.state, draft.now
    times = [_renewal(draft, command) for command in state.in_force.values()]
    times += [*side.wake_at(draft), *rollback.wake_at(draft)]
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
                times.append(_renewal(draft, record.command))
            case StageChanged() if (held := draft.state.containment(record.target)) is not None:
                at = recovery.due(held[1], draft.policy)
                times += [at] if at is not None and at > draft.now else []
    return min(times, default=None)


def _renewal(draft: Draft, command: Command) -> Nanos:
    """A lease is renewed when a third of it is left, if it may be."""
    if not safety.may_renew(draft.state, command, draft.now):
        return command.lease_until
    return Nanos(command.lease_until - to_nanos(draft.policy.lease_s) // 3)


def _leases(draft: Draft) -> None:
    state, now = draft.state, draft.now
    for command in list(state.in_force.values()):
        incident = state.incidents.get(command.incident)
        wanted = incident is not None and incident.phase is not Phase.CLOSED
        wanted = wanted and safety.may_renew(state, command, now)
        if wanted and now >= _renewal(draft, command):
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
        service = draft.topology.service(held.target.service)
        step = recovery.advance(
            held,
            evidence.since_stage(held.target),
            draft.policy,
            draft.now,
            dispensable=service is None or service.dispensable,
        )
    if step is None:
        _without_traffic(draft, evidence, incident, held)
        return
    if held.stage is Stage.HOLD and step.stage is Stage.HOLD and step.intent is None:
        if step.relapses > draft.policy.remedy_attempts_max:
            escalate(draft, incident, f"{held.target}: limiting does not help, nobody can do without it: {step.reason}")
    elif held.stage is not Stage.HOLD and step.relapses > max(held.relapses, draft.policy.remedy_attempts_max):
        escalate(draft, incident, f"{held.target} relapsed {step.relapses} times: the remedy does not last")
    take(draft, evidence, incident, held, step)


def _without_traffic(draft: Draft, evidence: Evidence, incident: Incident, held: Containment) -> None:
    """No share rises without a call that went well. Who waits for one in vain is told of, once."""
    waits = held.stage in (Stage.PROBE, Stage.RAMP, Stage.FULL)
    idle = evidence.since_stage(held.target).calls == 0 and recovery.has_waited(held, draft.policy, draft.now)
    if waits and idle and not incident.shadow:
        text = (
            f"{incident.id} waits: no call to {held.target} has ended since it is in {held.stage}, and no share rises"
        )
        evidence.waiting.tell_once(draft, incident, "info", text, f"waits:{held.target}:{held.stage}")


def _verdict_at(evidence: Evidence, held: Containment) -> Nanos:
    return evidence.signal_at.get(held.target, held.since)


def _order_again(draft: Draft, evidence: Evidence, incident: Incident, held: Containment) -> None:
    """The data plane did not take the last order about this target: the same one again, later each time."""
    if draft.now < evidence.retry_at(held.target):
        return
    last = next(
        (
            command
            for command in reversed(incident.commands)
            if command.target == held.target
            and not apart(command.intent)
            and (incident.shadow or command.enforcement != "shadow")
        ),
        None,
    )
    if last is not None:
        with draft.again(last):
            draft.order(incident, held.target, last.intent, last.evidence, signal_at=last.signal_at, kind=last.kind)


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
    reason = _over(draft, evidence, incident)
    if reason or unfinished.back_in_service(incident):
        unfinished.follow(draft, evidence, incident)
    if not reason:
        return
    if incident.unfinished:
        unfinished.tell(draft, evidence, incident)
        return
    lifecycle.follow(draft, evidence, incident)
    if incident.phase is not Phase.RECOVERY:
        return  # it may still spread, or people do not know of it yet
    if requests := evidence.unaccounted.pop(incident.id, 0):
        draft.record(ImpactCounted(at=draft.now, incident=incident.id, requests=requests))
    evidence.assessed.pop(incident.id, None)
    evidence.waiting.closed(incident)
    evidence.analysed_at.pop(incident.id, None)
    draft.close(incident, reason)


def _over(draft: Draft, evidence: Evidence, incident: Incident) -> str:
    """Why nothing is seen of `incident` any more; empty: something is, or was a moment ago."""
    quiet_ns = to_nanos(draft.policy.verify_s)
    if any(held.stage is not Stage.VERIFIED for held in incident.containments.values()):
        return ""
    if side.unfinished(draft, incident):
        return ""  # nothing is seen of it because of what is in force
    if not evidence.relayed.quiet(incident.origin.service, draft.now, quiet_ns):
        return ""
    if incident.containments:
        return "every containment is verified"
    last = max([incident.signal_at, *(evidence.signal_at.get(target, Nanos(0)) for target in incident.touched)])
    if draft.now - last < max(quiet_ns, SECOND):
        return ""
    return "nothing more was seen of it" if incident.cause is not Cause.DEPENDENCY else "no caller names it any more"
