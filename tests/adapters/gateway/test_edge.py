"""What edges did, told once a second under traffic; without traffic nothing wakes."""

from collections.abc import Iterator

import anyio
import pytest
import trio
from trio.testing import MockClock

from controlplane._native.guard import ERROR, Guard, Permit, set_test_clock
from controlplane.adapters.gateway.edge import LatencySums
from controlplane.adapters.gateway.guards import GuardSet
from controlplane.model.signal import EdgeSampled, Signal, Tripped
from controlplane.model.topology import Endpoint, Service, Topology
from controlplane.model.unit import MILLISECOND, SECOND

TOPOLOGY = Topology(
    services=(
        Service(name="shop", calls=("orders", "db")),
        Service(name="orders", endpoints=tuple(Endpoint(name=f"o{n}", url=f"http://127.0.0.1:{n}") for n in (1, 2))),
        Service(name="db"),
    ),
    entry="shop",
)
BEGAN = 1_000 * SECOND


@pytest.fixture(autouse=True)
def guard_clock() -> Iterator[None]:
    """The guards' clock stands still until a test moves it."""
    set_test_clock(BEGAN)
    yield
    set_test_clock(-1)


@pytest.fixture
def guards() -> GuardSet:
    """Guards of two services."""
    return GuardSet(TOPOLOGY, {})


def call(guards: GuardSet, service: str, *, begin: int = BEGAN, took: int = 10 * MILLISECOND, kind: int = 0) -> None:
    """One call that began then and took so long."""
    one = guards.services[service]
    set_test_clock(begin)
    permit = one.guard.try_acquire()
    assert isinstance(permit, Permit)
    set_test_clock(begin + took)
    if kind:
        one.fail(permit, kind)
    else:
        one.succeed(permit)


def edges(signals: list[Signal]) -> dict[str, EdgeSampled]:
    return {signal.callee: signal for signal in signals if isinstance(signal, EdgeSampled)}


def test_an_edge_is_told_with_what_its_guard_counted(guards: GuardSet) -> None:
    """Attempts, failures and latencies since the last time; edges without calls are left out."""
    for number in range(20):
        call(guards, "orders", kind=ERROR if number % 10 == 0 else 0)
    set_test_clock(BEGAN + SECOND)
    told = edges(guards.sample())
    assert set(told) == {"orders"}
    one = told["orders"]
    assert (one.caller, one.source, one.window_ns, one.at) == ("shop", "gateway", SECOND, BEGAN + SECOND)
    assert (one.calls, one.attempts, one.failures, one.timed, one.in_flight) == (20, 20, 2, 18, 0)
    assert one.client_latency_ns == pytest.approx(18 * 10 * MILLISECOND, rel=0.01)
    assert one.server_latency_ns is None


def test_a_verdict_is_told_first_and_alone(guards: GuardSet) -> None:
    """Fifty faults at once ring fifty times; samples told at each ring would be a queue before all verdicts."""
    call(guards, "orders")
    for _ in range(20):
        call(guards, "db", kind=ERROR)
    set_test_clock(BEGAN + SECOND)
    first = guards.drain()
    assert {type(signal) for signal in first} == {Tripped}
    assert set(edges(guards.sample())) == {"orders", "db"}


def test_a_retry_is_an_attempt_and_no_call(guards: GuardSet) -> None:
    """What was wanted once is one call, however often it was sent."""
    call(guards, "db", kind=ERROR)
    again = guards.guard("db").try_again(-1)
    assert isinstance(again, Permit)
    again.success()
    set_test_clock(BEGAN + SECOND)
    one = edges(guards.sample())["db"]
    assert (one.calls, one.attempts, one.failures) == (1, 2, 1)


def test_users_are_told_as_calls_to_the_entry(guards: GuardSet) -> None:
    """By a caller without a name."""
    for failed in (True, False, False):
        guards.entry.ended(failed=failed, slow=False)
    set_test_clock(BEGAN + SECOND)
    one = edges(guards.sample())["shop"]
    assert (one.caller, one.calls, one.failures, one.client_latency_ns) == ("", 3, 1, None)


def test_it_is_told_no_more_than_once_a_second_and_nothing_twice(guards: GuardSet) -> None:
    """However often the loop wakes."""
    total = 0
    for step in range(30):
        call(guards, "db", begin=BEGAN + step * 200 * MILLISECOND)
        told = edges(guards.sample())
        total += told["db"].calls if told else 0
        assert bool(told) == (step > 0 and step % 5 == 0)
    assert total == 26


