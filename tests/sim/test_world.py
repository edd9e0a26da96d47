"""The kernel: nothing is lost, queues are those of the theory, and a slow oracle sees the same world."""

import math
from collections import Counter
from collections.abc import Callable
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane._native import world as native
from controlplane._native.guard import set_test_clock
from controlplane._native.world import World
from controlplane.sim.run import Simulation
from controlplane.sim.scenario import CASCADING, CLASSES, draw
from controlplane.simulate.peer import fleet_of
from tests.sim.world_oracle import Oracle

SECOND = 1_000_000_000
BEGIN = 1_000 * SECOND
MILLISECOND = 1_000_000
LEFT_NS = MILLISECOND  # a message has to travel


class Token:
    """An attempt; `ends` counts how often it was settled."""

    def __init__(self, endpoint: int, made: int, deadline_ns: int) -> None:
        self.endpoint, self.made, self.attempt, self.ends = endpoint, made, -1, 0
        self.deadline_ns = deadline_ns


class InTurn:
    """One replica after the other, `attempts` in all, every `refuse_every`th call refused; it keeps what it gave.

    With a `clock` it keeps deadlines: no call and no attempt that would have less than LEFT_NS.
    """

    def __init__(
        self, replicas: int, attempts: int = 2, refuse_every: int = 0, clock: Callable[[], int] | None = None
    ) -> None:
        self.replicas, self.attempts, self.refuse_every = replicas, attempts, refuse_every
        self.asked, self.given = 0, list[Token]()
        self.clock, self.keeps_deadlines = clock, clock is not None
        self.late = 0

    def begin(self, _priority: int, deadline_ns: int) -> Token | Literal[False] | None:
        self.asked += 1
        if self.clock is not None and deadline_ns - self.clock() < LEFT_NS:
            self.late += 1
            return False
        if self.refuse_every and self.asked % self.refuse_every == 0:
            return None
        return self.give(self.asked % self.replicas, 1, deadline_ns)

    def again(self, token: Token, avoid: int) -> Token | None:
        late = self.clock is not None and token.deadline_ns - self.clock() < LEFT_NS
        if late or token.made == self.attempts:
            return None
        return self.give((avoid + 1) % self.replicas, token.made + 1, token.deadline_ns)

    def give(self, endpoint: int, made: int, deadline_ns: int) -> Token:
        self.given.append(Token(endpoint, made, deadline_ns))
        return self.given[-1]

    def succeed(self, token: Token) -> None:
        token.ends += 1

    def fail(self, token: Token, _kind: int) -> None:
        token.ends += 1

    relay = succeed


class Fleet:
    """Policies that need no time of their own."""

    rung = False

    def __init__(self, policies: list[InTurn]) -> None:
        self.policies = policies

    def wake_at(self) -> None:
        return None

    def wake(self, _now: int) -> None:
        raise AssertionError("nobody asked for it")


def world(services: list[Any], edges: list[Any], **changed: Any) -> tuple[World, dict[str, Any]]:
    """A world with plain users, and what it was made of."""
    fields: dict[str, Any] = {
        "seed": 1,
        "entry": 0,
        "seconds": 20,
        "rate_per_s": 100.0,
        "amplitude": 0.0,
        "period_s": 60.0,
        "net_ns": 300_000,
        "patience_ns": 3 * SECOND,
        "slow_ns": SECOND,
        "react_ns": 0,
        "begin_ns": BEGIN,
        **changed,
    }
    return World(services, edges, **fields), fields


def run(made: World, policies: list[InTurn], callers: int, until: int) -> None:
    """Run, and give the clock back."""
    try:
        made.set_fleet(Fleet(policies), policies, [None] * callers)
        made.run(until)
    finally:
        set_test_clock(-1)


@pytest.mark.parametrize("fault", CLASSES)
def test_every_user_ends_exactly_once(fault: str) -> None:
    """Who came is counted once in the second in which the request began, or still waits at the end."""
    simulation = Simulation(draw(11, fault, seconds=60))
    result = simulation.run(fleet_of("plain", simulation))
    entry = simulation.world.counts(0)
    assert sum(ended for ended, _ in entry) == result.requests - result.open
    assert sum(failed for _, failed in entry) == result.failed
    assert result.open < 5 * simulation.scenario.load.rate_per_s


@pytest.mark.parametrize("fault", [*CASCADING, "replica_hangs"])
def test_every_attempt_is_settled_exactly_once(fault: str) -> None:
    """No token is settled twice, and those that are not settled are in flight."""
    simulation = Simulation(draw(5, fault, seconds=60))
    policies = [InTurn(len(simulation.scenario.mesh.node(call.callee).replicas)) for _, call in simulation.edges]
    run(simulation.world, policies, len(simulation.names), BEGIN + 60 * SECOND)
    ends = Counter(token.ends for policy in policies for token in policy.given)
    assert set(ends) <= {0, 1}
    assert ends[1] == simulation.world.attempts - ends[0]
    assert ends[0] < ends[1] / 10


