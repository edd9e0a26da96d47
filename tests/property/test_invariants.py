"""The production engine under the eyes of the watcher that the simulation uses, in every history."""

from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.decide.engine import Engine
from controlplane.model import signal as sig
from controlplane.model.outcome import Outcome
from controlplane.model.policy import ResponsePolicy
from controlplane.model.signal import Signal
from controlplane.model.unit import Nanos
from controlplane.sim.invariant import Invariants
from tests.property.test_engine import TOPOLOGY, History, histories

POLICIES = [
    ResponsePolicy(),
    ResponsePolicy(blast_budget_percent=20, commands_per_minute_max=4),
    ResponsePolicy(penalty_s=20, lease_s=3, verify_s=1),
]


@given(histories, st.sampled_from(POLICIES))
@settings(max_examples=300, deadline=None)
def test_no_invariant_breaks_in_any_history(history: History, policy: ResponsePolicy) -> None:
    """Random signals, invalid ones among them, and data planes that do not always obey."""
    engine, watch = Engine(TOPOLOGY, policy), Invariants("web", TOPOLOGY, policy)
    start = Nanos(10**12)
    watch.decided(None, engine.start(start, boot="b", wall_ns=10**18), start)

    def told(signal: Signal | None, now: Nanos) -> Outcome:
        outcome = engine.tick(now) if signal is None else engine.step(signal, now)
        watch.decided(signal, outcome, now)
        assert watch.violations == []
        return outcome

    for now, signal, obeys in history:
        for command in told(signal, now).commands:
            if obeys:
                watch.applied(command, now)
            told(sig.Acted(at=now, command=command.id, ok=obeys, reason="" if obeys else "no"), now)
