"""The live dependency graph: who calls whom, how often, how well and how long, learned from traffic or told.

`observe` is all that runs often, and costs a few microseconds; everything else is asked for while something is wrong.
It is not on record: a restart learns anew, and what is declared is there at once. docs/concepts/dependency-graph.md.
"""

from collections.abc import Collection, Iterable

from controlplane.decide.analysis.window import Window
from controlplane.decide.graph.bucket import (
    ATTEMPTS,
    CALLS,
    CLIENT_NS,
    COUNTED,
    FAILURES,
    HEARD_NS,
    SERVED,
    SERVER_NS,
    TIMED,
    WORDS,
    Bucket,
    Buckets,
)
from controlplane.decide.graph.coverage import Coverage, cover
from controlplane.decide.graph.frame import Csr, csr_of, window_of
from controlplane.decide.graph.group import Finding, Group, groups, shared_causes
from controlplane.decide.graph.portrait import edges_of, nodes_of
from controlplane.decide.graph.reach import Ends, near
from controlplane.decide.graph.register import Register
from controlplane.decide.graph.section import Section
from controlplane.model.graph import Alias, Edge, GraphStatistics, Node
from controlplane.model.policy import GraphPolicy
from controlplane.model.signal import EdgeSampled, Target
from controlplane.model.topology import Topology
from controlplane.model.unit import SECOND, Nanos, to_nanos

_RANK = {"gateway": 0, "spans": 1, "metrics": 2}  # who is believed about an edge that several tell of
RECENT_BUCKETS = 4  # of which `edges` speaks
SUM_NS_MAX = (
    1 << 54
)  # waited for in one bucket of one edge, so that no sum over buckets leaves 64 bits: nobody waits so
SILENT_BUCKETS = 3  # after so many without a word of the one that was believed, the next is


