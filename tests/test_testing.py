"""The stand-ins that users test their own programs with."""

from typing import Any

import anyio
import pytest
import trio.testing

from controlplane.model.command import Command, Eject
from controlplane.model.errors import ActuationError, StaleEpoch
from controlplane.model.signal import FellBack, Target
from controlplane.model.unit import SECOND, CommandId, Epoch, IncidentId, Nanos
from controlplane.testing import RecordingDataPlane, ScriptedSource, VirtualClock


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}


def order(epoch: int) -> Command:
    return Command(
        id=CommandId("c1"),
        epoch=Epoch(epoch),
        incident=IncidentId("i1"),
        target=Target("orders"),
        intent=Eject(),
        lease_until=Nanos(1),
    )


def test_time_stands_still_until_told() -> None:
    """Outside an event loop only `advance` moves the clock, wall clock and all."""
    clock = VirtualClock(now=5 * SECOND, wall_ns=100 * SECOND)
    assert (clock.now(), clock.wall_ns()) == (5 * SECOND, 100 * SECOND)
    clock.advance(2.5)
    assert (clock.now(), clock.wall_ns()) == (7_500_000_000, 102_500_000_000)


def test_a_reboot_begins_the_monotonic_clock_again() -> None:
    """The wall clock goes on, and the boot has another name."""
    clock = VirtualClock(now=5 * SECOND, wall_ns=100 * SECOND, boot="one")
    clock.reboot("two", now=1)
    assert (clock.now(), clock.wall_ns(), clock.boot()) == (1, 100 * SECOND, "two")
    clock.advance(1)
    assert (clock.now(), clock.wall_ns()) == (1 + SECOND, 101 * SECOND)


@pytest.mark.anyio
async def test_time_follows_a_virtual_loop() -> None:
    """Under trio's MockClock an hour of sleep is an hour of this clock, and no time at all."""
    clock = VirtualClock(now=SECOND)
    began = clock.now()
    with anyio.fail_after(7200):
        await anyio.sleep(3600)
    assert clock.now() - began == 3600 * SECOND


def test_time_never_runs_back_between_loops() -> None:
    """One clock used by one loop after the other keeps what has passed."""
    clock = VirtualClock(now=SECOND)

    async def main() -> None:
        clock.now()
        await trio.sleep(10)
        clock.now()

    for _ in range(3):
        trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert clock.now() == 31 * SECOND


@pytest.mark.anyio
async def test_a_recording_data_plane_obeys_epochs() -> None:
    """It keeps what it took, refuses what is stale, and fails when told to."""
    data_plane = RecordingDataPlane()
    await data_plane.apply(order(2))
    with pytest.raises(StaleEpoch):
        await data_plane.apply(order(1))
    assert data_plane.applied == [order(2)]
    assert data_plane.in_force == {Target("orders"): order(2)}

    async def refuse(command: Command) -> None:
        raise ActuationError("away", retryable=True)

    with pytest.raises(ActuationError, match="away"):
        await RecordingDataPlane(refuse).apply(order(1))


def test_a_scripted_source_says_what_it_was_told() -> None:
    """Facts once, samples at every time of asking."""
    told = FellBack(at=Nanos(1), service="risk", count=1)
    source = ScriptedSource(told)
    source.tell(told)
    source.samples = [told]
    assert (source.drain(), source.drain()) == ([told, told], [])
    assert (source.sample(), source.sample(), source.sampled) == ([told], [told], 2)
