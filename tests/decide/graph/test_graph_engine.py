"""The engine feeds the graph, stops its learning while an incident runs, and puts nothing of it on record."""

from controlplane.decide.engine import Engine
from controlplane.model.policy import GraphPolicy, ResponsePolicy
from controlplane.model.record import Record
from controlplane.model.signal import Cause, Probed, Relayed, Sampled, Signal, Target, Tripped
from controlplane.model.topology import Endpoint, Service, Topology
from controlplane.model.unit import SECOND, Nanos
from tests.decide.samples import at, edge

TOPOLOGY = Topology(
    services=(
        Service(name="web", calls=("orders",)),
        Service(name="orders", endpoints=tuple(Endpoint(name=f"o{n}", url=f"http://h:{n}") for n in (1, 2, 3))),
    ),
    entry="web",
)
POLICY = ResponsePolicy(penalty_s=0.5, ramp_percent=(50,), ramp_step_s=0.5, ramp_calls_min=0, verify_s=1)


def begun() -> tuple[Engine, list[Record]]:
    engine = Engine(TOPOLOGY, POLICY, GraphPolicy(fade_s=600))
    return engine, list(engine.start(at(0), boot="b", wall_ns=10**18).records)


def test_a_sample_of_an_edge_is_counted_and_asks_for_nothing() -> None:
    """No record, no command, no notice, and nobody need wake for it."""
    engine, _ = begun()
    outcome = engine.step(edge("web", "orders", 10, 1), at(1))
    assert (outcome.records, outcome.commands, outcome.notices, outcome.wake_at) == ((), (), (), None)
    assert next(one.calls for one in engine.graph.edges(at(2))) == 10
    assert engine.graph.policy.fade_s == 600


def test_an_incident_holds_the_graph_until_it_is_closed() -> None:
    """From its deciding signal on nothing is normal; when it is closed, learning goes on."""
    engine, _ = begun()
    for second in range(1, 40):
        engine.step(edge("web", "orders", 10, second), at(second))
    trip = Tripped(at=at(40), target=Target("orders", "o1"), cause=Cause.ERRORS, calls=5, failures=5, contained=True)
    outcome = engine.step(trip, at(40.001))
    assert engine.graph.held() == {"orders": at(40)}
    assert engine.graph.window(at(41)).incident_at == 3
    now = at(40.001)
    while engine.state.open_incidents():
        assert outcome.wake_at is not None
        assert engine.graph.held()
        now = Nanos(max(outcome.wake_at, now + SECOND // 10))
        clean: Signal = Sampled(at=now, target=trip.target, calls=10, failures=0, slow=0)
        engine.step(clean, now)
        engine.step(Probed(at=now, target=trip.target, passed=True), now)
        outcome = engine.tick(now)
        assert now < at(300)
    assert engine.graph.held() == {}


def test_a_restart_learns_anew_and_what_is_declared_is_there_at_once() -> None:
    """The graph is not on record; an open incident that is, holds it again."""
    engine, records = begun()
    for second in range(1, 40):
        records += engine.step(edge("orders", "db", 10, second), at(second)).records
    trip = Tripped(at=at(40), target=Target("orders", "o1"), cause=Cause.ERRORS, calls=5, failures=5, contained=True)
    records += engine.step(trip, at(40)).records
    again = Engine(TOPOLOGY, POLICY)
    again.restore(records)
    again.start(at(50), boot="b", wall_ns=10**18 + 50 * SECOND)
    assert [(one.caller, one.callee, one.calls) for one in again.graph.edges(at(50))] == [("web", "orders", None)]
    assert again.graph.coverage(at(50)) is None
    assert again.graph.held() == {"orders": at(40)}


def test_a_relayed_failure_shows_an_edge_that_nobody_declared() -> None:
    """It is known from then on, and nothing is known of its calls."""
    engine, _ = begun()
    engine.step(Relayed(at=at(1), caller="orders", callee="db", count=1), at(1))
    one = next(one for one in engine.graph.edges(at(2)) if one.callee == "db")
    assert (one.caller, one.origin, one.heard_at, one.calls) == ("orders", "learned", at(1), None)
