"""All deployers as one data plane: a roll-back is begun once, and its end is told."""

import anyio
import pytest

from controlplane.adapters.deploy.deployers import Deployers
from controlplane.adapters.deploy.gate import GateDeployer
from controlplane.model.command import Command, Eject
from controlplane.model.errors import ActuationError, StaleEpoch
from controlplane.model.signal import RolledBack, Target
from controlplane.model.unit import SECOND, Nanos
from controlplane.testing import VirtualClock
from tests.adapters.deploy.orders import ROLL_BACK, roll_back

pytestmark = pytest.mark.anyio


class Slow:
    """A deployer that waits for `end`, and says what it was told to say."""

    def __init__(self, *, breaks: bool = False) -> None:
        self.end, self.asked, self.breaks = anyio.Event(), 0, breaks

    async def roll_back(self, command: Command) -> tuple[bool, str]:
        self.asked += 1
        await self.end.wait()
        if self.breaks:
            raise RuntimeError("a mistake of ours")
        return True, f"{command.id} is done"


class Bell:
    """Counts rings, and wakes who waits for the next one."""

    def __init__(self) -> None:
        self.rung = anyio.Event()

    def __call__(self) -> None:
        self.rung.set()


@pytest.mark.parametrize("breaks", [False, True], ids=["done", "broken"])
async def test_a_roll_back_begins_at_once_and_its_end_is_told(*, breaks: bool) -> None:
    """The loop waits for no deployer; a mistake of ours is an end, too, and ends nothing else."""
    slow, bell, clock = Slow(breaks=breaks), Bell(), VirtualClock()
    deployers = Deployers({"cart": slow}, clock=clock, ring=bell)
    async with anyio.create_task_group() as tasks:
        await tasks.start(deployers.run)
        await deployers.apply(ROLL_BACK)
        await deployers.apply(ROLL_BACK)
        assert deployers.drain() == []
        slow.end.set()
        await bell.rung.wait()
        (told,) = deployers.drain()
        assert isinstance(told, RolledBack)
        assert (told.command, told.ok) == ("c7", not breaks)
        assert told.reason == ("RuntimeError('a mistake of ours')" if breaks else "c7 is done")
        assert (slow.asked, deployers.drain(), deployers.sample()) == (1, [], [])
        tasks.cancel_scope.cancel()


async def test_what_is_not_for_a_deployer_is_not_its_business() -> None:
    """Another intent, and one in shadow: taken, and nothing done."""
    slow = Slow()
    deployers = Deployers({"cart": slow}, clock=VirtualClock(), ring=Bell())
    async with anyio.create_task_group() as tasks:
        await tasks.start(deployers.run)
        await deployers.apply(roll_back(intent=Eject(), target=Target("cart", "c1")))
        await deployers.apply(roll_back(enforcement="shadow"))
        assert slow.asked == 0
        tasks.cancel_scope.cancel()


async def test_what_must_not_begin_does_not() -> None:
    """A stranger, half a roll-back, one that comes after its lease, one of an older epoch, and before the start."""
    slow, clock = Slow(), VirtualClock()
    deployers = Deployers({"cart": slow}, clock=clock, ring=Bell())
    with pytest.raises(ActuationError, match="are not running"):
        await deployers.apply(roll_back(lease_until=Nanos(clock.now() + SECOND)))
    async with anyio.create_task_group() as tasks:
        await tasks.start(deployers.run)
        late = Nanos(clock.now())
        for wrong, said in (
            (roll_back(target=Target("stock")), "no deployer can roll 'stock' back"),
            (roll_back(enforcement="percent", percent=50), "whole or not at all"),
            (roll_back(lease_until=late), "came too late"),
            (roll_back(epoch=1), "epoch 1 is older"),
        ):
            with pytest.raises(ActuationError, match=said) as refused:
                await deployers.apply(wrong)
            assert not refused.value.retryable
        assert isinstance(refused.value, StaleEpoch)
        assert slow.asked == 0
        tasks.cancel_scope.cancel()


async def test_a_gate_has_begun_when_its_deployer_was_told() -> None:
    """Nothing is run: whoever asks is told, and that is the roll-back."""
    gate = GateDeployer(timeout_s=60.0)
    ends: list[tuple[bool, str]] = []

    async def wait(*, task_status: anyio.abc.TaskStatus[None]) -> None:
        task_status.started()
        ends.append(await gate.roll_back(ROLL_BACK))

    async with anyio.create_task_group() as tasks:
        await tasks.start(wait)
        await anyio.wait_all_tasks_blocked()
        gate.told("v3")
        await anyio.wait_all_tasks_blocked()
        assert ends == []
        gate.told("v2")
    assert ends == [(True, "its deployer asked the gate and was told to roll back")]
    assert (await gate.roll_back(ROLL_BACK))[0], "a deployer that asks between decision and order has been told, too"


async def test_a_gate_that_nobody_asks_fails() -> None:
    """After its time-out: a person looks why."""
    ok, reason = await GateDeployer(timeout_s=0.01).roll_back(ROLL_BACK)
    assert (ok, reason) == (False, "no deployer has asked the gate within 0.01 s")
