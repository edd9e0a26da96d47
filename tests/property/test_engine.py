"""Whatever happens, in whatever order, the engine keeps its promises."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.decide.engine import Engine
from controlplane.decide.kind import act_of
from controlplane.decide.review.explain import explain
from controlplane.model import record as on
from controlplane.model import signal as sig
from controlplane.model.command import Eject, Restore
from controlplane.model.incident import MOVES, Phase, Stage
from controlplane.model.outcome import Outcome
from controlplane.model.policy import ResponsePolicy
from controlplane.model.record import Record
from controlplane.model.signal import Cause, Signal, Target
from controlplane.model.topology import Endpoint, Service, Topology
from controlplane.model.unit import Nanos

TOPOLOGY = Topology(
    services=(
        Service(name="web", calls=("a", "b")),
        Service(
            name="a",
            calls=("b",),
            endpoints=tuple(Endpoint(name=f"a{n}", url="http://h:1", version=f"v{n % 2}") for n in range(4)),
        ),
        Service(name="b", endpoints=tuple(Endpoint(name=f"b{n}", url="http://h:1") for n in range(2)), fallback=True),
        Service(name="c", endpoints=(Endpoint(name="c0", url="http://h:1"),), external=True),
    ),
    entry="web",
)
TARGETS = [Target(s.name, e.name) for s in TOPOLOGY.services for e in s.endpoints]
TARGETS += [Target("a"), Target("b"), Target("c"), Target("nobody"), Target("a", "nobody")]
POLICIES = [
    ResponsePolicy(penalty_s=0.5, ramp_step_s=0.5, verify_s=1, lease_s=3, blast_budget_percent=40),
    # holds so long that verdicts pile up and only the floor stands between them and an empty pool
    ResponsePolicy(penalty_s=60, ramp_step_s=0.5, verify_s=1, lease_s=3, blast_budget_percent=100),
]

counts = st.integers(0, 50)
targets = st.sampled_from(TARGETS)
names = st.sampled_from(["a", "b", "c", "nobody"])
flags = st.booleans()


def _signals() -> st.SearchStrategy[Signal]:
    """Any signal, at time zero: `histories` sets the time."""
    orders = st.sampled_from(["freeze", "resume", "enforce", "observe"])
    standing = st.sampled_from(["hold", "release", "override", "revoke"])
    rules = st.sampled_from(["freeze", "human_hold", "velocity_limit", "blast_budget", "invalid_data", "nonsense"])
    times = st.sampled_from([0, 1_000_000_000, 5_000_000_000])
    build = st.builds
    fixed = st.just(Nanos(0))
    return st.one_of(
        build(sig.Tripped, at=fixed, target=targets, cause=st.sampled_from(Cause), capped=flags, contained=flags),
        build(
            sig.Tripped, at=fixed, target=targets, cause=st.sampled_from(Cause), by=names, began_at=st.just(Nanos(1))
        ),
        build(sig.Probed, at=fixed, target=targets, passed=flags),
        build(sig.Sampled, at=fixed, target=targets, calls=counts, failures=counts, slow=counts),
        build(sig.CallsFinished, at=fixed, target=targets, calls=counts, failures=counts, slow=counts),
        build(sig.ProbeFinished, at=fixed, target=targets, ok=flags),
        build(sig.Heartbeat, at=fixed, target=targets, every_ns=st.sampled_from([0, 100_000_000, 2_000_000_000])),
        build(
            sig.Alerted,
            at=fixed,
            target=targets,
            fingerprint=st.sampled_from("ab"),
            name=st.just("Burns"),
            firing=flags,
            for_ns=st.sampled_from([0, 2_000_000_000]),
        ),
        build(
            sig.FingerprintSeen,
            at=fixed,
            target=targets,
            fingerprint=st.sampled_from(["", "a", "b"]),
            parts=st.sampled_from([{}, {"flag": "on"}, {"flag": "off"}]),
        ),
        build(sig.PlaneCompared, at=fixed, plane=st.sampled_from("ab"), differs=st.sampled_from([(), ("x",)])),
        build(sig.Drifted, at=fixed, target=targets, factor=st.just(1.6), calls=st.just(64), alone=flags),
        build(sig.EntrySampled, at=fixed, requests=counts, failed=counts, slow=counts),
        build(sig.FellBack, at=fixed, service=names, count=counts),
        build(sig.Relayed, at=fixed, caller=names, callee=names, count=counts),
        build(sig.Effective, at=fixed, target=targets, signal_at=fixed),
        build(sig.Ordered, at=fixed, order=orders, by=st.just("x")),
        build(sig.Ordered, at=fixed, order=standing, by=st.just("x"), target=targets, rule=rules, for_ns=times),
        build(sig.Unwritten, at=fixed, records=counts, reason=st.just("full")),
    )


def signal_is(signal: Signal | None, *orders: str) -> bool:
    """Whether it is one of these orders of a person: a change of mode takes everything back."""
    return isinstance(signal, sig.Ordered) and signal.order in orders


History = list[tuple[Nanos, Signal | None, bool]]
"""(time, signal or a mere tick, does the data plane obey)"""


def _timed(steps: list[tuple[int, Signal | None, int]]) -> History:
    now, history = Nanos(10**12), History()
    for gap, signal, luck in steps:
        now = Nanos(now + gap)
        history.append((now, None if signal is None else msgspec.structs.replace(signal, at=now), luck > 0))
    return history


GAPS = st.sampled_from([0, 1_000_000, 300_000_000, 2_000_000_000, 11_000_000_000])
histories = st.lists(st.tuples(GAPS, st.none() | _signals(), st.integers(0, 9)), min_size=20, max_size=80).map(_timed)


def _check(engine: Engine, outcome: Outcome, now: Nanos) -> None:
    on_record = {
        record.command.id for record in outcome.records if hasattr(record, "command") and hasattr(record.command, "id")
    }
    for command in outcome.commands:
        assert command.id in on_record, "an act without its undo on record"
        assert isinstance(command.undo, Restore)
        assert now < command.lease_until <= now + 3_000_000_000
        assert command.epoch == engine.state.epoch
    if outcome.wake_at is None:
        assert not engine.state.open_incidents(), "an open incident must be looked at again"
        assert not engine.state.in_force
    for service in TOPOLOGY.services:
        out = [
            c
            for c in engine.state.in_force.values()
            if c.target.service == service.name and isinstance(c.intent, Eject)
        ]
        if service.endpoints:
            assert len(out) * 2 <= len(service.endpoints), "below the healthy floor"
    for incident in engine.state.incidents.values():
        assert explain(incident)
    _check_lifecycle(engine)


def _check_lifecycle(engine: Engine) -> None:
    """The index is what a look through everything would find, and times come in their order."""
    state = engine.state
    running = [incident for incident in state.incidents.values() if incident.phase is not Phase.CLOSED]
    assert state.open_incidents() == running
    assert state.index.service == {one.origin.service: one.id for one in reversed(running)}
    for target, name in state.index.target.items():
        assert target in state.incidents[name].containments
    held = {key for one in running for key, each in one.containments.items() if each.stage is not Stage.VERIFIED}
    assert held <= set(state.index.target)
    assert state.index.command == {command.id: one.id for one in running for command in one.commands}
    assert {command.incident for command in state.in_force.values()} <= set(state.open)
    for incident in state.incidents.values():
        times = [incident.began_at, incident.signal_at, incident.contained_at, incident.recovered_at]
        known = [at for at in times if at is not None]
        assert known == sorted(known)
        assert incident.recovered_at is None or incident.closed_at == incident.recovered_at
        assert incident.recovered_at is None or incident.stabilized_at is not None


def _check_moves(phases: dict[str, Phase], outcome: Outcome) -> None:
    """Every move is one of the table's."""
    for record in outcome.records:
        if isinstance(record, on.IncidentOpened):
            phases[record.incident] = Phase.DETECTION
        elif isinstance(record, on.PhaseChanged):
            assert record.phase in MOVES[phases[record.incident]]
            phases[record.incident] = record.phase


