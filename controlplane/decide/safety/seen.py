"""What the safety rules have seen but is not on record: reflexes of guards, verdicts of the last seconds, load borne.

A restart forgets it: reflexes end by themselves within seconds, and load is learned again.
"""

import msgspec

from controlplane.model.signal import Cause, EdgeSampled, Probed, Signal, Target, Tripped
from controlplane.model.topology import Service, Topology
from controlplane.model.unit import SECOND, Nanos

REFLEX_NS = 30 * SECOND  # an ejection that only a guard knows of is taken to last so long, unless a probe passes
TOGETHER_NS = 10 * SECOND  # verdicts this close to each other count as one event, as in `plan.first_act`
PEAK_NS = 1800 * SECOND  # load borne is remembered for one to two of these
SOURCES = ("gateway", "spans", "metrics")
FRESH_NS = 5 * SECOND  # a rate older than that is not known


class Verdicts(msgspec.Struct):
    """What was found bad of one service lately: when each endpoint was, and whether only active probes say so."""

    at: Nanos
    endpoints: dict[str, Nanos]
    by_probes: bool


class Rate(msgspec.Struct):
    """Requests per second of a service: of the second under way, of the last whole one, and the most that it bore."""

    second: int = -1
    calls: float = 0.0
    well: float = 0.0
    last: float | None = None
    last_at: Nanos = Nanos(0)
    epoch: int = -1
    peak: float = 0.0
    peak_before: float = 0.0


class Seen:
    """Fed with every signal; asked only when an act is in question."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._reflex: dict[str, dict[str, Nanos]] = {}
        self._verdicts: dict[str, Verdicts] = {}
        self._rates: dict[tuple[str, str], Rate] = {}  # by service and source: several may tell of the same calls
        self._shared: dict[tuple[str, str], frozenset[str]] | None = None

    def prepare(self) -> None:
        """Do now what the first incident would otherwise wait for."""
        if self._shared is None:
            self._shared = _index(self._topology)

    def note(self, signal: Signal, now: Nanos) -> None:
        """Take in what `signal` says to safety rules; most signals say nothing."""
        match signal:
            case Tripped() if signal.contained and signal.target.endpoint:
                self._reflex.setdefault(signal.target.service, {})[signal.target.endpoint] = Nanos(now + REFLEX_NS)
            case Probed(passed=True):
                self._reflex.get(signal.target.service, {}).pop(signal.target.endpoint, None)
            case EdgeSampled():
                self._heard(signal)

    def reflexes(self, service: str, now: Nanos) -> list[str]:
        """Endpoints of `service` that guards took out by themselves and have not tried again yet."""
        known = self._reflex.get(service)
        if not known:
            return []
        self._reflex[service] = {name: until for name, until in known.items() if until > now}
        return list(self._reflex[service])

    def verdict(self, target: Target, cause: Cause | None, now: Nanos) -> None:
        """Somebody wants to act about an endpoint: it was found bad."""
        if not target.endpoint:
            return
        found = self._verdicts.pop(target.service, None)
        if found is None or now - found.at > TOGETHER_NS:
            found = Verdicts(now, {}, by_probes=True)
        found.at = now
        found.endpoints = {name: at for name, at in found.endpoints.items() if now - at <= TOGETHER_NS}
        found.endpoints[target.endpoint] = now
        found.by_probes = found.by_probes and cause is Cause.UNREACHABLE
        self._verdicts[target.service] = found  # the newest last
        while self._verdicts and now - next(iter(self._verdicts.values())).at > TOGETHER_NS:
            del self._verdicts[next(iter(self._verdicts))]

    def bad(self, service: str, now: Nanos) -> set[str]:
        """Endpoints of `service` with a verdict of the last seconds."""
        found = self._verdicts.get(service)
        return set() if found is None else {name for name, at in found.endpoints.items() if now - at <= TOGETHER_NS}

    def lately(self, now: Nanos) -> dict[str, Verdicts]:
        """Services with a verdict of the last seconds."""
        return {name: one for name, one in self._verdicts.items() if now - one.at <= TOGETHER_NS}

    def rate(self, service: str, now: Nanos) -> float | None:
        """Requests per second to `service` in the last whole second; None: nobody has told of it."""
        known = [one for source in SOURCES if (one := self._rates.get((service, source))) is not None]
        rates = [one.last for one in known if one.last is not None and now - one.last_at <= FRESH_NS]
        return max(rates, default=None)

    def borne(self, service: str) -> float:
        """The most good answers per second that `service` gave lately; 0: nothing is proven."""
        known = [one for source in SOURCES if (one := self._rates.get((service, source))) is not None]
        return max((max(one.peak, one.peak_before) for one in known), default=0.0)

    def sharing(self, service: str) -> list[tuple[tuple[str, str], frozenset[str]]]:
        """What `service` shares with others, in words, and all services that do: a callee, or the one zone or host
        in which all of its endpoints are."""
        self.prepare()
        assert self._shared is not None
        known = self._topology.service(service)
        if known is None:
            return []
        mine = [("callee", name) for name in known.calls]
        mine += [(kind, value) for kind in ("zone", "host") if (value := _only(known, kind))]
        return [(name, self._shared[name]) for name in mine if name in self._shared]

    def _heard(self, signal: EdgeSampled) -> None:
        if self._topology.service(signal.callee) is None:
            return  # names come from strangers, too
        known = self._rates.setdefault((signal.callee, signal.source), Rate())
        second = signal.at // SECOND
        if second < known.second:
            return  # late: its second is told already
        if second > known.second:
            _turn(known)
            known.second, known.calls, known.well = second, 0.0, 0.0
        scale = min(1.0, SECOND / signal.window_ns)  # shorter windows add up to the second
        failed = min(signal.failures, signal.calls)
        known.calls += signal.calls * scale
        known.well += (signal.calls - failed) * scale


def _turn(rate: Rate) -> None:
    """A second is whole: it is the last known rate, and perhaps the most that was borne."""
    if rate.second < 0:
        return
    rate.last, rate.last_at = rate.calls, Nanos((rate.second + 1) * SECOND)
    epoch = rate.second * SECOND // PEAK_NS
    if epoch != rate.epoch:
        rate.peak_before = rate.peak if epoch == rate.epoch + 1 else 0.0
        rate.epoch, rate.peak = epoch, 0.0
    rate.peak = max(rate.peak, rate.well)


def _index(topology: Topology) -> dict[tuple[str, str], frozenset[str]]:
    found: dict[tuple[str, str], set[str]] = {}
    for service in topology.services:
        if service.name == topology.entry:
            continue
        for callee in service.calls:
            found.setdefault(("callee", callee), set()).add(service.name)
        for kind in ("zone", "host"):
            if value := _only(service, kind):
                found.setdefault((kind, value), set()).add(service.name)
    return {name: frozenset(services) for name, services in found.items()}


def _only(service: Service, kind: str) -> str:
    """The zone or host in which all endpoints of `service` are; empty where there is none, or more than one."""
    values = {getattr(endpoint, kind) for endpoint in service.endpoints}
    return str(next(iter(values))) if len(values) == 1 else ""
