"""With figures of all edges, whatever fails where and whoever says so first: every incident ends, one a service."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.decide.engine import Engine
from controlplane.model import record as on
from controlplane.model.incident import MOVES, Phase
from controlplane.model.policy import ResponsePolicy
from controlplane.model.record import Record
from controlplane.model.signal import Acted, Cause, EdgeSampled, Probed, Sampled, Signal, Target, Told, Tripped
from controlplane.model.topology import Endpoint, Service, Topology
from controlplane.model.unit import SECOND, Nanos

CALLS = {"web": ("cart", "pay"), "cart": ("stock",), "pay": ("stock", "bank"), "stock": (), "bank": ()}
EDGES = [("", "web"), *((caller, callee) for caller, callees in CALLS.items() for callee in callees)]
TOPOLOGY = Topology(
    services=tuple(
        Service(
            name=name,
            calls=callees,
            endpoints=tuple(Endpoint(name=f"{name}-{number}", url="http://h:1") for number in (1, 2)),
        )
        for name, callees in CALLS.items()
    ),
    entry="web",
)
POLICY = ResponsePolicy(penalty_s=2, ramp_percent=(50,), ramp_step_s=0.5, ramp_calls_min=0, verify_s=2, lease_s=5)

causes = st.lists(
    st.sampled_from(["stock", "bank", "stock", "bank", "cart", "pay"]), min_size=1, max_size=2, unique=True
)
verdicts = st.lists(
    st.tuples(
        st.sampled_from([*range(10), 20, 40]),  # tenths of a second after the onset, mostly before any figures
        st.sampled_from(["cart", "pay", "stock", "bank"]),
        st.sampled_from(["", "", "1", "2"]),
        st.booleans(),
    ),
    min_size=3,
    max_size=12,
)


class World:
    """One engine that is told everything, and what it put on record."""

    def __init__(self) -> None:
        self.engine = Engine(TOPOLOGY, POLICY)
        self.records: list[Record] = list(self.engine.start(Nanos(SECOND), boot="1", wall_ns=0).records)

    def tell(self, signal: Signal | None, at: Nanos) -> None:
        outcome = self.engine.tick(at) if signal is None else self.engine.step(signal, at)
        self.records += outcome.records
        for command in outcome.commands:
            self.tell(Acted(at=at, command=command.id, ok=True), at)
        for record in outcome.records:
            if isinstance(record, on.NoticeIssued):
                self.tell(Told(at=at, key=record.notice.key, by="people"), at)

    def second(self, second: int, failing: set[str]) -> None:
        """Everybody tells of its calls of one second; what fails below fails above, too."""
        at = Nanos(second * SECOND)
        for caller, callee in EDGES:
            bad = 60 if failing & _below(callee) else 0
            sample = EdgeSampled(
                at=at, caller=caller, callee=callee, window_ns=SECOND, calls=100, failures=bad, client_latency_ns=SECOND
            )
            self.tell(sample, at)


def _below(service: str) -> set[str]:
    return {service}.union(*(_below(callee) for callee in CALLS[service]))


@given(causes, verdicts)
@settings(max_examples=40, deadline=None)
def test_at_most_one_incident_a_service_and_every_one_ends(
    failing: list[str], said: list[tuple[int, str, str, bool]]
) -> None:
    """Moves are the table's, a fold gives the same, and when all is well again nothing is open or in force."""
    world = World()
    for second in range(2, 62):
        world.second(second, set())
    onset = 61 * SECOND + SECOND // 2
    events = [
        Tripped(
            at=Nanos(onset + tenths * SECOND // 10),
            target=Target(service, f"{service}-{endpoint}" if endpoint else ""),
            cause=Cause.ERRORS,
            calls=10,
            failures=6,
            capped=capped and bool(endpoint),
        )
        for tenths, service, endpoint, capped in sorted(said)
    ]
    for quarter in range(62 * 4, 160 * 4):
        at = Nanos(quarter * SECOND // 4)
        while events and events[0].at <= at:
            world.tell(msgspec.structs.replace(events[0], at=at), at)
            del events[0]
        if quarter % 4 == 0:
            world.second(quarter // 4, set(failing) if quarter < 67 * 4 else set())
        if quarter >= 70 * 4:
            for held in [target for one in world.engine.state.open_incidents() for target in one.containments]:
                service, _, endpoint = held.partition("/")
                world.tell(Probed(at=at, target=Target(service, endpoint), passed=True), at)
                world.tell(Sampled(at=at, target=Target(service, endpoint), calls=20, failures=0, slow=0), at)
        world.tell(None, at)
        services = [one.origin.service for one in world.engine.state.open_incidents()]
        assert len(services) == len(set(services))
    assert world.engine.state.open == []
    assert world.engine.state.in_force == {}
    phases: dict[str, Phase] = {}
    for record in world.records:
        if isinstance(record, on.IncidentOpened):
            phases[record.incident] = Phase.DETECTION
        elif isinstance(record, on.PhaseChanged):
            assert record.phase in MOVES[phases[record.incident]]
            phases[record.incident] = record.phase
    again = Engine(TOPOLOGY, POLICY)
    again.restore(msgspec.json.decode(msgspec.json.encode(world.records), type=list[Record]))
    assert msgspec.json.encode(again.state) == msgspec.json.encode(world.engine.state)
