"""Whatever playbooks say: in shadow they change nothing that is done; in force they break no rule, and end."""

from collections.abc import Iterator, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.decide.engine import Engine
from controlplane.decide.kind import share_out
from controlplane.model.command import Command
from controlplane.model.outcome import Outcome
from controlplane.model.playbook import Match, Playbook, Precondition, Step
from controlplane.model.policy import ResponsePolicy
from controlplane.model.signal import Acted, Cause, Ordered, Probed, Sampled, Signal, Target, Told, Tripped
from controlplane.model.topology import Endpoint, Service, Topology
from controlplane.model.unit import MILLISECOND, SECOND, Nanos
from controlplane.sim.invariant import Invariants

BEGIN = Nanos(1_000 * SECOND)
NAMES = tuple(f"o{number}" for number in range(1, 6))
ORDERS = Service(
    name="orders",
    deployer="ci",
    endpoints=tuple(
        Endpoint(
            name=name,
            url=f"http://127.0.0.1:{number}",
            zone="aabbc"[number - 1],
            version="v1" if number < 4 else "v2",
            priority=int(number == 5),
        )
        for number, name in enumerate(NAMES, 1)
    ),
)
CART = Service(name="cart", endpoints=(Endpoint(name="c1", url="http://127.0.0.1:9"),), fallback=True)
TOPOLOGY = Topology(services=(Service(name="web", calls=("orders", "cart")), ORDERS, CART), entry="web")
POLICY = ResponsePolicy(penalty_s=1, ramp_step_s=1, verify_s=1, blast_budget_percent=80)

services = st.sampled_from(["orders", "orders", "orders", "cart", "gone"])
endpoints = st.sampled_from(["", "", *NAMES, "nobody"])
steps = st.builds(
    Step,
    do=st.sampled_from(
        [
            "eject", "reroute", "isolate", "limit", "fail_over", "cap_retries", "shed", "tighten", "roll_back", "tell",
            "by_hand",
        ]
    ),
    service=st.sampled_from(["", "", "orders", "cart", "web", "gone"]),
    endpoint=endpoints,
    zone=st.sampled_from(["", "", "a", "b", "z"]),
    version=st.sampled_from(["", "", "v1", "v2"]),
    percent=st.sampled_from([None, 1, 30, 100]),
    concurrency=st.sampled_from([None, 1, 8]),
    deadline_ms=st.sampled_from([None, 200]),
    text=st.just("do it"),
)  # fmt: skip
needs = st.builds(
    Precondition,
    need=st.sampled_from(["fallback", "floor", "healthy", "capacity"]),
    service=st.sampled_from(["", "orders", "cart"]),
    endpoints=st.sampled_from([None, 1, 3]),
    per_s=st.sampled_from([None, 10.0]),
)
matches = st.builds(
    Match,
    service=services,
    cause=st.sampled_from([(), (), (Cause.ERRORS,), (Cause.OVERLOAD, Cause.VERSION)]),
    endpoint=st.sampled_from(["", "", "o1"]),
    version=st.sampled_from(["", "", "*", "v2"]),
)


def books(*, enforce: bool) -> st.SearchStrategy[list[Playbook]]:
    one = st.builds(
        Playbook,
        name=st.just("p"),
        match=matches,
        steps=st.lists(steps, min_size=1, max_size=4).map(tuple),
        preconditions=st.lists(needs, max_size=1).map(tuple),
        enforce=st.just(enforce),
    )
    return st.lists(one, min_size=1, max_size=3).map(
        lambda made: [
            Playbook(name=f"p{n}", match=b.match, steps=b.steps, preconditions=b.preconditions, enforce=enforce)
            for n, b in enumerate(made)
        ]
    )


targets = st.sampled_from([*(Target("orders", name) for name in NAMES), Target("orders"), Target("cart", "c1")])
facts = st.lists(
    st.tuples(
        st.sampled_from(["trip", "trip", "trip", "calls", "calls", "bad calls", "probe", "freeze", "resume"]),
        targets,
        st.sampled_from([Cause.ERRORS, Cause.ERRORS, Cause.OVERLOAD, Cause.SLOW]),
        st.sampled_from([1, 8, 400, 2_000]),
    ),
    min_size=1,
    max_size=25,
)
Facts = Sequence[tuple[str, Target, Cause, int]]


