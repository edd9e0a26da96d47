"""Garbage is garbage, sound signals are sound, and the production engine does nothing because of garbage."""

from random import Random

import pytest

from controlplane.decide.engine import Engine
from controlplane.model import signal as sig
from controlplane.model.signal import Cause, Signal, Target
from controlplane.model.unit import SECOND, Nanos
from controlplane.sim.invariant import Invariants, garbage, unsound
from tests.sim.invariant.plane import TOPOLOGY, Plane

NOW = Nanos(10**12)
A0 = Target("a", "a0")


def test_all_garbage_is_found_out() -> None:
    """A thousand pieces: not one could be believed, and every kind turns up."""
    random = Random(1)
    drawn = [garbage(NOW, random, TOPOLOGY) for _ in range(1_000)]
    assert all(unsound(signal, TOPOLOGY, {}) for signal in drawn)
    assert len({type(signal) for signal in drawn}) == 15


@pytest.mark.parametrize(
    "signal",
    [
        sig.Tripped(at=NOW, target=A0, cause=Cause.ERRORS, calls=5, failures=5),
        sig.Tripped(at=NOW, target=Target("a"), cause=Cause.OVERLOAD),
        sig.CallsFinished(at=NOW, target=A0, calls=5, failures=0, slow=5),
        sig.Probed(at=NOW, target=A0, passed=True),
        sig.Heartbeat(at=NOW, target=A0, every_ns=0),
        sig.Alerted(at=NOW, target=A0, fingerprint="f", name="Burns", firing=True, for_ns=10**9),
        sig.Relayed(at=NOW, caller="a", callee="b", count=1),
        sig.FellBack(at=NOW, service="b", count=1),
        sig.EntrySampled(at=NOW, requests=0, failed=0, slow=0),
        sig.EdgeSampled(at=NOW, caller="web", callee="new", window_ns=1, calls=1, failures=3, attempts=3),
        sig.Ordered(at=NOW, order="freeze", by="x"),
    ],
)
def test_sound_signals_are_believed(signal: Signal) -> None:
    """What real sources send is not taken for garbage."""
    assert unsound(signal, TOPOLOGY, {}) == ""


@pytest.mark.parametrize("seed", range(20))
def test_the_engine_does_nothing_because_of_garbage(seed: int) -> None:
    """Five hundred pieces between ticks: no act, no incident."""
    random, now = Random(seed), NOW
    plane = Plane()
    engine = Engine(TOPOLOGY, plane.policy)
    watch = Invariants("web", TOPOLOGY, plane.policy)
    watch.decided(None, engine.start(now, boot="b", wall_ns=0), now)
    for _ in range(500):
        now = Nanos(now + random.randrange(SECOND))
        signal = garbage(now, random, TOPOLOGY)
        watch.decided(signal, engine.step(signal, now), now)
        watch.decided(None, engine.tick(now), now)
    assert watch.violations == []
    assert watch.acts == 0
    assert engine.state.incidents_total == 0
