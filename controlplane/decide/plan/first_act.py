"""What to do about a verdict: the smallest act that contains it.

One bad endpoint is ejected. Endpoints that fail together and share a version are that version. When every endpoint
fails, the endpoints are not the cause (correlated-cause veto): an overloaded service is limited; a dead one is
isolated, as is an overloaded one that its callers can do without; one that is merely slow everywhere is left alone and
reported.

This is the first act, on a verdict and without a figure: microseconds after the deciding call nobody has counted what
users lose. The deliberate choice, by harm avoided against traffic given up, is `choose`; both ask `scope` which part
fails, and `draft` asks the same safety rules about either (docs/decisions/0010-the-first-act-is-not-weighed.md).
"""

import msgspec

from controlplane.decide.plan.scope import shared
from controlplane.model.command import Eject, Intent, Isolate, Limit
from controlplane.model.policy import ResponsePolicy
from controlplane.model.signal import Cause, Target, Tripped
from controlplane.model.topology import Service
from controlplane.model.unit import Nanos

TOGETHER_NS = 10_000_000_000  # verdicts this close to each other count as one event


class Plan(msgspec.Struct, frozen=True):
    """Intents in the order of their effect; without any, `veto` names the rule that speaks against acting."""

    acts: tuple[tuple[Target, Intent], ...] = ()
    cause: Cause | None = None
    version: str = ""
    reason: str = ""
    veto: str = ""


def plan(trip: Tripped, service: Service, tripped_at: dict[str, Nanos], policy: ResponsePolicy) -> Plan:
    """The acts that answer `trip`. `tripped_at` tells when each endpoint of the service was last found bad."""
    names = [endpoint.name for endpoint in service.endpoints]
    bad = {name for name in names if trip.at - tripped_at.get(name, Nanos(-TOGETHER_NS - 1)) <= TOGETHER_NS}
    if not trip.target.endpoint:
        return _whole_service(trip, service, policy, "the breaker of the whole edge opened")
    if len(bad) > 1 and len(bad) < len(names):
        version = shared(service, bad, "version")
        of_version = [endpoint.name for endpoint in service.endpoints if endpoint.version == version]
        # time-outs and slowness come from whom one waits for, too: the first few that show them share what most run by
        # chance; all that run it, and nobody else, are no chance
        if version and (trip.cause is Cause.ERRORS or bad.issuperset(of_version)):
            acts = tuple((Target(service.name, name), Eject()) for name in of_version)
            return Plan(acts, Cause.VERSION, version, f"all {len(bad)} failing endpoints run version {version}")
    if len(bad) == len(names) or len(names) < 2:
        return _whole_service(trip, service, policy, f"all {len(names)} endpoints fail together")
    if trip.cause is Cause.SLOW and len(bad) > 1 and not shared(service, bad, "zone"):
        # each one that is taken out leaves its load to siblings that are about to be as slow
        reason = f"{len(bad)} endpoints are slow, with nothing in common but the load"
        return Plan(reason=reason, veto="correlated_cause")
    if trip.capped and len(bad) == 1:
        # The reflex may always eject one endpoint whose siblings are clean. It did not: they are suspect too, if not
        # yet condemned, and must not get this one's load on top.
        if trip.cause is Cause.OVERLOAD:
            return _whole_service(trip, service, policy, "an endpoint is overloaded and its siblings are suspect")
        return Plan(reason="its siblings are suspect too: their verdict is awaited", veto="correlated_cause")
    return Plan(((trip.target, Eject()),), reason=f"{trip.target.endpoint} fails, its siblings do not")


def _whole_service(trip: Tripped, service: Service, policy: ResponsePolicy, why: str) -> Plan:
    target = Target(service.name)
    match trip.cause:
        case Cause.OVERLOAD | Cause.STALLED if not service.dispensable:
            limit = Limit(policy.overload_concurrency)
            return Plan(((target, limit),), Cause.OVERLOAD, reason=f"{why}, by time-outs: load is the cause")
        case Cause.UNREACHABLE:  # real requests that fail say so themselves; a wrong probe path fails everywhere too
            return Plan(cause=Cause.UNREACHABLE, reason=f"{why}, by active probes alone", veto="correlated_cause")
        case Cause.SLOW:
            return Plan(cause=Cause.SLOW, reason=f"{why}, slow without errors", veto="correlated_cause")
        case _:
            return Plan(((target, Isolate()),), trip.cause, reason=f"{why}: callers fail fast or fall back")
