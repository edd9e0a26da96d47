"""Side orders in time: renewed while they are needed, given back by evidence and in stages where that matters, dropped
with their incident.

    fail_over, shed   each stage halves the share; the last one takes it back. A stage that turns out dirty goes back to
                      the share before it, and the next attempt waits twice as long
    cap_retries       taken back at once when R < 1 was seen since, and the service answers well: below that the loop
                      dies out by itself
    tighten           taken back at once when the service answers within the deadline

Evidence is the traffic of the service since the stage began: of what serves in rotation for a fail-over, of everything
else. No traffic is no evidence: the order stays, its lease renewed, until the incident ends.
"""

from collections.abc import Iterator

import msgspec

from controlplane.decide.draft import Draft
from controlplane.decide.evidence import Evidence
from controlplane.decide.kind import DOORS, act_of
from controlplane.decide.ledger import SideKind, SideStep, share_of, side_kind
from controlplane.decide.recovery import DIRTY_PERCENT, Step, Traffic
from controlplane.model.command import Command, FailOver, Intent, Restore, Shed
from controlplane.model.incident import Containment, Incident, Phase, Stage
from controlplane.model.record import LeaseExpired
from controlplane.model.signal import Target
from controlplane.model.unit import Epoch, Nanos, to_nanos

SHARE_MIN = 10  # percent: a smaller share is given back whole
BACKOFF_MAX = 6  # doublings of the time between two attempts at the same stage


def tend(draft: Draft, evidence: Evidence) -> None:
    """Renew, give back, or let lapse every side order, as is due at `draft.now`."""
    for key, command in list(draft.state.sides.items()):
        incident, kind = draft.state.incidents.get(command.incident), side_kind(command.intent)
        if kind in DOORS:  # decide/posture keeps them
            continue
        if incident is None or incident.phase is Phase.CLOSED:
            _drop(draft, incident, command, "its incident is closed")
        elif kind is not None and _in_shadow(draft, command, kind):
            _drop(draft, incident, command, f"{kind.replace('_', ' ')} is in shadow now")
        elif draft.now >= command.lease_until:
            _lapse(draft, command)
        elif not _give_back(draft, evidence, incident, key, command) and draft.now >= _renewal(draft, command):
            lease_until = Nanos(draft.now + to_nanos(draft.policy.lease_s))
            draft.issue(msgspec.structs.replace(command, lease_until=lease_until, epoch=Epoch(draft.state.epoch)))


def start(draft: Draft) -> None:
    """After a restart: what is still leased is ordered again under the new epoch, what is not has lapsed."""
    for command in list(draft.state.sides.values()):
        if command.lease_until > draft.now and draft.topology.service(command.target.service) is not None:
            draft.issue(msgspec.structs.replace(command, epoch=Epoch(draft.state.epoch)))
        else:
            _lapse(draft, command)


def drop(draft: Draft, incident: Incident, reason: str) -> None:
    """Take back every side order of `incident`: a person's order ends it, no rule forbids that."""
    for command in [each for each in draft.state.sides.values() if each.incident == incident.id]:
        draft.overrule(incident, command.target, _undo(command), reason, signal_at=Nanos(0))


def wake_at(draft: Draft) -> Iterator[Nanos]:
    """When a side order next wants to be looked at by time alone."""
    for command in draft.state.sides.values():
        yield _renewal(draft, command)


def unfinished(draft: Draft, incident: Incident) -> bool:
    """Whether `incident` holds what would fall back at once if it were closed now: side orders that are not earned
    back, a roll-back that has not ended or not shown yet."""
    rolling = any(
        held.incident == incident.id and held.ok is not False and not held.proven
        for held in draft.state.withdrawn.values()
    )
    return rolling or any(command.incident == incident.id for command in draft.state.sides.values())


def careful(draft: Draft, evidence: Evidence, held: Containment, step: Step) -> Step | None:
    """`step` of a recovery, or what may be done of it: None where it has to wait.

    The version that was rolled back gets no more than the first share of a ramp until somebody releases it. What fails
    on the share it gets is given no larger one: its stage begins again. And the share that a plan has left to who fails
    is no relapse while it fails, and not taken away: it shows when that one is well.
    """
    target, ramp = held.target, held.stage is Stage.RAMP and not held.overload
    seen = evidence.since_stage(target)
    again = Step(held.stage, held.percent, None, _dirty(seen), held.penalty_ns, held.relapses)
    if step.stage is Stage.FULL or (ramp and step.stage is Stage.RAMP and step.percent > held.percent):
        if withheld(draft, target):
            return None
        return again if ramp and seen.failures * 100 > DIRTY_PERCENT * seen.calls else step
    command = draft.state.in_force.get(str(target))
    left = command is not None and command.kind == "reroute" and command.id == held.command
    return again if ramp and left and step.stage in (Stage.HOLD, Stage.PROBE, Stage.RAMP) else step


def _dirty(seen: Traffic) -> str:
    return f"{seen.failures} of {seen.calls} calls failed: the stage begins again"


