"""Whatever happens to a replica, its traffic comes back on evidence alone."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.decide.engine import Engine
from controlplane.model import signal as sig
from controlplane.model.command import Restore, Weigh
from controlplane.model.incident import Stage
from controlplane.model.outcome import Outcome
from controlplane.model.policy import ResponsePolicy
from controlplane.model.record import PenaltyDecayed, StageChanged
from controlplane.model.signal import Cause, Signal, Target
from controlplane.model.topology import Endpoint, Service, Topology
from controlplane.model.unit import SECOND, Nanos

POLICY = ResponsePolicy(penalty_s=0.5, penalty_max_s=8, ramp_step_s=0.5, verify_s=1, lease_s=30, ramp_calls_min=2)
TOPOLOGY = Topology(
    services=(
        Service(name="web", calls=("a",)),
        Service(name="a", endpoints=tuple(Endpoint(name=f"a{n}", url="http://h:1") for n in range(4))),
    ),
    entry="web",
)
TARGETS = [Target("a", f"a{n}") for n in range(2)]
SHARE = {Stage.HOLD: 0, Stage.PROBE: 0, Stage.FULL: 100, Stage.VERIFIED: 100}


def _signals() -> st.SearchStrategy[Signal]:
    fixed, targets, build = st.just(Nanos(0)), st.sampled_from(TARGETS), st.builds
    clean = st.just(0)
    return st.one_of(
        build(sig.Tripped, at=fixed, target=targets, cause=st.just(Cause.ERRORS), contained=st.just(True)),
        build(sig.Probed, at=fixed, target=targets, passed=st.sampled_from([True, True, False])),
        build(sig.Sampled, at=fixed, target=targets, calls=st.integers(0, 20), failures=clean, slow=clean),
        build(sig.Sampled, at=fixed, target=targets, calls=st.just(10), failures=st.integers(0, 3), slow=clean),
        build(
            sig.EdgeSampled, at=fixed, caller=st.just("web"), callee=st.just("a"), window_ns=st.just(SECOND),
            calls=st.integers(0, 100), failures=st.integers(0, 2),
        ),
        build(sig.FellBack, at=fixed, service=st.just("a"), count=st.just(1)),
        build(
            sig.Condition, at=fixed, service=st.just("a"), what=st.sampled_from(["queue", "consistency"]),
            well=st.booleans(), reason=st.just("because"),
        ),
    )  # fmt: skip


GAPS = st.sampled_from([0, 100_000_000, 600_000_000, 1_000_000_000, 9_000_000_000])
histories = st.lists(st.tuples(GAPS, st.none() | _signals()), min_size=20, max_size=120)


class Witness:
    """What has been seen of each target since its last verdict, kept apart from the engine's own memory of it."""

    def __init__(self) -> None:
        self.passed: dict[Target, bool] = {}
        self.clean: dict[Target, int] = {}
        self.share: dict[Target, int] = {}
        self.penalty: dict[Target, int] = {}
        self.traffic = False

    def see(self, signal: Signal | None) -> None:
        match signal:
            case sig.Tripped():
                self.passed[signal.target] = False
                self.clean[signal.target] = 0
            case sig.Probed():
                self.passed[signal.target] = signal.passed
            case sig.Sampled():
                self.clean[signal.target] = self.clean.get(signal.target, 0) + signal.calls - signal.failures
        self.traffic = isinstance(signal, sig.Sampled | sig.EdgeSampled) and signal.calls > 0

    def judge(self, outcome: Outcome) -> None:
        for record in outcome.records:
            if isinstance(record, PenaltyDecayed):
                assert self.traffic, "a penalty decayed without a call"
                assert record.penalty_ns <= self.penalty[record.target] // 2
                self.penalty[record.target] = record.penalty_ns
            elif isinstance(record, StageChanged):
                self._stage(record)

    def _stage(self, record: StageChanged) -> None:
        target, before = record.target, self.share.get(record.target, 0)
        share = SHARE.get(record.stage, record.percent)
        if record.stage is not Stage.HOLD and share > before:
            assert self.passed.get(target), f"{target} readmitted without a passed probe since its last verdict"
            if before > 0:
                assert self.clean.get(target, 0) > 0, f"{target} rose from {before} % without a clean call"
            self.clean[target] = 0
        if record.stage is Stage.VERIFIED:
            assert share == 100
        known = self.penalty.get(target, 0)
        assert record.penalty_ns >= known, "a relapse made a penalty shorter"
        assert record.penalty_ns <= 8 * SECOND
        if record.stage is Stage.HOLD:
            assert record.hold_ns >= record.penalty_ns
        self.share[target], self.penalty[target] = share, record.penalty_ns


@given(histories)
@settings(max_examples=400, deadline=None)
def test_shares_rise_and_penalties_shrink_on_evidence_alone(history: list[tuple[int, Signal | None]]) -> None:
    """No readmission without passed probes since the last verdict, no higher share without a clean call, no penalty
    shorter by time or by a relapse."""
    engine, witness, now = Engine(TOPOLOGY, POLICY), Witness(), Nanos(10**12)
    outcome = engine.start(now, boot="b", wall_ns=10**18)
    for gap, signal in history:
        due = Nanos(now + gap)
        while outcome.wake_at is not None and outcome.wake_at <= due and outcome.wake_at > now:
            now = outcome.wake_at
            witness.see(None)
            outcome = _answered(engine, engine.tick(now), now, witness)
        now = due
        witness.see(signal)
        asked = engine.tick(now) if signal is None else engine.step(_at(signal, now), now)
        outcome = _answered(engine, asked, now, witness)
        for incident in engine.state.open_incidents():
            for held in incident.containments.values():
                full = isinstance(_in_force(engine, held.target), Restore | None)
                assert held.stage not in (Stage.FULL, Stage.VERIFIED) or full
        for command in outcome.commands:
            assert not isinstance(command.intent, Weigh) or 0 < command.intent.percent < 100


def _in_force(engine: Engine, target: Target) -> object:
    command = engine.state.in_force.get(str(target))
    return None if command is None else command.intent


def _at(signal: Signal, now: Nanos) -> Signal:
    return msgspec.structs.replace(signal, at=now)


def _answered(engine: Engine, outcome: Outcome, now: Nanos, witness: Witness) -> Outcome:
    """`outcome`, after the data plane has taken its orders."""
    witness.judge(outcome)
    last = outcome
    for command in outcome.commands:
        last = engine.step(sig.Acted(at=now, command=command.id, ok=True), now)
        witness.judge(last)
    return last
