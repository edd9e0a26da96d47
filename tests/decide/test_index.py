"""A step costs what is open, and nothing of what is closed or long past: shown by counting work, not time.

Work is the number of bytecodes that a call executes: where the same incidents are open it must be the same number.
"""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import msgspec

from controlplane.decide.engine import Engine
from controlplane.decide.life import CLOSED_MAX
from controlplane.decide.state import State, fold
from controlplane.model import record as on
from controlplane.model.command import Restore
from controlplane.model.incident import Phase
from controlplane.model.policy import ResponsePolicy
from controlplane.model.signal import (
    Acted,
    Cause,
    EntrySampled,
    FellBack,
    Probed,
    Relayed,
    Sampled,
    Signal,
    Target,
    Tripped,
)
from controlplane.model.topology import Endpoint, Service, Topology
from controlplane.model.unit import SECOND, IncidentId, Nanos

POLICY = ResponsePolicy(penalty_s=0.5, ramp_percent=(50,), ramp_step_s=0.5, ramp_calls_min=0, verify_s=1)
SICK = Target("orders", "orders-1")


def topology() -> Topology:
    services = [Service(name="web", calls=("orders", "stock"))]
    for name in ("orders", "stock"):
        endpoints = tuple(Endpoint(name=f"{name}-{number}", url=f"http://h:{number}") for number in (1, 2, 3))
        services.append(Service(name=name, endpoints=endpoints))
    return Topology(services=tuple(services), entry="web")