def withheld(draft: Draft, target: Target) -> str:
    """The withdrawn version that `target` runs; empty: it may get its traffic back."""
    held = draft.state.withdrawn.get(target.service)
    service = draft.topology.service(target.service)
    if held is None or service is None:
        return ""
    runs = any(one.name == target.endpoint and one.version == held.version for one in service.endpoints)
    return held.version if runs else ""


def _give_back(draft: Draft, evidence: Evidence, incident: Incident, key: str, command: Command) -> bool:
    """The next stage of giving `command` back, if it is earned; True when something was ordered."""
    step, kind = draft.state.side_steps[key], side_kind(command.intent)
    assert kind is not None
    seen = _seen(draft, evidence, command.target, kind)
    if draft.state.frozen or draft.now < step.since + _pause(draft, step):
        return False
    dirty = seen.failures * 100 > DIRTY_PERCENT * seen.calls
    if dirty and share_of(command.intent) < step.first and seen.calls:
        again = min(step.first, 2 * share_of(command.intent))
        reason = f"{seen.failures} of {seen.calls} calls failed on the smaller share: back to {again} %"
        return _order(draft, evidence, incident, command, _at(command.intent, again), reason)
    if dirty or seen.clean < max(1, draft.policy.ramp_calls_min):
        if dirty:
            evidence.side_began(command.target)  # what failed before must not be held against what comes
        return False
    return _earned(draft, evidence, incident, command, step, seen)


def _earned(
    draft: Draft, evidence: Evidence, incident: Incident, command: Command, step: SideStep, seen: Traffic
) -> bool:
    reason = f"{seen.clean} of {seen.calls} calls were answered well"
    if isinstance(command.intent, FailOver | Shed):
        half = share_of(command.intent) // 2
        intent = _undo(command) if half < SHARE_MIN else _at(command.intent, half)
        return _order(draft, evidence, incident, command, intent, reason)
    if side_kind(command.intent) == "cap_retries":
        analysis, looked = incident.analysis, evidence.analysed_at.get(incident.id, Nanos(0))
        number = None if analysis is None or looked <= step.since else analysis.reproduction_number
        if analysis is None or number is None or number >= 1 or analysis.metastable:
            return False
        reason = f"R is {number:.2g}; {reason}"
    return _order(draft, evidence, incident, command, _undo(command), reason)


def _order(draft: Draft, evidence: Evidence, incident: Incident, command: Command, intent: Intent, reason: str) -> bool:
    kind = None if isinstance(intent, Restore) else side_kind(intent)
    evidence.side_began(command.target)
    with draft.again(command):
        found = draft.order(incident, command.target, intent, reason, signal_at=command.signal_at, kind=kind)
    return found is not None


def _pause(draft: Draft, step: SideStep) -> int:
    """How long a stage lasts at least; each time it had to be taken up again, twice as long."""
    wait = to_nanos(draft.policy.ramp_step_s) << min(step.relapses, BACKOFF_MAX)
    return min(wait, max(to_nanos(draft.policy.penalty_max_s), to_nanos(draft.policy.ramp_step_s)))


def _at(intent: Intent, percent: int) -> Intent:
    assert isinstance(intent, FailOver | Shed)
    return msgspec.structs.replace(intent, percent=percent)


def _undo(command: Command) -> Restore:
    return Restore(what=side_kind(command.intent) or "")


def _seen(draft: Draft, evidence: Evidence, target: Target, kind: SideKind) -> Traffic:
    """What the service has shown since the stage began; of a fail-over, those that it was to relieve."""
    service = draft.topology.service(target.service)
    level = min((one.priority for one in service.endpoints), default=0) if service is not None else 0
    serving = {one.name for one in service.endpoints if one.priority == level} if service is not None else set()
    if kind == "fail_over" and service is not None and len(serving) < len(service.endpoints):
        return _sum(evidence, target.service, serving)
    whole = evidence.since_side(target)
    if whole.calls or service is None:
        return whole
    return _sum(evidence, target.service, {one.name for one in service.endpoints})


def _sum(evidence: Evidence, service: str, endpoints: set[str]) -> Traffic:
    parts = [evidence.since_side(Target(service, name)) for name in sorted(endpoints)]
    return Traffic(sum(one.calls for one in parts), sum(one.failures for one in parts))


def _in_shadow(draft: Draft, command: Command, kind: SideKind) -> bool:
    """Whether such an order may not be in force any more: by the policy, or, of a playbook's, by its explicit word."""
    share = draft.policy.enforcement.get(kind) if command.playbook else draft.policy.share(kind)
    return share == 0


def _drop(draft: Draft, incident: Incident | None, command: Command, reason: str) -> None:
    if draft.now >= command.lease_until:
        _lapse(draft, command)
    elif incident is not None and not draft.state.frozen:
        draft.order(incident, command.target, _undo(command), reason, signal_at=Nanos(0))


def _lapse(draft: Draft, command: Command) -> None:
    draft.record(LeaseExpired(at=draft.now, incident=command.incident, command=command.id, target=command.target))


def _renewal(draft: Draft, command: Command) -> Nanos:
    """A lease is renewed when a third of it is left; while automation is frozen it runs out."""
    if draft.state.frozen and act_of(command) not in DOORS:
        return command.lease_until
    return Nanos(command.lease_until - to_nanos(draft.policy.lease_s) // 3)
