"""What to do about a verdict: the smallest act that contains it.

One bad endpoint is ejected. Endpoints that fail together and share a version are that version. When every endpoint
fails, the endpoints are not the cause (correlated-cause veto): an overloaded service is limited; a dead one is
isolated, as is an overloaded one that its callers can do without; one that is merely slow everywhere is left alone and
reported. Where all are bad, but some of them merely slow, those still answer: what fails is taken out, not the service.

This is the first act, on a verdict and without a figure: microseconds after the deciding call nobody has counted what
users lose. The deliberate choice, by harm avoided against traffic given up, is `choose`; both ask `scope` which part
fails, and `draft` asks the same safety rules about either (docs/decisions/0010-the-first-act-is-not-weighed.md).
"""

from collections.abc import Collection, Iterable, Mapping

import msgspec

from controlplane.decide.plan.scope import shared
from controlplane.model.command import Eject, Intent, Isolate, Limit
from controlplane.model.policy import ResponsePolicy
from controlplane.model.signal import Cause, Target, Tripped
from controlplane.model.topology import Service
from controlplane.model.unit import Nanos

TOGETHER_NS = 10_000_000_000  # verdicts this close to each other count as one event
LATE = (Cause.OVERLOAD, Cause.STALLED, Cause.SLOW)
"""What is seen of an endpoint that is overloaded, and as well of one that only waits for a callee of its own."""


class Plan(msgspec.Struct, frozen=True):
    """Intents in the order of their effect; without any, `veto` names the rule that speaks against acting."""

    acts: tuple[tuple[Target, Intent], ...] = ()
    cause: Cause | None = None
    version: str = ""
    reason: str = ""
    veto: str = ""
    together: bool = False  # all endpoints are late alike: whoever was taken out for that was not the cause


def plan(
    trip: Tripped,
    service: Service,
    tripped_at: Mapping[str, Nanos],
    policy: ResponsePolicy,
    *,
    failed_at: Mapping[str, Nanos] | None = None,
    late: Collection[str] = (),
) -> Plan:
    """The acts that answer `trip`. `tripped_at` tells when each endpoint of the service was last found bad, `failed_at`
    when it was last found worse than slow (None: always when it was bad); `late`, which of them only answered late."""
    names = [endpoint.name for endpoint in service.endpoints]
    bad = _lately(trip, names, tripped_at)
    failing = bad if failed_at is None else _lately(trip, names, failed_at)
    slow_answer = trip.cause is Cause.ERRORS and len(bad) == len(names) and 0 < len(failing) < len(names)
    if slow_answer:
        bad = failing
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
        why = f"all {len(names)} endpoints fail together"
        if trip.cause is Cause.ERRORS and not bad.isdisjoint(late):  # who is late answers: that is no dead service
            trip = msgspec.structs.replace(trip, cause=Cause.OVERLOAD)
        return msgspec.structs.replace(_whole_service(trip, service, policy, why), together=trip.cause in LATE)
    if trip.cause is Cause.SLOW and len(bad) > 1 and not shared(service, bad, "zone"):
        # each one that is taken out leaves its load to siblings that are about to be as slow
        reason = f"{len(bad)} endpoints are slow, with nothing in common but the load"
        return Plan(reason=reason, veto="correlated_cause")
    if slow_answer:
        return Plan(((trip.target, Eject()),), reason=f"{trip.target.endpoint} fails, its siblings are slow and answer")
    if trip.capped and len(bad) == 1:
        # The reflex may always eject one endpoint whose siblings are clean. It did not: they are suspect too, if not
        # yet condemned, and must not get this one's load on top.
        if trip.cause is Cause.OVERLOAD:
            return _whole_service(trip, service, policy, "an endpoint is overloaded and its siblings are suspect")
        return Plan(reason="its siblings are suspect too: their verdict is awaited", veto="correlated_cause")
    return Plan(((trip.target, Eject()),), reason=f"{trip.target.endpoint} fails, its siblings do not")


def _lately(trip: Tripped, names: Iterable[str], at: Mapping[str, Nanos]) -> set[str]:
    return {name for name in names if trip.at - at.get(name, Nanos(-TOGETHER_NS - 1)) <= TOGETHER_NS}


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
