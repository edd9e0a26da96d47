"""How long a relapse is held, and what makes that shorter again.

A penalty belongs to a target, not to an incident: it doubles with every relapse up to `penalty_max_s`, outlives the
incident on record, and the next incident of the same target begins from it. It is halved by evidence alone: clean
calls, over as much time under traffic as the penalty is long. Hours in which nobody asked anything of a target prove
nothing about it (envoyproxy/envoy#21142 tells what comes of penalties that time forgives).

The evidence comes from two sides. Calls seen at the target itself count as they are. Of an endpoint that nobody looks
at any more only its service's calls are known: they count if the endpoint would be clean even if every failure
among them had been its own, and then for its fair share of them.

The hold that follows from a penalty is longer by a jitter, drawn from the boot, the target and the count: many planes
that held a target in the same instant must not all probe it in the same instant.
"""

import zlib

import msgspec

from controlplane.decide.draft import Draft
from controlplane.model.policy import ResponsePolicy
from controlplane.model.record import PenaltyDecayed
from controlplane.model.signal import EdgeSampled, Sampled, Target
from controlplane.model.unit import SECOND, Nanos, to_nanos

JITTER_PERCENT = 10  # of the penalty, at most, on top of it: active probes spread by as much
CLEAN_PERCENT = 10  # of the calls may fail: what recovery takes for clean
STEPS_OF_CALLS = 10  # a halving takes the calls of so many steps of a ramp
GAP_NS = 2 * SECOND  # two reports further apart than this leave time between them that nobody saw


class Sentence(msgspec.Struct, frozen=True):
    """The penalty on record of one target (0: none), and what its jitter is drawn from."""

    served_ns: Nanos = Nanos(0)
    salt: str = ""

    def hold(self, penalty: Nanos, count: int) -> Nanos:
        """How long a hold by `penalty` lasts: never shorter than it, and the same whenever it is asked."""
        drawn = zlib.crc32(f"{self.salt} {count} {penalty}".encode()) % 1000
        return Nanos(penalty + penalty * JITTER_PERCENT * drawn // 100_000)


def sentence(draft: Draft, target: Target) -> Sentence:
    """What is on record of `target`."""
    served = draft.state.penalties.get(target.service, {}).get(target.endpoint, Nanos(0))
    return Sentence(served, f"{draft.state.boot} {target}")


def first(policy: ResponsePolicy) -> Nanos:
    """The penalty of a target with a clean record."""
    return to_nanos(policy.penalty_s)


def lengthened(penalty: Nanos, policy: ResponsePolicy) -> Nanos:
    """The penalty after one more relapse."""
    return Nanos(max(penalty, min(penalty * 2, to_nanos(policy.penalty_max_s))))


def follow_topology(draft: Draft) -> None:
    """Forget what is held against targets that are gone: names that come and go must not grow the record for ever."""
    for service, penalties in list(draft.state.penalties.items()):
        declared = draft.topology.service(service)
        names = {""} | {one.name for one in declared.endpoints} if declared is not None else set()
        for endpoint in [each for each in penalties if each not in names]:
            gone = Target(service, endpoint)
            draft.record(
                PenaltyDecayed(at=draft.now, target=gone, penalty_ns=Nanos(0), reason="it is no longer in the topology")
            )


class Credit(msgspec.Struct):
    """Calls since the last verdict or halving, and the time in which they came."""

    at: Nanos
    calls: int = 0
    failures: int = 0
    under_traffic_ns: int = 0

    def add(self, at: Nanos, calls: int, failures: int) -> None:
        """One more report."""
        self.under_traffic_ns += max(0, at - self.at) if at - self.at <= GAP_NS else 0
        self.at = max(self.at, at)
        self.calls += calls
        self.failures += failures


class Credits:
    """The evidence of health that targets with a penalty have collected. In memory: a restart begins anew."""

    def __init__(self) -> None:
        self._own: dict[Target, Credit] = {}
        self._share: dict[Target, Credit] = {}

    def forget(self, target: Target) -> None:
        """A verdict about `target`, or a halving: what was clean before it counts no more."""
        self._own.pop(target, None)
        self._share.pop(target, None)

    def sampled(self, draft: Draft, sample: Sampled) -> None:
        """Calls seen at a target itself."""
        penalty = draft.state.penalties.get(sample.target.service, {}).get(sample.target.endpoint)
        if penalty is None or sample.calls <= 0 or _held(draft, sample.target):
            return
        credit = self._own.setdefault(sample.target, Credit(sample.at))
        credit.add(sample.at, sample.calls, sample.failures)
        self._settle(draft, sample.target, penalty, credit, among=1)

    def edge_sampled(self, draft: Draft, sample: EdgeSampled) -> None:
        """Calls to a service, of which each endpoint that is not held back had its share."""
        penalties = draft.state.penalties.get(sample.callee)
        if not penalties or sample.calls <= 0:
            return
        service = draft.topology.service(sample.callee)
        among = max(1, len(service.endpoints)) if service is not None else 1
        for endpoint, penalty in list(penalties.items()):
            target = Target(sample.callee, endpoint)
            if _held(draft, target):
                continue
            credit = self._share.setdefault(target, Credit(sample.at))
            credit.add(sample.at, sample.calls, sample.failures)
            self._settle(draft, target, penalty, credit, among=among if endpoint else 1)

    def _settle(self, draft: Draft, target: Target, penalty: Nanos, credit: Credit, *, among: int) -> None:
        """Halve the penalty where enough was clean for long enough; begin anew where it was not."""
        policy = draft.policy
        if credit.failures * 100 * among > CLEAN_PERCENT * max(credit.calls, _calls(policy)):
            self.forget(target)
            return
        clean = credit.calls // among - credit.failures
        if clean < _calls(policy) or credit.under_traffic_ns < max(penalty, to_nanos(policy.verify_s)):
            return
        left = Nanos(penalty // 2)
        reason = f"{clean} clean calls in {credit.under_traffic_ns / 1e9:.0f} s under traffic"
        if left < first(policy.pace(whole=not target.endpoint)):
            left = Nanos(0)
        draft.record(PenaltyDecayed(at=draft.now, target=target, penalty_ns=left, reason=reason))
        self.forget(target)


def _calls(policy: ResponsePolicy) -> int:
    return STEPS_OF_CALLS * max(1, policy.ramp_calls_min)


def _held(draft: Draft, target: Target) -> bool:
    """Whether traffic of `target` is held back: what it serves then proves no more than its containment asks for."""
    names = {str(target), target.service}
    return any(names & incident.containments.keys() for incident in draft.state.open_incidents())
