"""What cannot be true is not believed, and people are told once."""

import pytest

from controlplane.decide.engine import Engine
from controlplane.decide.safety import unknown, wrong_signal
from controlplane.model import signal as sig
from controlplane.model.policy import ResponsePolicy
from controlplane.model.signal import Cause, Signal, Target
from controlplane.model.topology import Endpoint, Service, Topology
from controlplane.model.unit import Nanos

NOW = Nanos(10**12)
ENDPOINTS = tuple(Endpoint(name=f"a{n}", url="http://h:1") for n in range(3))
TOPOLOGY = Topology(services=(Service(name="web", calls=("a",)), Service(name="a", endpoints=ENDPOINTS)), entry="web")
A0, NOBODY, NO_ENDPOINT = Target("a", "a0"), Target("nobody"), Target("a", "a9")

IMPOSSIBLE: list[Signal] = [
    sig.Tripped(at=NOW, target=NO_ENDPOINT, cause=Cause.ERRORS, calls=5, failures=5),
    sig.Tripped(at=NOW, target=A0, cause=Cause.ERRORS, calls=5, failures=6),
    sig.Tripped(at=NOW, target=A0, cause=Cause.ERRORS, calls=-5, failures=-6),
    sig.CallsFinished(at=NOW, target=NO_ENDPOINT, calls=50, failures=50),
    sig.CallsFinished(at=NOW, target=A0, calls=50, slow=51),
    sig.Sampled(at=NOW, target=NOBODY, calls=5, failures=5, slow=0),
    sig.Sampled(at=NOW, target=A0, calls=5, failures=0, slow=-1),
    sig.Probed(at=NOW, target=NOBODY, passed=False),
    sig.ProbeFinished(at=NOW, target=NO_ENDPOINT, ok=False),
    sig.Drifted(at=NOW, target=NOBODY, factor=9.0, calls=64, alone=True),
    sig.Heartbeat(at=NOW, target=A0, every_ns=-1),
    sig.Heartbeat(at=NOW, target=NOBODY, every_ns=10**9),
    sig.Alerted(at=NOW, target=NOBODY, fingerprint="f", name="Burns", firing=True),
    sig.Alerted(at=NOW, target=A0, fingerprint="", name="Burns", firing=True),
    sig.Alerted(at=NOW, target=A0, fingerprint="f", name="Burns", firing=True, for_ns=-1),
    sig.Tripped(at=NOW, target=A0, cause=sig.Cause.ALERT),
    sig.EntrySampled(at=NOW, requests=5, failed=6, slow=0),
    sig.FellBack(at=NOW, service="nobody", count=1),
    sig.FellBack(at=NOW, service="a", count=0),
    sig.Relayed(at=NOW, caller="nobody", callee="a", count=1_000),
    sig.Relayed(at=NOW, caller="web", callee="a", count=-1),
    sig.EdgeSampled(at=NOW, caller="web", callee="a", window_ns=10**9, calls=-1, failures=0),
    sig.EdgeSampled(at=NOW, caller="web", callee="a", window_ns=10**9, calls=1, failures=0, in_flight=-1),
    sig.EdgeSampled(at=NOW, caller="web", callee="a", window_ns=0, calls=1, failures=0),
    sig.Condition(at=NOW, service="nobody", what="queue", well=False),
]


@pytest.mark.parametrize("signal", IMPOSSIBLE, ids=lambda signal: type(signal).__name__)
def test_what_cannot_be_opens_nothing(signal: Signal) -> None:
    """A hundred times the same impossible thing: no act, no incident, one notice that names it."""
    assert wrong_signal(signal, NOW) or unknown(signal, TOPOLOGY)
    engine = Engine(TOPOLOGY, ResponsePolicy())
    engine.start(NOW, boot="b", wall_ns=0)
    outcomes = [engine.step(signal, NOW) for _ in range(100)]
    assert not any(outcome.commands for outcome in outcomes)
    assert engine.state.incidents == {}
    told = [notice for outcome in outcomes for notice in outcome.notices]
    assert len(told) == 1
    assert type(signal).__name__.lower() in told[0].text


@pytest.mark.parametrize(
    "signal",
    [
        sig.Tripped(at=NOW, target=Target("a"), cause=Cause.OVERLOAD),
        sig.Tripped(at=NOW, target=A0, cause=Cause.ERRORS, calls=5, failures=5),
        sig.Sampled(at=NOW, target=A0, calls=0, failures=0, slow=0),
        sig.EntrySampled(at=NOW, requests=0, failed=0, slow=0),
        sig.EdgeSampled(at=NOW, caller="new", callee="newer", window_ns=1, calls=0, failures=3, attempts=2),
        sig.Relayed(at=NOW, caller="web", callee="nobody", count=1),  # names come in headers
        sig.Ordered(at=NOW, order="hold", by="x", target=NOBODY),  # a person gets an answer, not a notice
        sig.Heartbeat(at=NOW, target=A0, every_ns=0),
        sig.Alerted(at=NOW, target=A0, fingerprint="f", name="Burns", firing=False),
    ],
    ids=lambda signal: type(signal).__name__,
)
def test_what_can_be_is_believed(signal: Signal) -> None:
    """No doubt about what sound sources say, nor about what is judged elsewhere."""
    assert wrong_signal(signal, NOW) == ""
    assert unknown(signal, TOPOLOGY) == ""
