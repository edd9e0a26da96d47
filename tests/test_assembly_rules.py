"""Rules that a data plane keeps, end to end: what it refuses is counted and told under the rule's name."""

from collections.abc import Callable

import anyio
import msgspec
import pytest

from controlplane.adapters.gateway.guards import GuardSet
from controlplane.assembly import Plane
from controlplane.model.command import Eject
from controlplane.model.errors import ActuationError, LeaseLapsed, StaleEpoch
from controlplane.model.policy import GuardPolicy
from controlplane.model.signal import Cause, Target, Tripped
from controlplane.model.unit import Epoch, Nanos
from controlplane.testing import MemoryJournal
from tests.admin.test_app import CONFIG
from tests.decide.safety.mesh import command

pytestmark = pytest.mark.anyio


async def wait_until(condition: Callable[[], object]) -> None:
    """Until the plane has come so far."""
    with anyio.fail_after(5):
        while not condition():
            await anyio.lowlevel.checkpoint()


async def test_an_order_of_a_replaced_engine_is_refused_by_the_fence() -> None:
    """The guards have obeyed epoch 9: the plane's own, older one gives no order any more, and its record says why."""
    async with Plane(CONFIG, seed=1, journal=MemoryJournal()) as plane:
        plane._guards._fence.epoch = Epoch(9)
        at = plane.clock.now()
        plane.submit_nowait(Tripped(at=at, target=Target("orders", "b"), cause=Cause.ERRORS, calls=7, failures=7))
        await wait_until(lambda: plane.state.standing.refused)
        assert plane.state.standing.refused == {"epoch_fence": 1}
        (incident,) = plane.state.incidents.values()
        assert incident.refused == ["epoch_fence: epoch 1 is older than 9, which is in force"]
        assert not plane.guard("orders").is_ejected(1)


@pytest.mark.parametrize(("epoch", "lease_until", "kind"), [(1, 1 << 62, StaleEpoch), (9, 1, LeaseLapsed)])
async def test_the_guards_name_the_rule_that_they_keep(
    epoch: int, lease_until: int, kind: type[ActuationError]
) -> None:
    """An order from the past, by its engine or by its lease, is not carried out."""
    guards = GuardSet(CONFIG.topology(), {"default": GuardPolicy()})
    guards._fence.epoch = Epoch(9)
    order = command(Target("orders", "b"), Eject(), CONFIG.topology())
    order = msgspec.structs.replace(order, epoch=Epoch(epoch), lease_until=Nanos(lease_until))
    with pytest.raises(kind) as refusal:
        await guards.apply(order)
    assert refusal.value.rule == {StaleEpoch: "epoch_fence", LeaseLapsed: "lease_expiry"}[kind]
    assert not guards.guard("orders").is_ejected(1)


async def test_an_order_that_makes_no_sense_is_the_callers_mistake() -> None:
    """`Plane.order` says what is wrong before anything is on record."""
    async with Plane(CONFIG, seed=1, journal=MemoryJournal()) as plane:
        with pytest.raises(ValueError, match="lease_expiry is never set aside"):
            await plane.order("override", by="ana", rule="lease_expiry", for_s=60)
        with pytest.raises(ValueError, match="an override ends"):
            await plane.order("override", by="ana", rule="freeze")
        assert not plane.state.standing.overrides