@given(histories, st.sampled_from(POLICIES))
@settings(max_examples=600, deadline=None)
def test_bounds_leases_and_floors_hold_in_every_history(history: History, policy: ResponsePolicy) -> None:
    """Random signals, obedient and disobedient data planes, freezes and mode changes."""
    engine = Engine(TOPOLOGY, policy)
    outcome = engine.start(Nanos(10**12), boot="b", wall_ns=10**18)
    phases: dict[str, Phase] = {}
    for now, signal, obeys in history:
        frozen, leases = engine.state.frozen, dict(engine.state.in_force)
        held = {name: hold for name, hold in engine.state.standing.holds.items() if hold.until is None}
        outcome = engine.tick(now) if signal is None else engine.step(signal, now)
        _check(engine, outcome, now)
        _check_moves(phases, outcome)
        for command in outcome.commands:
            still = any(
                hold.covers(command.target) for name, hold in held.items() if name in engine.state.standing.holds
            )
            renewal = leases.get(str(command.target))
            assert (
                not still
                or signal_is(signal, "enforce", "observe")
                or "human_hold" in command.overrides
                or (renewal is not None and renewal.id == command.id)
            ), "an act about what a person holds"
        if frozen and engine.state.frozen:
            for command in (one for one in outcome.commands if "freeze" not in one.overrides):
                assert act_of(command) is None, "an act while frozen"
                if not isinstance(command.intent, Restore):
                    assert command.lease_until <= leases[str(command.target)].lease_until, "a lease made longer"
        for command in outcome.commands:
            acted = sig.Acted(at=now, command=command.id, ok=obeys, reason="" if obeys else "no")
            outcome = engine.step(acted, now)
            _check_moves(phases, outcome)
            _check(engine, outcome, now)


@given(histories, st.sampled_from(POLICIES))
@settings(max_examples=150, deadline=None)
def test_a_restart_at_any_point_knows_what_was_known(history: History, policy: ResponsePolicy) -> None:
    """The fold of the encoded records equals the state that wrote them."""
    engine = Engine(TOPOLOGY, policy)
    records = list(engine.start(Nanos(10**12), boot="b", wall_ns=10**18).records)
    for now, signal, _ in history:
        outcome = engine.tick(now) if signal is None else engine.step(signal, now)
        records += outcome.records
    again = Engine(TOPOLOGY, policy)
    again.restore(msgspec.json.decode(msgspec.json.encode(records), type=list[Record]))
    assert msgspec.json.encode(again.state) == msgspec.json.encode(engine.state)
