"""One supposition through the production engine: a calm minute, the failure, and some seconds of what follows.

Guards are made up as they are: the first bad endpoint is ejected by reflex, further ones as far as their cap goes.
Every order is taken at once. What is not foreseen: how calls recover, and what other processes' guards would say.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from controlplane.decide.engine import Engine
from controlplane.decide.playbook.place import callers_of
from controlplane.decide.state import State
from controlplane.decide.whatif import traffic
from controlplane.decide.whatif.grammar import members
from controlplane.decide.whatif.told import told_of
from controlplane.model.foretold import Foretold, Supposed
from controlplane.model.outcome import Outcome
from controlplane.model.playbook import Playbook
from controlplane.model.policy import GraphPolicy, GuardPolicy, ResponsePolicy
from controlplane.model.signal import (
    Acted,
    Cause,
    EdgeSampled,
    EntrySampled,
    FellBack,
    Relayed,
    Signal,
    Target,
    Told,
    Tripped,
)
from controlplane.model.topology import Service, Topology
from controlplane.model.unit import MILLISECOND, SECOND, Nanos

CALM_S: Final = 60  # the graph compares with ten buckets and more of steady traffic where it has them, and needs a few
LASTS_S: Final = 7  # the second assessment is made after 5 s
APART_NS: Final = 8 * MILLISECOND  # between two verdicts of one failure: five calls each at some hundred a second
EVIDENCE: Final = 5  # calls in a row, as many as a guard's default wants
USUAL_NS: Final = 20 * MILLISECOND
SLOW_NS: Final = 800 * MILLISECOND
BEGIN: Final = Nanos(100_000 * SECOND)
CAUSES: Final = {"fails": Cause.ERRORS, "is slow": Cause.SLOW, "is overloaded": Cause.OVERLOAD}


def foresee(
    supposed: Supposed,
    topology: Topology,
    policy: ResponsePolicy,
    *,
    graph: GraphPolicy | None = None,
    playbooks: Iterable[Playbook] = (),
    guards: Mapping[str, GuardPolicy] | None = None,
    state: State | None = None,
    now: Nanos = BEGIN,
    rates: Mapping[traffic.Pair, float] | None = None,
) -> Foretold:
    """What would be done about `supposed`.

    `state` is a copy that is used up: that of a running engine, whose clock shows `now`; None: nothing has happened.
    `rates` are calls per second of each edge; none: nominal ones. `guards`: the guard policy of each service.
    """
    world = _World(supposed, topology, policy, graph, tuple(playbooks), guards or {}, state, now, rates)
    world.run()
    return told_of(
        supposed,
        world.engine,
        world.outcomes,
        now,
        figures="live" if rates else "nominal",
        before=world.before,
        left=traffic.failing(world.service, world.bad, world.engine.state),
    )


class _World:
    def __init__(
        self,
        supposed: Supposed,
        topology: Topology,
        policy: ResponsePolicy,
        graph: GraphPolicy | None,
        playbooks: tuple[Playbook, ...],
        guards: Mapping[str, GuardPolicy],
        state: State | None,
        now: Nanos,
        rates: Mapping[traffic.Pair, float] | None,
    ) -> None:
        self.engine = Engine(topology, policy, graph, playbooks=playbooks)
        self.supposed, self.now = supposed, now
        self.topology = topology
        found = topology.service(supposed.service)
        assert found is not None, "the grammar admits no other"
        self.service: Service = found
        self.bad = members(supposed, found)
        self.guard = guards.get(found.name, GuardPolicy())
        self.rates = dict(rates or traffic.nominal(topology))
        self.outcomes: list[tuple[Nanos, Outcome]] = []
        self._wake_at: Nanos | None = None
        calm = Nanos(now - CALM_S * SECOND)
        if state is None:
            self._done(calm, self.engine.start(calm, boot="what if", wall_ns=calm))
        else:
            self.engine.state = state
        for second in range(CALM_S):
            at = Nanos(calm + second * SECOND)
            for signal in self._edges(at, {}):
                self._step(signal, at)
        self.outcomes.clear()
        self.before = frozenset(self.engine.state.incidents)

    def run(self) -> None:
        """From the first verdict on."""
        for signal in self._verdicts():
            self._until(signal.at)
            self._step(signal, signal.at)
        for second in range(1, LASTS_S + 1):
            at = Nanos(self.now + second * SECOND)
            self._until(at)
            share = traffic.failing(self.service, self.bad, self.engine.state)
            for signal in (*self._users(at, share), *self._edges(at, {self.service.name: share})):
                self._step(signal, at)
        self._until(Nanos(self.now + LASTS_S * SECOND))

    def _verdicts(self) -> Iterable[Signal]:
        name, cause = self.service.name, CAUSES[self.supposed.how]
        callers = callers_of(self.topology, name)
        if self.topology.entry not in callers:  # no guard of this process calls it: its callers say whose failure it is
            for number, caller in enumerate(callers):
                at = Nanos(self.now + number * APART_NS)
                yield Relayed(at=at, caller=caller, callee=name, count=EVIDENCE + 1)
            return
        if not self.bad:
            yield Tripped(at=self.now, target=Target(name), cause=cause, calls=EVIDENCE, failures=EVIDENCE)
            return
        allowed = max(1, len(self.service.endpoints) * self.guard.ejected_percent_max // 100)
        for number, endpoint in enumerate(self.bad):
            by_reflex = number < allowed and len(self.service.endpoints) > 1
            yield Tripped(
                at=Nanos(self.now + number * APART_NS),
                target=Target(name, endpoint),
                cause=cause,
                calls=EVIDENCE,
                failures=EVIDENCE,
                contained=by_reflex,
                capped=not by_reflex,
                began_at=Nanos(self.now - MILLISECOND),
            )

    def _edges(self, at: Nanos, shares: Mapping[str, float | None]) -> Iterable[Signal]:
        """What everybody tells of the second before `at`; a share of None: it is isolated, and not called."""
        known = {name: share for name, share in shares.items() if share is not None}
        failing = traffic.carried(known, self.topology, self.rates)
        slow = self.supposed.how != "fails"
        for (caller, callee), rate in self.rates.items():
            share = failing[caller, callee]
            calls = max(1, round(rate))
            if callee in shares and shares[callee] is None:
                continue
            failures = 0 if self.supposed.how == "is slow" else round(calls * share)
            takes = round(USUAL_NS + (SLOW_NS - USUAL_NS) * share) if slow else USUAL_NS
            yield EdgeSampled(
                at=at,
                caller=caller,
                callee=callee,
                window_ns=SECOND,
                calls=calls,
                failures=failures,
                attempts=calls,
                timed=calls,
                client_latency_ns=takes * calls,
                source="gateway",
            )

    def _users(self, at: Nanos, share: float | None) -> Iterable[Signal]:
        entry = self.topology.entry
        requests = max(1, round(self.rates.get((traffic.USERS, entry), traffic.NOMINAL_PER_S)))
        refused = {self.service.name: 1.0 if share is None else share}
        harmed = traffic.carried(refused, self.topology, {(traffic.USERS, entry): 1.0})[traffic.USERS, entry]
        count = round(requests * harmed)
        slow = self.supposed.how == "is slow" and share is not None
        if self.service.fallback and refused[self.service.name]:
            yield FellBack(at=at, service=self.service.name, count=max(1, round(requests * refused[self.service.name])))
        yield EntrySampled(at=at, requests=requests, failed=0 if slow else count, slow=count if slow else 0)

    def _until(self, at: Nanos) -> None:
        while self._wake_at is not None and self._wake_at <= at:
            now = max(self._wake_at, self.now)
            self._done(now, self.engine.tick(now))

    def _step(self, signal: Signal, now: Nanos) -> None:
        self._done(now, self.engine.step(signal, now))

    def _done(self, now: Nanos, outcome: Outcome) -> None:
        self._wake_at = outcome.wake_at
        if outcome.records:
            self.outcomes.append((now, outcome))
        for command in outcome.commands:
            self._step(Acted(at=now, command=command.id, ok=True), now)
        for notice in outcome.notices:
            self._step(Told(at=now, key=notice.key, by="nobody"), now)
