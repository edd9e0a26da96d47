"""One data plane hangs: the others act, nobody waits for it, it is reported, and ordered again when it answers."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import msgspec
import pytest
import trio.testing

from controlplane.decide.engine import Engine
from controlplane.model.command import Command, Eject
from controlplane.model.signal import Cause, Target, Tripped
from controlplane.runtime.actuation import PATIENCE_S
from controlplane.runtime.loop import ControlLoop
from controlplane.testing import MemoryJournal, RecordingDataPlane, RecordingNotifier, VirtualClock
from tests.taped import MESH, POLICY

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Virtual time: time-outs pass at once."""
    return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}


class Stalling(RecordingDataPlane):
    """Hangs until `free` is set."""

    def __init__(self) -> None:
        super().__init__(self._hang)
        self.free = anyio.Event()
        self.asked = 0

    async def _hang(self, _: Command) -> None:
        self.asked += 1
        await self.free.wait()


def trip(clock: VirtualClock, endpoint: str) -> Tripped:
    target = Target("cart", endpoint)
    return Tripped(at=clock.now(), target=target, cause=Cause.ERRORS, calls=5, failures=5, contained=True)


async def until(condition: Callable[[], bool], seconds: float) -> None:
    """Within `seconds` of virtual time."""
    with anyio.fail_after(seconds):
        while not condition():
            await anyio.sleep(0.001)


async def with_loop(body: Callable[[ControlLoop, Engine, Any, Any, Any, Any], Awaitable[None]]) -> None:
    clock, healthy, stalled, notifier = VirtualClock(), RecordingDataPlane(), Stalling(), RecordingNotifier()
    engine = Engine(MESH, msgspec.structs.replace(POLICY, penalty_s=60.0, lease_s=90.0))
    loop = ControlLoop(
        engine, clock=clock, journal=MemoryJournal(), data_planes=[stalled, healthy], notifiers=[notifier]
    )
    async with anyio.create_task_group() as tasks:
        await tasks.start(loop.run)
        await body(loop, engine, clock, healthy, stalled, notifier)
        tasks.cancel_scope.cancel()


async def test_a_stalled_data_plane_holds_up_nobody() -> None:
    """The healthy one has each order at once, also of faults that come while the other one hangs."""

    async def body(loop: ControlLoop, _: Engine, clock: Any, healthy: Any, stalled: Any, notifier: Any) -> None:
        for endpoint in ("cart-0", "cart-1"):
            began = anyio.current_time()
            loop.submit_nowait(trip(clock, endpoint))
            await until(lambda end=endpoint: Target("cart", end) in healthy.in_force, 1)  # type: ignore[misc]
            assert anyio.current_time() - began <= PATIENCE_S + 0.01
        assert loop.statistics().degraded == ("the data plane Stalling does not answer",)
        assert stalled.applied == []

    await with_loop(body)


async def test_a_stall_is_reported_and_ordered_again_when_it_ends() -> None:
    """The time-out comes back as an order that was not taken: people are called, and later the plane obeys."""

    async def body(loop: ControlLoop, engine: Engine, clock: Any, healthy: Any, stalled: Any, notifier: Any) -> None:
        loop.submit_nowait(trip(clock, "cart-0"))
        await until(lambda: any(one.severity == "critical" for one in notifier.delivered), 3)
        (told,) = [one.text for one in notifier.delivered if one.severity == "critical"]
        assert "the order was not taken: no answer within 2.0 s" in told
        assert loop.statistics().commands_failed == 1
        stalled.free.set()
        await until(lambda: Target("cart", "cart-0") in stalled.in_force, 10)
        assert isinstance(stalled.in_force[Target("cart", "cart-0")].intent, Eject)
        await until(lambda: not loop.statistics().degraded, 1)
        assert engine.state.open_incidents()

    await with_loop(body)


async def test_the_end_waits_for_a_stall_no_longer_than_its_time_out() -> None:
    """A loop that is told to end finishes what it decided, or gives it up in time."""

    async def body(loop: ControlLoop, _: Engine, clock: Any, healthy: Any, stalled: Any, notifier: Any) -> None:
        loop.submit_nowait(trip(clock, "cart-0"))
        await until(lambda: stalled.asked == 1, 1)

    began = anyio.current_time()
    await with_loop(body)
    assert anyio.current_time() - began <= 2.2
