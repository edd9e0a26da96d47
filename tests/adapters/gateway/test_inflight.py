"""Overdue calls on one endpoint are told one at a time: what made one late made all of them late."""

import anyio
import pytest

from controlplane._native.guard import Permit
from controlplane.adapters.gateway.guards import GuardSet
from controlplane.adapters.gateway.inflight import STALL_APART_S, InFlight
from controlplane.model.policy import GuardPolicy
from controlplane.model.topology import Endpoint, Service, Topology

pytestmark = pytest.mark.anyio


async def test_overdue_calls_are_told_one_by_one() -> None:
    """Of three calls that are overdue at once the oldest is told, and the others later, if they are still open."""
    declared = Service(name="orders", endpoints=(Endpoint(name="o1", url="http://h:1"),))
    service = GuardSet(Topology(services=(declared,)), {"default": GuardPolicy(stall_s=0.5)}).services["orders"]
    inflight = InFlight(lambda due: None)
    attempts = []
    for at in (1.0, 1.001, 1.002):
        permit = service.guard.try_acquire()
        assert isinstance(permit, Permit)
        attempts.append(inflight.enter(service, permit, anyio.CancelScope(), at, redrivable=True))
    (lane,) = inflight.lanes()
    assert lane.due() == 1.5
    assert lane.stalled(1.499) is None
    assert lane.stalled(1.6) is attempts[0]
    assert lane.due() == 1.6 + STALL_APART_S, "so that the watch does not spin"
    assert lane.stalled(1.6 + STALL_APART_S / 2) is None
    inflight.leave(attempts[1])
    assert lane.stalled(1.6 + STALL_APART_S) is attempts[2]
    assert lane.due() == float("inf")
