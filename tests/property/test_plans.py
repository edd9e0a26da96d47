"""Whatever is seen, ordered, obeyed or not: plans in force stay leased, bounded, and tied to their incident."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.decide.engine import Engine
from controlplane.decide.ledger import SIDES, side_kind
from controlplane.model import signal as sig
from controlplane.model.command import Command, FailOver, Restore, RollBack, Shed, Weigh
from controlplane.model.incident import Phase
from controlplane.model.outcome import Outcome
from controlplane.model.policy import ResponsePolicy
from controlplane.model.record import Record
from controlplane.model.signal import Cause, Signal, Target
from controlplane.model.topology import Endpoint, Service, Topology
from controlplane.model.unit import CommandId, Nanos

SECOND = 1_000_000_000
START = Nanos(10**12)
ENDPOINTS = tuple(
    Endpoint(
        name=f"c{at}",
        url="http://h:1",
        zone="ab"[at % 2],
        version="v2" if at in (2, 3) else "v1",
        priority=int(at == 5),
        capacity_per_s=80.0,
    )
    for at in range(6)
)
TOPOLOGY = Topology(
    services=(
        Service(name="web", calls=("cart", "mail"), pool=200),
        Service(name="cart", calls=("stock",), endpoints=ENDPOINTS, deployer="ci"),
        Service(name="stock", endpoints=(Endpoint(name="s0", url="http://h:1"),)),
        Service(name="mail"),
    ),
    entry="web",
)
KINDS = ["reroute", "fail_over", "cap_retries", "shed", "tighten", "roll_back"]
POLICY = ResponsePolicy(
    penalty_s=1, ramp_step_s=1, verify_s=2, lease_s=6, ramp_calls_min=2, enforcement=dict.fromkeys(KINDS, 100)
)
STEERED = msgspec.structs.replace(POLICY, blast_budget_percent=1)  # nothing may be ejected
SHADOW = msgspec.structs.replace(POLICY, enforcement={})

counts = st.sampled_from([0, 5, 60, 200])
targets = st.sampled_from([Target("cart", one.name) for one in ENDPOINTS] + [Target("cart"), Target("stock", "s0")])


def _edges(failing: float, retries: int, ms: int) -> list[Signal]:
    """What every edge did in a second in which the calls to `cart` fail so much, and are tried again so often."""
    ends = (("", "web", 200), ("web", "cart", 200), ("web", "mail", 20), ("cart", "stock", 100))
    return [
        sig.EdgeSampled(
            at=START,
            caller=caller,
            callee=callee,
            window_ns=SECOND,
            calls=calls,
            failures=int(calls * failing) if callee in ("web", "cart") else 0,
            attempts=calls * (retries if callee == "cart" else 1),
            client_latency_ns=calls * (retries if callee == "cart" else 1) * ms * 1_000_000,
            source="spans",
        )
        for caller, callee, calls in ends
    ]


def _signals() -> st.SearchStrategy[list[Signal]]:
    build, fixed = st.builds, st.just(START)
    causes = st.sampled_from(Cause)
    one = st.one_of(
        build(sig.Tripped, at=fixed, target=targets, cause=causes, capped=st.booleans(), contained=st.booleans()),
        build(sig.Probed, at=fixed, target=targets, passed=st.booleans()),
        build(sig.Sampled, at=fixed, target=targets, calls=st.just(200), failures=counts, slow=st.just(0)),
        build(sig.ProbeFinished, at=fixed, target=st.just(Target("cart", "c5")), ok=st.booleans()),
        build(
            sig.Ordered,
            at=fixed,
            order=st.sampled_from(["freeze", "resume", "observe", "enforce", "release"]),
            by=st.just("x"),
            target=st.just(Target("cart")),
        ),
        build(sig.RolledBack, at=fixed, command=st.just(CommandId("")), ok=st.booleans()),
    ).map(lambda signal: [signal])
    edges = st.builds(
        _edges, st.sampled_from([0.0, 0.05, 0.4, 0.9]), st.sampled_from([1, 3]), st.sampled_from([20, 2000])
    )
    return st.one_of(one, one, edges, edges)


Step = tuple[int, list[Signal], bool]
"""(nanoseconds until then, what is seen, does the data plane obey)"""

steps = st.lists(
    st.tuples(st.sampled_from([SECOND // 4, SECOND, SECOND, 3 * SECOND]), _signals(), st.integers(0, 9).map(bool)),
    min_size=15,
    max_size=50,
)


class Checked:
    """An engine of which every outcome is checked, and what it has put on record is kept."""

    def __init__(self, policy: ResponsePolicy) -> None:
        self.engine, self.now, self.obeys = Engine(TOPOLOGY, policy), START, True
        self.records: list[Record] = []
        self.rolled_back: list[Command] = []
        self.take(self.engine.start(self.now, boot="b", wall_ns=10**18))
        for _ in range(40):  # what is normal
            self.wait(15 * SECOND)
            self.see(_edges(0.0, 1, 20))

    def begin(self, bad: str, failing: float, retries: int, ms: int) -> None:
        """An incident of `cart` whose figures an assessment can weigh: in it the random history begins."""
        self.wait(SECOND // 2)
        for number in bad:
            where = Target("cart", f"c{number}")
            self.see([sig.Tripped(at=self.now, target=where, cause=Cause.ERRORS, calls=8, failures=5, capped=True)])
        for _ in range(3):
            self.wait(SECOND // 2)
            self.see([sig.ProbeFinished(at=self.now, target=Target("cart", "c5"), ok=True)])
            self.see(_edges(failing, retries, ms))

    def wait(self, gap: int) -> None:
        self.now = Nanos(self.now + gap)
        self.take(self.engine.tick(self.now))
        for side in self.engine.state.sides.values():
            assert side.lease_until > self.now, "a side order outlived its lease"

    def see(self, signals: list[Signal]) -> None:
        for signal in signals:
            seen = msgspec.structs.replace(signal, at=self.now)
            if isinstance(seen, sig.RolledBack):
                pending = [one.id for one in self.rolled_back]
                seen = msgspec.structs.replace(seen, command=pending[-1] if pending else CommandId("c0"))
            self.take(self.engine.step(seen, self.now))

    def take(self, outcome: Outcome) -> None:
        self.records += outcome.records
        state = self.engine.state
        for command in outcome.commands:
            assert command.lease_until > self.now or isinstance(command.intent, Restore)
            kind = side_kind(command.intent)
            assert isinstance(command.undo, Restore)
            if kind is not None and not isinstance(command.intent, Restore):
                assert command.undo.what == kind, "the undo of a side order takes back that side order"
                assert not command.target.endpoint, "a side order is about a whole service"
            if isinstance(command.intent, FailOver | Shed):
                assert 0 < command.intent.percent <= (90 if isinstance(command.intent, FailOver) else 100)
            if isinstance(command.intent, Weigh):
                assert command.intent.percent >= 1, "a weight of nothing is an ejection"
            if isinstance(command.intent, RollBack) and command.enforcement == "full":
                assert command.id not in {one.id for one in self.rolled_back}, "a roll-back is ordered once"
                self.rolled_back.append(command)
        for key, side in state.sides.items():
            assert key in state.side_steps
            assert type(side.intent) in SIDES
        assert state.side_steps.keys() == state.sides.keys()
        for command in outcome.commands:
            self.take(self.engine.step(sig.Acted(at=self.now, command=command.id, ok=self.obeys), self.now))


beginnings = st.tuples(
    st.sampled_from(["0", "02", "23", "024", "01234"]),
    st.sampled_from([0.4, 0.9]),
    st.sampled_from([1, 3]),
    st.sampled_from([20, 2000]),
)


@given(steps, beginnings, st.sampled_from([POLICY, STEERED, STEERED, SHADOW]))
@settings(max_examples=100, deadline=None)
def test_plans_stay_leased_bounded_and_tied_to_their_incident(
    history: list[Step], beginning: tuple[str, float, int, int], policy: ResponsePolicy
) -> None:
    """Random evidence, people, deployers and data planes: and at the end all of it goes by itself."""
    world = Checked(policy)
    world.begin(*beginning)
    for gap, signals, world.obeys in history:
        world.wait(gap)
        world.see(signals)
        if policy is SHADOW:
            assert not world.engine.state.sides
            assert not world.engine.state.withdrawn
    releases = sum(isinstance(one, sig.Ordered) and one.order == "release" for _, seen, _ in history for one in seen)
    assert len(world.rolled_back) <= 2 * (1 + releases), "each of two versions once, and again only when released"
    again = Engine(TOPOLOGY, policy)
    again.restore(msgspec.json.decode(msgspec.json.encode(world.records), type=list[Record]))
    assert msgspec.json.encode(again.state) == msgspec.json.encode(world.engine.state)
    world.see([sig.Ordered(at=START, order="observe", by="x"), sig.Ordered(at=START, order="resume", by="x")])
    for _ in range(4):
        world.wait(3 * SECOND)
    open_ = {one.id for one in world.engine.state.incidents.values() if one.phase is not Phase.CLOSED}
    assert all(one.incident in open_ for one in world.engine.state.sides.values()), "a side order outlived its incident"