def test_what_comes_after_a_quiet_hour_says_how_long_it_was_quiet(guards: GuardSet) -> None:
    """The window reaches back to the last sample."""
    call(guards, "db")
    set_test_clock(BEGAN + SECOND)
    guards.sample()
    call(guards, "db", begin=BEGAN + 3_600 * SECOND, took=0)
    assert edges(guards.sample())["db"].window_ns == 3_599 * SECOND


def test_latency_sums_are_right_to_a_percent() -> None:
    """From a microsecond to a minute, by the middles of the histogram's buckets; a reset begins anew."""
    guard = Guard(endpoints=0)
    sums, total = LatencySums(guard), 0
    assert sums.take() == (0, 0)
    for power in range(3, 11):
        for factor in (1, 3, 7):
            latency_ns = min(factor * 10**power, 60 * SECOND)
            total += latency_ns
            permit = guard.try_acquire()
            assert isinstance(permit, Permit)
            set_test_clock(BEGAN + total)
            permit.success()
    count, summed = sums.take()
    assert (count, summed) == (24, pytest.approx(total, rel=0.01))
    guard.latency_reset()
    permit = guard.try_acquire()
    assert isinstance(permit, Permit)
    set_test_clock(BEGAN + total + SECOND)
    permit.success()
    assert sums.take() == (1, pytest.approx(SECOND, rel=0.01))


class Beating:
    """A beat on virtual time, and when it rang."""

    def __init__(self, guards: GuardSet) -> None:
        self.guards = guards
        self.rung: list[float] = []

    def ring(self) -> None:
        self.rung.append(round(anyio.current_time() - self._began, 3))
        set_test_clock(BEGAN + round((anyio.current_time() - self._began) * SECOND))
        self.guards.drain()

    async def run(self, calls_at: list[float], until: float, service: str = "db", kind: int = 0) -> list[float]:
        self._began = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.guards.beat, self.ring)
            await trio.testing.wait_all_tasks_blocked()
            for when in calls_at:
                await trio.sleep_until(self._began + when)  # on a MockClock
                call(self.guards, service, begin=BEGAN + round(when * SECOND), took=0, kind=kind)
            await trio.sleep_until(self._began + until)
            tasks.cancel_scope.cancel()
        return self.rung


def beat(guards: GuardSet, calls_at: list[float], until: float = 60, kind: int = 0) -> list[float]:
    async def main() -> list[float]:
        return await Beating(guards).run(calls_at, until, kind=kind)

    return trio.run(main, clock=MockClock(autojump_threshold=0))


def test_an_idle_process_is_not_woken(guards: GuardSet) -> None:
    """A minute without a call: not one ring."""
    assert beat(guards, []) == []


def test_under_traffic_it_rings_once_a_second_and_then_rests(guards: GuardSet) -> None:
    """A second after the first call, then each second, until one passes without."""
    assert beat(guards, [10 + step / 10 for step in range(30)]) == pytest.approx([11, 12, 13], abs=0.05)


def test_a_call_a_minute_is_told_a_second_later(guards: GuardSet) -> None:
    """Low traffic is not forgotten, nor kept until the next call."""
    assert beat(guards, [10, 70, 130], until=200) == pytest.approx([11, 71, 131], abs=0.05)


def test_calls_that_all_fail_are_traffic(guards: GuardSet) -> None:
    """No success is needed to be told of."""
    assert beat(guards, [10, 70], until=100, kind=ERROR) == pytest.approx([11, 71], abs=0.05)


def test_calls_of_other_processes_are_noticed_by_a_look(guards: GuardSet) -> None:
    """What nobody settled through this guard set starts the beat when it is looked for."""

    async def main() -> list[float]:
        beating = Beating(guards)
        beating._began = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(guards.beat, beating.ring)
            await trio.testing.wait_all_tasks_blocked()
            guards.look()
            permit = guards.guard("db").try_acquire()
            assert isinstance(permit, Permit)
            permit.success()
            guards.look()
            await trio.sleep_until(beating._began + 30)  # on a MockClock
            tasks.cancel_scope.cancel()
        return beating.rung

    assert trio.run(main, clock=MockClock(autojump_threshold=0)) == [1.0]


def test_many_edges_are_told_a_few_at_a_time_and_each_once() -> None:
    """A thousand edges must not hold up a verdict: eight at a look, and nobody twice within the second."""
    services = tuple(Service(name=f"s{number}") for number in range(100))
    guards = GuardSet(
        Topology(services=(Service(name="shop", calls=tuple(one.name for one in services)), *services), entry="shop"),
        {},
    )
    for one in services:
        call(guards, one.name)
    set_test_clock(BEGAN + SECOND)
    looks = [edges(guards.sample()) for _ in range(13)]
    assert max(len(look) for look in looks) == 8
    assert sorted(name for look in looks for name in look) == sorted(one.name for one in services)