def test_no_replica_works_on_more_than_it_can() -> None:
    """At any moment the busy are not more than the workers, and the queue is not longer than its bound."""
    simulation = Simulation(draw(3, "leaf_slow", seconds=60))
    policies = [InTurn(len(simulation.scenario.mesh.node(call.callee).replicas)) for _, call in simulation.edges]
    bounds = [one for node in simulation.scenario.mesh.nodes for one in node.replicas]
    seen = 0
    simulation.world.set_fleet(Fleet(policies), policies, [None] * len(simulation.names))
    try:
        for step in range(40 * 20, 60 * 20):
            simulation.world.run(BEGIN + step * SECOND // 20)
            for at, bound in enumerate(bounds):
                replica = simulation.world.replica(at)
                assert 0 <= replica["busy"] <= bound.workers
                assert 0 <= replica["queued"] <= bound.queue_max
                seen = max(seen, replica["queued"])
    finally:
        set_test_clock(-1)
    assert seen > 0, "nobody ever waited: the test saw nothing"


@pytest.mark.parametrize(("workers", "load"), [(1, 0.5), (4, 3.0), (8, 8.0)])
def test_without_a_queue_erlang_s_formula_holds(workers: int, load: float) -> None:
    """Erlang's loss formula, exact whatever the distribution of service times: the share that finds all busy."""
    rate, seconds = 400.0, 400
    made, _ = world(
        [("s", load / rate * SECOND, 0.8, 0.0, [(workers, 0)])], [], seconds=seconds, rate_per_s=rate, seed=workers
    )
    run(made, [], 1, BEGIN + seconds * SECOND)
    blocked = 1.0
    for servers in range(1, workers + 1):
        blocked = load * blocked / (servers + load * blocked)
    deviation = math.sqrt(blocked * (1 - blocked) / made.users)
    # neighbouring arrivals meet the same busy servers, so the share varies by more than independent draws would
    assert abs(made.users_failed / made.users - blocked) < 5 * 2 * deviation


@pytest.mark.parametrize(("utilisation", "sigma"), [(0.5, 0.0), (0.7, 0.5), (0.8, math.sqrt(math.log(2)))])
def test_a_queue_is_as_long_as_pollaczek_and_khinchine_say(utilisation: float, sigma: float) -> None:
    """The mean queue of M/G/1, exact; with the last sigma service times vary like those of M/M/1."""
    rate, seconds = 500.0, 400
    made, _ = world(
        [("s", utilisation / rate * SECOND, sigma, 0.0, [(1, 100_000)])], [], seconds=seconds, rate_per_s=rate
    )
    made.set_fleet(Fleet([]), [], [None])
    waiting = 0
    steps = seconds * 100
    try:
        for step in range(1, steps + 1):
            made.run(BEGIN + step * 10 * MILLISECOND)
            waiting += made.replica(0)["queued"]
    finally:
        set_test_clock(-1)
    expected = utilisation**2 * (1 + math.expm1(sigma**2)) / (2 * (1 - utilisation))
    assert waiting / steps == pytest.approx(expected, rel=0.08)


CHANGES = ("slow", "errors", "down", "hangs", "workers", "load", "pause")
VALUES = {"slow": 20.0, "errors": 0.5, "down": 1.0, "hangs": 1.0, "workers": 1.0, "load": 2.0, "pause": 2e8}
WELL = {"slow": 1.0, "errors": 0.0, "down": 0.0, "hangs": 0.0, "workers": 3.0, "load": 1.0, "pause": 0.0}


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**62),
    shape=st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(0, 6)), min_size=3, max_size=4),
    soft=st.lists(st.booleans(), min_size=4, max_size=4),
    refuse=st.integers(0, 9),
    deadlines=st.booleans(),
    faults=st.lists(  # not the same one twice: where one ends as the other begins, either may be counted first
        st.tuples(st.sampled_from(CHANGES), st.integers(0, 2), st.integers(1, 5)),
        max_size=4,
        unique_by=lambda fault: (fault[0], fault[0] == "load" or fault[1]),
    ),
)
def test_the_kernel_and_a_slow_oracle_see_the_same_world(
    seed: int,
    shape: list[tuple[int, int, int]],
    soft: list[bool],
    refuse: int,
    deadlines: bool,
    faults: list[tuple[str, int, int]],
) -> None:
    """Small worlds: the same events, attempts, users and counts of every second."""
    services = [
        (f"s{at}", 4e6 * (at + 1), 0.6, 0.01, [(workers, queue)] * replicas)
        for at, (replicas, workers, queue) in enumerate(shape)
    ]
    pairs = [(0, 1, 0.0, 0.7), (0, 2, 0.4, 1.0), (1, 2, 0.0, 1.0), *([(2, 3, 0.0, 0.5)] if len(shape) == 4 else [])]
    edges = [
        (caller, callee, soft[at], 60 * MILLISECOND, low, high) for at, (caller, callee, low, high) in enumerate(pairs)
    ]
    changed = {"seed": seed, "seconds": 6, "patience_ns": 200 * MILLISECOND, "slow_ns": 50 * MILLISECOND}
    made, fields = world(services, edges, amplitude=0.3, period_s=4.0, **changed)
    oracle = Oracle(services, edges, **fields)
    for what, at, second in faults:
        replica = 0 if what == "load" else at % len(oracle.replicas)
        for when, value in ((second, VALUES[what]), (second + 1, WELL[what])):
            number = getattr(native, what.upper())
            made.fault(BEGIN + when * SECOND, number, -1 if what == "load" else replica, value)
            oracle.fault(BEGIN + when * SECOND, what, replica, value)
    sizes = [shape[callee][0] for _, callee, *_ in edges]
    clocks = ((lambda: made.now), (lambda: oracle.now)) if deadlines else (None, None)
    here, there = ([InTurn(size, 3, refuse, clock) for size in sizes] for clock in clocks)
    run(made, here, len(services), BEGIN + 6 * SECOND)
    oracle.run(there, BEGIN + 6 * SECOND)
    assert [policy.late for policy in here] == [policy.late for policy in there]
    assert (made.events, made.users, made.users_open()) == (oracle.events, oracle.users, len(oracle.open_users))
    assert (made.users_failed, made.users_slow) == (oracle.failed, oracle.slow)
    assert (made.attempts, made.logical_calls) == (oracle.attempts, oracle.calls)
    for at, service in enumerate(oracle.services):
        counted = {second: list(pair) for second, pair in enumerate(made.counts(at)) if pair[0]}
        assert counted == service.counts
