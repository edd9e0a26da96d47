"""From the settlement of a call to the signal: what the latency of a service's endpoints is told as."""

import pytest

from controlplane._native.guard import Permit, now_ns
from controlplane.adapters.gateway.gray import Finding
from controlplane.adapters.gateway.guards import GuardSet
from controlplane.adapters.gateway.service import ServiceGuard
from controlplane.model.signal import Cause, Drifted, Tripped
from controlplane.model.topology import Endpoint, Service, Topology

TOPOLOGY = Topology(
    services=(
        Service(name="web", calls=("orders",)),
        Service(name="orders", endpoints=tuple(Endpoint(name=n, url=f"http://{n}") for n in ("a", "b"))),
    ),
    entry="web",
)


class Noted:
    """Stands where the watch does."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def observe(self, endpoint: int, latency_ns: int, now: int) -> Finding | None:
        assert 0 <= latency_ns < 10**9
        assert now <= now_ns()
        self.seen.append(endpoint)
        return None


@pytest.fixture
def orders() -> ServiceGuard:
    """The guard of a service with two endpoints."""
    return GuardSet(TOPOLOGY, {}).services["orders"]


def test_only_good_answers_are_evidence(orders: ServiceGuard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Failures and what was given up are none."""
    noted = Noted()
    monkeypatch.setattr(orders, "_gray", noted)
    for end in (orders.succeed, orders.cancel, lambda permit: orders.fail(permit, 1)):
        permit = orders.guard.try_acquire()
        assert isinstance(permit, Permit)
        end(permit)
    assert len(noted.seen) == 1


def test_findings_become_signals_once() -> None:
    """Gray is a trip that nobody acted on by reflex; a drift is a drift."""
    guards = GuardSet(TOPOLOGY, {})
    guards.services["orders"].findings += [Finding(0, True, 64, 60, 3.0, True), Finding(1, False, 64, 9, 1.5, False)]
    trip, drift = guards.drain()
    assert isinstance(trip, Tripped)
    assert isinstance(drift, Drifted)
    assert (trip.cause, trip.contained, drift.target.endpoint) == (Cause.SLOW, False, "b")
    assert guards.drain() == []