def signal(what: str, target: Target, cause: Cause, now: Nanos) -> Signal:
    if what == "trip":
        contained = bool(target.endpoint)
        return Tripped(at=now, target=target, cause=cause, calls=9, failures=9, contained=contained)
    if what in ("calls", "bad calls"):
        return Sampled(at=now, target=target, calls=30, failures=20 if what == "bad calls" else 0, slow=0)
    if what == "probe":
        return Probed(at=now, target=target, passed=True)
    return Ordered(at=now, order="freeze" if what == "freeze" else "resume", by="alice")


class Life:
    """One engine, told the same things; its data plane takes every order."""

    def __init__(self, playbooks: Sequence[Playbook]) -> None:
        self.engine = Engine(TOPOLOGY, POLICY, playbooks=playbooks)
        self.watch = Invariants("web", TOPOLOGY, POLICY)
        self.commands: list[tuple[Nanos, Command]] = []
        self.wake_at: Nanos | None = None
        self._done(None, self.engine.start(BEGIN, boot="b", wall_ns=BEGIN), BEGIN)

    def live(self, told: Facts, *, until_s: int = 0) -> None:
        now = BEGIN
        for what, target, cause, after_ms in told:
            now = Nanos(now + after_ms * MILLISECOND)
            self._ticks(now)
            self._tell(signal(what, target, cause, now), now)
        self._ticks(Nanos(now + until_s * SECOND))

    def _ticks(self, until: Nanos) -> None:
        while self.wake_at is not None and self.wake_at <= until:
            now = self.wake_at
            self._done(None, self.engine.tick(now), now)

    def _tell(self, fact: Signal, now: Nanos) -> None:
        self._done(fact, self.engine.step(fact, now), now)

    def _done(self, fact: Signal | None, outcome: Outcome, now: Nanos) -> None:
        self.wake_at = outcome.wake_at
        self.watch.decided(fact, outcome, now)
        for command in outcome.commands:
            self.commands.append((now, command))
            self.watch.applied(command, now)
            self._tell(Acted(at=now, command=command.id, ok=True), now)
        for notice in outcome.notices:
            self._tell(Told(at=now, key=notice.key, by="people"), now)

    def orders(self) -> Iterator[tuple[str, str, str]]:
        """What was ordered for the first time; leases are renewed when somebody looks."""
        seen = set()
        for _, command in self.commands:
            if command.id not in seen:
                seen.add(command.id)
                yield str(command.target), str(command.intent), command.enforcement


@settings(max_examples=200, deadline=None)
@given(books(enforce=False), facts)
def test_a_playbook_in_shadow_changes_nothing_that_is_done(playbooks: list[Playbook], told: Facts) -> None:
    """The same orders in the same order as without it, whatever it says and whatever happens."""
    alone, beside = Life([]), Life(playbooks)
    alone.live(told)
    beside.live(told)
    assert list(alone.orders()) == list(beside.orders())


@settings(max_examples=200, deadline=None)
@given(books(enforce=True), facts)
def test_a_playbook_in_force_keeps_every_pool_from_running_dry(playbooks: list[Playbook], told: Facts) -> None:
    """By brute force over what is in force after every fact: the floor, the last endpoint, leases that end."""
    life = Life(playbooks)
    life.live(told)
    assert [one for one in life.watch.violations if one.rule in ("capacity", "budget", "lease", "epoch")] == []
    out: dict[str, float] = {}
    for at, command in life.commands:
        assert command.lease_until > at
        if command.target.service == "orders" and command.target.endpoint:
            out[command.target.endpoint] = share_out(command.intent)
            left = sum(out.get(name, 0.0) < 1 for name in NAMES)
            assert left * 100 >= POLICY.healthy_floor_percent * len(NAMES)
            assert left


@settings(max_examples=100, deadline=None)
@given(books(enforce=True), facts)
def test_what_a_playbook_ordered_ends_when_its_incident_does(playbooks: list[Playbook], told: Facts) -> None:
    """No side order outlives the incident that it was given for."""
    life = Life(playbooks)
    life.live(told, until_s=40)
    state = life.engine.state
    for command in (*state.sides.values(), *state.in_force.values()):
        assert state.incidents[command.incident].id in state.open