def closed(engine: Engine, count: int) -> Nanos:
    """Let `engine` live through `count` incidents at the other service, each contained, recovered and closed."""
    now = Nanos(1_000 * SECOND)
    for _ in range(count):
        now = Nanos(now + 100 * SECOND)
        trip = Tripped(at=now, target=Target("stock", "stock-1"), cause=Cause.ERRORS, calls=5, failures=5)
        step(engine, trip, now)
        while engine.state.open_incidents():
            now = Nanos(now + SECOND // 4)
            step(engine, Sampled(at=now, target=trip.target, calls=10, failures=0, slow=0), now)
            step(engine, Probed(at=now, target=trip.target, passed=True), now)
            step(engine, None, now)
    return Nanos(now + 100 * SECOND)


def step(engine: Engine, signal: Signal | None, now: Nanos) -> None:
    outcome = engine.tick(now) if signal is None else engine.step(signal, now)
    for command in outcome.commands:
        step(engine, Acted(at=now, command=command.id, ok=True), now)
    for record in outcome.records:
        if isinstance(record, on.NoticeIssued):
            fold(engine.state, on.NoticeDelivered(at=now, key=record.notice.key, by="people"))


def work(call: Callable[[], Any]) -> int:
    """Bytecodes that `call` executes."""
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


def course(past: int) -> dict[str, int]:
    """Work of each kind of call in the same incident, after `past` others have been closed."""
    engine = Engine(topology(), POLICY)
    engine.start(Nanos(1_000 * SECOND), boot="1", wall_ns=0)
    now = closed(engine, past)
    assert len(engine.state.incidents) == min(past, CLOSED_MAX)
    done = {}

    def counted(name: str, signal: Signal | None, seconds: float) -> None:
        at = Nanos(now + round(seconds * SECOND))
        moved = None if signal is None else msgspec.structs.replace(signal, at=at)
        done[name] = work(lambda: step(engine, moved, at))

    zero = Nanos(0)
    counted("a healthy sample", EntrySampled(at=zero, requests=100, failed=0, slow=0), 0)
    counted("the first verdict", Tripped(at=zero, target=SICK, cause=Cause.ERRORS, calls=5, failures=5), 0.1)
    counted("the next verdict", Tripped(at=zero, target=SICK, cause=Cause.STALLED, calls=5, failures=5), 0.2)
    counted("users are hurt", EntrySampled(at=zero, requests=100, failed=9, slow=0), 0.3)
    counted("a fallback", FellBack(at=zero, service="orders", count=3), 0.4)
    counted("a relayed failure", Relayed(at=zero, caller="web", callee="orders", count=3), 0.5)
    counted("a tick", None, 1.2)
    counted("a probe", Probed(at=zero, target=SICK, passed=True), 1.3)
    counted("a late tick", None, 20)
    for number in range(12):
        if not engine.state.open_incidents():
            break
        seconds = 30.0 + 10 * number
        at = Nanos(now + round(seconds) * SECOND)
        step(engine, Probed(at=at, target=SICK, passed=True), at)
        step(engine, Sampled(at=at, target=SICK, calls=10, failures=0, slow=0), at)
        counted(f"recovery {number}", None, seconds + 1)
    assert engine.state.open_incidents() == []
    return done


def test_no_step_costs_more_after_many_incidents() -> None:
    """Bytecode for bytecode the same with all closed incidents that are kept, and half as many again forgotten."""
    few = course(1)
    assert all(count > 50 for count in few.values()), few
    many = course(CLOSED_MAX + CLOSED_MAX // 2)
    grown = {name: (few[name], many[name]) for name in few if many[name] > few[name] + 50}  # to forget one costs 23
    assert grown == {}


def test_the_count_would_show_a_look_through_what_is_closed() -> None:
    """The measure is worth something: the loop that the index replaced shows at once."""
    engine = Engine(topology(), POLICY)
    engine.start(Nanos(1_000 * SECOND), boot="1", wall_ns=0)
    closed(engine, 1)
    before = work(lambda: scan(engine.state))
    closed(engine, 20)
    assert work(lambda: scan(engine.state)) > 5 * before


def scan(state: State) -> list[str]:
    return [one.id for one in state.incidents.values() if one.phase is not Phase.CLOSED]


def test_what_is_closed_is_forgotten_oldest_first() -> None:
    """As many are kept as CLOSED_MAX says; the journal has the others."""
    engine = Engine(topology(), POLICY)
    engine.start(Nanos(1_000 * SECOND), boot="1", wall_ns=0)
    closed(engine, CLOSED_MAX + 3)
    assert len(engine.state.incidents) == CLOSED_MAX
    assert next(iter(engine.state.incidents)) == "i4"
    assert engine.state.incidents_total == CLOSED_MAX + 3
    assert engine.state.index.command == {}
    assert engine.state.index.target == {}


def test_an_incident_that_moves_is_found_where_it_went_and_makes_way() -> None:
    """Where it was, another one that is open there is found again."""
    state = State()
    for name, service in (("i1", "cart"), ("i2", "cart")):
        fold(
            state,
            on.IncidentOpened(
                at=Nanos(1),
                incident=IncidentId(name),
                origin=Target(service),
                cause=Cause.ERRORS,
                signal_at=Nanos(1),
                shadow=False,
                evidence="x",
            ),
        )
    assert state.open_at("cart") is state.incidents[IncidentId("i1")]
    fold(state, on.OriginMoved(at=Nanos(2), incident=IncidentId("i1"), origin=Target("stock"), reason="x"))
    assert state.open_at("stock") is state.incidents[IncidentId("i1")]
    assert state.open_at("cart") is state.incidents[IncidentId("i2")]
    fold(state, on.IncidentClosed(at=Nanos(3), incident=IncidentId("i2"), reason="x"))
    assert state.open_at("cart") is None
    assert state.open == [IncidentId("i1")]


def test_only_restores_are_left_of_an_incident_that_is_closed() -> None:
    """Nothing stands in the name of an incident that is over: its last order gave everything back."""
    engine = Engine(topology(), POLICY)
    engine.start(Nanos(1_000 * SECOND), boot="1", wall_ns=0)
    closed(engine, 1)
    [one] = engine.state.incidents.values()
    assert isinstance(one.commands[-1].intent, Restore)
    assert engine.state.in_force == {}