class DependencyGraph:
    """Services and edges, declared in `topology` or heard of. Times are arguments; the same samples give the same."""

    def __init__(self, topology: Topology, policy: GraphPolicy | None = None) -> None:
        self.topology = topology
        self.policy = policy if policy is not None else GraphPolicy()
        self._alias = {other: service.name for service in topology.services for other in service.aliases}
        self._declared = {service.name: service for service in topology.services}
        self._buckets = Buckets(to_nanos(self.policy.bucket_s), self.policy.buckets)
        self._fade_ns = to_nanos(self.policy.fade_s)
        self._source: list[str] = []
        self._in_flight: list[tuple[Nanos, int] | None] = []
        self._register = Register(
            topology, services_max=self.policy.services_max, edges_max=self.policy.edges_max, gone=self._forget
        )
        self._section = Section(
            self._register,
            self._buckets,
            declared=self._declared,
            alias=self._alias,
            entry=topology.entry,
            fade_ns=self._fade_ns,
        )
        self._groups: list[Group] | None = None
        self._late = 0
        self._numbers = self._register.edges  # read for every sample
        self._spread()

    # what is told

    def observe(self, signal: EdgeSampled) -> None:
        """Count one sample. What finds no place is dropped, and counted."""
        at = signal.at
        buckets = self._buckets.all
        bucket = buckets[-1] if buckets else None
        if bucket is None or not bucket.start <= at < bucket.end:
            bucket = self._turn(at, at - signal.window_ns)
            if bucket is None:
                return
        edge = self._numbers.get((signal.caller, signal.callee))
        if edge is None and (edge := self._newcomer(signal.caller, signal.callee)) is None:
            return
        first = edge * WORDS
        if first >= len(bucket.view):
            bucket.make_room(edge)
        words, register, source = bucket.view, self._register, signal.source
        if words[first + CLIENT_NS] > SUM_NS_MAX or words[first + SERVER_NS] > SUM_NS_MAX:
            self._late += 1
            return
        calls, attempts, timed = signal.calls, signal.attempts, signal.timed
        if timed is None:
            timed = calls if attempts is None else attempts
        if (served_ns := signal.server_latency_ns) is not None:  # from whoever knows it: callers cannot
            words[first + SERVED] += timed
            words[first + SERVER_NS] += served_ns
        if source != self._source[edge] and not self._believe(edge, source, at, bucket):
            return
        words[first + CALLS] += calls
        if signal.failures:
            words[first + FAILURES] += signal.failures
        if attempts is not None:
            words[first + ATTEMPTS] += attempts
            words[first + COUNTED] += calls
        if (client_ns := signal.client_latency_ns) is not None:
            words[first + TIMED] += timed
            words[first + CLIENT_NS] += client_ns
        words[first + HEARD_NS] += signal.window_ns or 1
        if at - signal.window_ns < bucket.start:
            self._heard_before(edge, at - signal.window_ns)
        register.weight[edge] += 1.0
        if at > register.heard_at[edge]:
            register.heard_at[edge] = at
        if signal.in_flight is not None:
            known = self._in_flight[edge]
            if known is None or (at, signal.in_flight) >= known:
                self._in_flight[edge] = (at, signal.in_flight)

    def hear(self, caller: str, callee: str, at: Nanos) -> None:
        """Somebody has named an edge, and counted nothing: a relayed failure shows a path that nobody declared."""
        edge = self._numbers.get((caller, callee))
        if edge is None and (edge := self._newcomer(caller, callee)) is None:
            return
        register = self._register
        register.weight[edge] += 1.0
        register.heard_at[edge] = max(at, register.heard_at[edge])

    def import_edges(self, edges: Iterable[tuple[str, str]]) -> int:
        """Take in edges that somebody else knows of, for good; how many found no place."""
        left = 0
        for caller, callee in edges:
            names = self._alias.get(caller, caller), self._alias.get(callee, callee)
            if names[0] != names[1]:
                left += not self._register.pin(*names, "imported")
        self._spread()
        return left

    def fade(self, now: Nanos) -> None:
        """Forget learned edges that nobody has spoken of for `fade_s`."""
        self._register.fade(Nanos(now - self._fade_ns))

    def hold(self, service: str, since: Nanos) -> None:
        """An incident of `service` runs since then: what is seen from then on teaches nobody what is normal."""
        self._buckets.hold(service, since)

    def release(self, service: str, at: Nanos) -> None:
        """It is over."""
        self._buckets.release(service, at)

    def follow(self, running: dict[str, Nanos], now: Nanos) -> None:
        """Hold the services that are in `running`, since the times there, and release all others."""
        held = self._buckets.held()
        if held.keys() == running.keys():
            return
        for service in held.keys() - running.keys():
            self._buckets.release(service, now)
        for service, since in running.items():
            if service not in held:
                self._buckets.hold(service, since)

    def held(self) -> dict[str, Nanos]:
        """Services with an incident that runs, and since when."""
        return self._buckets.held()

    # what is asked

    def window(self, now: Nanos, *, incident_at: Nanos | None = None, only: Collection[str] | None = None) -> Window:
        """What was heard, as an analysis reads it.

        The incident begins at `incident_at`, else when the oldest one that runs did, else with the newest bucket.
        Edges stand in the order of `to_csr`; a service that merely relays to another is part of that one. `only` these
        services and the edges between them: the cost follows their number.
        """
        return window_of(self._section.frame(now, incident_at, only=only))

    def near(self, service: str, services_max: int) -> list[str]:
        """`service`, whom it calls and who calls it, over however many hops, the nearest first."""
        return near(self._register.out, self._register.into, service, services_max=services_max)

    def told_of(self, service: str) -> bool:
        """Whether anybody has lately told of calls that `service` makes."""
        return self._section.told_of(service)

    def calm_below(self, service: str) -> bool:
        """Whether the calls that `service` makes go as usual, as far as anybody has lately told of them: hardly any
        fails, and answers take no longer than before."""
        return self._section.calm_below(service)

    def callees(self) -> Ends:
        """Whom each service calls; read it, never write it."""
        return self._register.out

    def to_csr(self, now: Nanos) -> Csr:
        """Callers as rows and callees as columns, in scipy's layout, with names."""
        return csr_of(self._section.frame(now, None, counted=False))

    def coverage(self, now: Nanos | None = None) -> float | None:
        """Share of calls that known edges account for; None: no call was seen. See `covered`."""
        return self.covered(now).share

    def covered(self, now: Nanos | None = None) -> Coverage:
        """The same, service by service."""
        return cover(self._register, self._section.total(self._section.kept(now)), self._declared, self.topology.entry)

    def shared_causes(self, bad: Collection[Target], among: Collection[Target]) -> list[Finding]:
        """What the `bad` ones of `among` have in common beyond chance: host, zone, version, third party."""
        return shared_causes(self.groups(), bad, among)

    def groups(self) -> list[Group]:
        """Targets with a cause they may share."""
        if any(service.external for service in self.topology.services):  # who calls them is heard of
            return groups(self.topology, self._register.edges)
        if self._groups is None:
            self._groups = groups(self.topology)
        return self._groups

    def aliases(self) -> list[Alias]:
        """Names that mean another service: declared ones, and services that merely relay to another."""
        declared = [Alias(name, of, "declared") for name, of in self._alias.items()]
        return [*declared, *self._section.relays()]

    def means(self, name: str) -> str:
        """The service that `name` means: itself, or what it is an alias of."""
        return self._section.means(name)

    def nodes(self) -> list[Node]:
        """All services, declared ones first, then by name."""
        return nodes_of(self._register, self._declared, self._section.names(), self._section.total(self._buckets.all))

    def edges(self, now: Nanos) -> list[Edge]:
        """All edges and what they did lately, by caller and callee."""
        width_ns = self._buckets.width_ns
        recent = [bucket for bucket in self._buckets.all if bucket.end > now - (RECENT_BUCKETS - 1) * width_ns]
        over_ns = max(SECOND, now - recent[0].start) if recent else 0
        sums = self._section.total(recent)
        return edges_of(self._register, self._declared, sums, over_ns, self._in_flight, self._source)

    def statistics(self) -> GraphStatistics:
        """Counts since the start."""
        register = self._register
        return GraphStatistics(
            services=register.services,
            edges=len(register.edges),
            buckets=len(self._buckets.all),
            evicted=register.evicted,
            faded=register.faded,
            refused=register.refused,
            late=self._late,
        )

    # inside

    def _turn(self, at: Nanos, since: int) -> Bucket | None:
        """The bucket of a sample that the newest one does not hold; as time goes on, weights and edges fade."""
        before = self._buckets.all[-1].end if self._buckets.all else None
        bucket = self._buckets.open(at, since)
        if bucket is None:
            self._late += 1
        elif before is not None and bucket.end > before:
            self._register.age((bucket.end - before) / self._buckets.width_ns)
            self.fade(at)
        return bucket

    def _newcomer(self, caller: str, callee: str) -> int | None:
        """The number of an edge by names that stand in no table; None: an alias calls itself, or there is no place."""
        names = self._alias.get(caller, caller), self._alias.get(callee, callee)
        edge = self._register.edges.get(names)
        if edge is None and names[0] != names[1]:
            edge = self._register.admit(*names)
            self._spread()
        return edge

    def _believe(self, edge: int, source: str, at: Nanos, bucket: Bucket) -> bool:
        """Whether `source` may speak of `edge`: two who count the same calls are never added up."""
        known, heard_at = self._source[edge], self._register.heard_at[edge]
        better = not known or _RANK[source] < _RANK[known]
        if not better and at - heard_at < SILENT_BUCKETS * self._buckets.width_ns:
            return False
        if known and better:  # what the other one counted in this bucket is counted again
            for word in (CALLS, FAILURES, ATTEMPTS, COUNTED, TIMED, CLIENT_NS, HEARD_NS):
                bucket.words[edge, word] = 0
        self._source[edge] = source
        return True

    def _heard_before(self, edge: int, since: int) -> None:
        """A sample reaches back beyond its bucket: it says of those before, too, that nothing else happened there."""
        self._buckets.reach(since)
        for bucket in reversed(self._buckets.all[:-1]):
            if bucket.end <= since:
                return
            if edge >= len(bucket.words):
                bucket.make_room(edge)
            bucket.words[edge, HEARD_NS] = max(1, bucket.words[edge, HEARD_NS])

    def _spread(self) -> None:
        self._buckets.edges = len(self._register.origin)
        missing = self._buckets.edges - len(self._source)
        self._source += [""] * missing
        self._in_flight += [None] * missing

    def _forget(self, edge: int) -> None:
        for bucket in self._buckets.all:
            bucket.forget(edge)
        self._source[edge], self._in_flight[edge] = "", None
