"""A restart under another topology or another mode: nothing waits for what will not come."""

from controlplane.decide.engine import Engine
from controlplane.model.command import Restore
from controlplane.model.incident import Phase
from controlplane.model.outcome import Outcome
from controlplane.model.policy import ResponsePolicy
from controlplane.model.record import Record
from controlplane.model.signal import Acted, Cause, Relayed, Target, Tripped
from controlplane.model.topology import Endpoint, Service, Topology
from controlplane.model.unit import SECOND, Nanos

START = Nanos(1_000 * SECOND)


def mesh(*endpoints: str) -> Topology:
    orders = Service(name="orders", endpoints=tuple(Endpoint(name=name, url=f"http://{name}:1") for name in endpoints))
    web = Service(name="web", endpoints=(), calls=("orders",))
    return Topology(services=(web, orders) if endpoints else (web,), entry="web")


def contained() -> list[Record]:
    """What is on record of one ejected endpoint."""
    engine = Engine(mesh("a", "b", "c"), ResponsePolicy())
    records = [*engine.start(START, boot="1", wall_ns=START).records]
    trip = Tripped(at=START, target=Target("orders", "a"), cause=Cause.ERRORS, calls=5, failures=5)
    outcome = engine.step(trip, START)
    records += outcome.records
    for command in outcome.commands:
        records += engine.step(Acted(at=START, command=command.id, ok=True), START).records
    assert engine.state.in_force
    return records


def restarted(topology: Topology, policy: ResponsePolicy) -> tuple[Engine, Outcome]:
    engine = Engine(topology, policy)
    engine.restore(contained())
    return engine, engine.start(Nanos(START + SECOND), boot="1", wall_ns=START + SECOND)


def closed_within(engine: Engine, outcome: Outcome, seconds: int) -> bool:
    """Whether everything ends by the passing of time alone."""
    wake_at, end = outcome.wake_at, START + seconds * SECOND
    while wake_at is not None and wake_at <= end:
        wake_at = engine.tick(wake_at).wake_at
    return all(incident.phase is Phase.CLOSED for incident in engine.state.incidents.values())


def test_an_endpoint_that_was_renamed_does_not_keep_its_incident_open() -> None:
    """No data plane would ever take an order about the old name."""
    engine, outcome = restarted(mesh("a2", "b", "c"), ResponsePolicy())
    assert not outcome.commands
    assert not engine.state.in_force
    assert closed_within(engine, outcome, 60)


def test_a_service_that_was_removed_does_not_keep_its_incident_open() -> None:
    """The same for all of it."""
    engine, outcome = restarted(mesh(), ResponsePolicy())
    assert not outcome.commands
    assert closed_within(engine, outcome, 60)


def test_a_restart_in_observe_mode_takes_back_what_was_in_force() -> None:
    """No probe runs while observing: the containment would wait for one for ever."""
    engine, outcome = restarted(mesh("a", "b", "c"), ResponsePolicy(mode="observe"))
    assert [command.intent for command in outcome.commands] == [Restore()]
    assert not engine.state.in_force
    assert closed_within(engine, outcome, 60)


def test_names_invented_in_headers_are_not_remembered() -> None:
    """A hostile answer can name ten thousand callees a second."""
    engine = Engine(mesh("a"), ResponsePolicy())
    for number in range(100):
        engine.step(Relayed(at=START, caller="orders", callee=f"x{number}", count=1), START)
    assert not engine._evidence.relayed._seen
