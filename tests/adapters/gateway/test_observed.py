"""Calls that proxies made are judged by the guards of this process: same verdicts, same samples, same learning."""

import pytest

from controlplane._native.guard import ERROR, STALLED, SUCCESS, now_ns, set_test_clock
from controlplane.adapters.gateway.guards import GuardSet
from controlplane.adapters.gateway.observed import ObservedCalls
from controlplane.model.policy import GuardPolicy
from controlplane.model.signal import Cause, EdgeSampled, EntrySampled, Relayed, Target, Tripped
from controlplane.model.topology import Endpoint, Service, Topology
from controlplane.model.unit import MILLISECOND, SECOND

TOPOLOGY = Topology(
    services=(
        Service(name="www", calls=("orders",)),
        Service(name="orders", endpoints=tuple(Endpoint(name=f"o{n}", url=f"http://127.0.0.1:{n}") for n in (1, 2, 3))),
    ),
    entry="www",
)
O1, O2, O3 = (Target("orders", f"o{n}") for n in (1, 2, 3))


class Heard:
    """Guards whose clock moves with what is heard."""

    def __init__(self) -> None:
        self.rings = 0
        self.now = 1_000 * SECOND
        set_test_clock(self.now)
        self.guards = GuardSet(TOPOLOGY, {"default": GuardPolicy()}, ring=self._ring, seed=3)
        self.judge = ObservedCalls(self.guards, slow_s=0.5)

    def _ring(self) -> None:
        self.rings += 1

    def tell(self, target: Target, outcome: int = SUCCESS, latency_ms: int = 5, *, apart_ms: int = 10) -> None:
        self.now += apart_ms * MILLISECOND
        set_test_clock(self.now)
        self.judge.ended(target, outcome, latency_ms * MILLISECOND)

    def usual(self, rounds: int) -> None:
        for _ in range(rounds):
            for target in (O1, O2, O3):
                self.tell(target)


@pytest.fixture
def heard() -> Heard:
    """Before anything was heard."""
    return Heard()


def trips(heard: Heard) -> list[Tripped]:
    return [signal for signal in heard.guards.drain() if isinstance(signal, Tripped)]


def test_five_failures_in_a_row_are_a_verdict(heard: Heard) -> None:
    """It rings at the fifth, and says so as of a call made here."""
    heard.usual(20)
    for _ in range(4):
        heard.tell(O2, ERROR)
    assert (heard.rings, trips(heard)) == (0, [])
    heard.tell(O2, ERROR)
    (tripped,) = trips(heard)
    assert heard.rings == 1
    assert (tripped.target, tripped.cause, tripped.failures, tripped.contained) == (O2, Cause.ERRORS, 5, True)


def test_what_is_normal_is_learned_and_slow_is_what_is_not(heard: Heard) -> None:
    """A latency nobody configured: three times the learned p99 and more, again and again, is a verdict."""
    heard.usual(200)
    assert heard.guards.services["orders"].p99_ns > 0
    for _ in range(20):
        heard.tell(O3, latency_ms=900)
        heard.tell(O1)
    (tripped,) = trips(heard)
    assert (tripped.target, tripped.cause) == (O3, Cause.SLOW)


def test_calls_that_hang_are_a_verdict(heard: Heard) -> None:
    """Told one after the other, as overdue by what is usual."""
    heard.usual(200)
    assert heard.judge.stall_ns("orders") == 200 * MILLISECOND
    for _ in range(6):
        heard.tell(O1, STALLED, 250, apart_ms=100)
    assert [(one.target, one.cause) for one in trips(heard)] == [(O1, Cause.STALLED)]


def test_a_replica_that_is_gray_is_found(heard: Heard) -> None:
    """Twice as slow as its siblings and its own past, too fast for a stall and without an error."""
    for _ in range(700):
        for target in (O1, O2, O3):
            heard.tell(target, latency_ms=20, apart_ms=2)
    for _ in range(700):
        for target in (O1, O2, O3):
            heard.tell(target, latency_ms=70 if target == O2 else 20, apart_ms=4)
    assert {(one.target, one.cause) for one in trips(heard)} == {(O2, Cause.SLOW)}  # told until it is answered


def test_edges_and_users_are_told_of(heard: Heard) -> None:
    """The graph hears what the edge did, and the entry what users saw."""
    heard.usual(50)
    heard.judge.asked(failed=True, latency_ns=0)
    heard.judge.asked(failed=False, latency_ns=SECOND)
    heard.judge.asked(failed=False, latency_ns=MILLISECOND)
    heard.judge.shed()
    heard.judge.relayed("orders", "db")
    signals = heard.guards.sample()
    (edge,) = [signal for signal in signals if isinstance(signal, EdgeSampled) and signal.callee == "orders"]
    assert (edge.caller, edge.calls, edge.failures) == ("www", 150, 0)
    (entry,) = [signal for signal in signals if isinstance(signal, EntrySampled)]
    assert (entry.requests, entry.failed, entry.slow, entry.shed) == (3, 1, 1, 1)
    assert [(one.caller, one.callee) for one in signals if isinstance(one, Relayed)] == [("orders", "db")]


def test_strangers_are_counted_and_nothing_else(heard: Heard) -> None:
    """A service or an endpoint that nobody declared, and the process itself; an absurd latency is cut."""
    for target in (Target("billing", "b1"), Target("orders", "o9"), Target("orders"), Target("www")):
        heard.judge.ended(target, ERROR, 1)
    assert heard.judge.strangers == 4
    assert heard.judge.stall_ns("billing") == 3_600 * SECOND
    heard.judge.ended(O1, SUCCESS, 10**30)
    heard.judge.ended(O1, SUCCESS, -5)
    assert heard.guards.guard("orders").describe()["calls"] == 2
    assert heard.guards.guard("orders").in_flight == 0
    assert now_ns() == heard.now
