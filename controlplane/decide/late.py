"""Several endpoints of a service answer late at once: by themselves, or because they wait for whom others will hold."""

import msgspec

from controlplane.decide import recovery, side
from controlplane.decide.draft import Draft
from controlplane.decide.evidence import WELL_CALLS, Evidence
from controlplane.decide.plan.first_act import LATE, TOGETHER_NS, Plan
from controlplane.model.command import Limit, Restore
from controlplane.model.incident import Incident, Stage
from controlplane.model.signal import Cause, Target, Tripped
from controlplane.model.topology import Service
from controlplane.model.unit import SECOND

RELAY_GRACE_NS = 2 * SECOND  # from the first such verdict until anything is done: a callee's own callers need about one

ALIKE = "all endpoints are late alike: it was not this one"


def patient(evidence: Evidence, service: Service, signal: Tripped, decided: Plan) -> Plan:
    """`decided`, but nothing yet for several late endpoints of a service that calls others.

    They may only wait for one of those, whom their own plane holds back within moments. Limited meanwhile the service
    would refuse what it is about to answer, and as long as its calls do not end in vain, what users get a little later.
    And endpoints that are taken out by turns, as each is found late, leave their load to the rest and the floor to the
    one that is dead. One that is late alone is out at once, by its guard's reflex. Where the breaker has opened, calls
    are refused already, all of them, and a limit gives some back.
    """
    if not signal.target.endpoint or not (signal.cause in LATE or decided.together) or not decided.acts:
        return decided
    alone = [target for target, _ in decided.acts] == [signal.target] and not signal.capped
    if alone and (signal.contained or not _others_late(evidence, signal)):
        return decided
    row, limits = evidence.late(service.name, signal.at), _limits(decided)
    if not service.calls and not evidence.graph.callees().get(service.name):
        return decided
    reason = ""
    if signal.at - row.since < RELAY_GRACE_NS:
        reason = f"it calls others, and has {RELAY_GRACE_NS / 1e9:g} s to hold back whom it waits for"
    elif limits and row.traffic.calls >= WELL_CALLS and not row.traffic.dirty:
        reason = f"only {row.traffic.failures} of {row.traffic.calls} calls ended in vain"
    if not reason:
        return decided
    return msgspec.structs.replace(decided, acts=(), reason=f"{decided.reason}; {reason}", veto="correlated_cause")


def acquit(draft: Draft, evidence: Evidence, incident: Incident, service: Service) -> None:
    """Put back whoever of `service` was taken out for being slow and nothing else: by now all of them are slow.

    What they share is the cause, and each one that stays out leaves its load to who cannot bear it. Of those that only
    a guard took out, which the engine does not hold, the same is true; the guard cannot know it, as it has stopped to
    look when the last of the siblings is found slow.
    """
    for endpoint in service.endpoints:
        target = Target(service.name, endpoint.name)
        held = incident.containments.get(str(target))
        at = evidence.signal_at.get(target, incident.signal_at)
        if held is None:
            if target in evidence.reflexes and len(service.endpoints) > 1:  # alone it has nobody who is as late
                evidence.reflexes.discard(target)
                draft.order(incident, target, Restore(), ALIKE, signal_at=at)
            continue
        if held.stage not in (Stage.HOLD, Stage.PROBE) or side.withheld(draft, target):
            continue
        if {one.cause for one in incident.alerts() if one.target == target} != {Cause.SLOW}:
            continue
        step = recovery.acquitted(held, ALIKE)
        command = draft.order(incident, target, Restore(), step.reason, signal_at=at)
        if command is not None:
            draft.stage(incident, target, step, command)
            evidence.stage_began(target)


def _limits(decided: Plan) -> bool:
    return any(isinstance(intent, Limit) for _, intent in decided.acts)


def _others_late(evidence: Evidence, signal: Tripped) -> bool:
    """Whether another endpoint of that service was found bad lately."""
    found = evidence.tripped_at.get(signal.target.service, {})
    return any(signal.at - at <= TOGETHER_NS for name, at in found.items() if name != signal.target.endpoint)
