"""Nobody who should be told is forgotten, and nobody who is slow holds up another."""

import itertools
from typing import Any

import anyio
import pytest
import trio.testing

from controlplane.model.notice import Notice
from controlplane.model.outcome import Outcome
from controlplane.model.signal import Told
from controlplane.runtime import herald
from controlplane.runtime.loop import ControlLoop
from controlplane.testing import RecordingNotifier
from tests.runtime.scripted import World, fact, notice

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Virtual time: four minutes of attempts pass at once."""
    return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}


class Deaf:
    """A notifier that never returns."""

    async def notify(self, notice: Notice) -> None:
        await anyio.sleep_forever()


def watched(world: World) -> list[Told]:
    """What the engine is told about deliveries."""
    told: list[Told] = []
    step = world.engine.step

    def watch(signal: Any, now: Any) -> Outcome:
        if isinstance(signal, Told):
            told.append(signal)
        return step(signal, now)

    world.engine.step = watch  # type: ignore[method-assign]
    return told


def world_of(*notifiers: Any, notices: int = 1) -> World:
    world = World(notifiers=notifiers)
    world.engine.on["web"] = Outcome(notices=tuple(notice(f"n{number}") for number in range(notices)))
    return world


async def told_of(loop: ControlLoop, told: list[Told], count: int) -> None:
    with anyio.fail_after(100_000):
        while len(told) < count:
            await anyio.sleep(1)
    assert loop.statistics().inbox == 0


async def test_a_slow_or_failing_notifier_delays_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """One hangs, one fails: orders go on, the third hears everything in order, failures are logged once."""

    async def broken(_: Notice) -> None:
        raise OSError("nobody listens")

    listening, failing = RecordingNotifier(), RecordingNotifier(broken)
    world = world_of(Deaf(), failing, listening, notices=10)
    async with world.running() as loop:
        began = anyio.current_time()
        await loop.execute(fact("web"))
        await anyio.sleep(0.001)
        assert [one.text for one in listening.delivered] == [f"n{number}" for number in range(10)]
        assert anyio.current_time() - began < 0.1
        await anyio.sleep(60)
        seen = loop.statistics()
    assert 5 <= failing.asked <= 9
    assert seen.notices_failed >= failing.asked
    assert set(seen.degraded) == {
        "the notifier Deaf does not deliver",
        "the notifier RecordingNotifier does not deliver",
    }
    assert [entry.message for entry in caplog.records] == [
        "RecordingNotifier does not deliver notices",
        "Deaf does not deliver notices",
    ]


async def test_the_engine_is_told_when_everybody_has_a_notice() -> None:
    """One answer per notice, not one per notifier, and not before the last."""
    late = anyio.Event()

    async def wait(_: Notice) -> None:
        await late.wait()

    world = world_of(RecordingNotifier(), RecordingNotifier(wait))
    told = watched(world)
    async with world.running() as loop:
        await loop.execute(fact("web"))
        await anyio.sleep(1)
        assert told == []
        late.set()
        await told_of(loop, told, 1)
    assert [(one.key, one.ok, one.by) for one in told] == [("n0", True, "RecordingNotifier, RecordingNotifier")]


async def test_a_notifier_that_recovers_gets_everything_in_order() -> None:
    """Attempts come later each time; nothing is skipped meanwhile and nothing overtakes."""
    times: list[float] = []

    async def fail_at_first(_: Notice) -> None:
        times.append(anyio.current_time())
        if len(times) <= 5:
            raise OSError("not yet")

    notifier = RecordingNotifier(fail_at_first)
    world = world_of(notifier, notices=3)
    told = watched(world)
    async with world.running() as loop:
        await loop.execute(fact("web"))
        await told_of(loop, told, 3)
        assert loop.statistics().degraded == ()
    assert [one.text for one in notifier.delivered] == ["n0", "n1", "n2"]
    pauses = [round(after - before, 3) for before, after in itertools.pairwise(times)]
    assert pauses == [0.5, 1, 2, 4, 8, 0, 0]
    assert all(one.ok for one in told)


async def test_giving_up_is_bounded_and_said() -> None:
    """After its attempts a notice is given up with the reason; the next one has its own attempts."""

    async def broken(_: Notice) -> None:
        raise OSError("nobody listens")

    notifier = RecordingNotifier(broken)
    world = world_of(notifier, notices=2)
    told = watched(world)
    async with world.running() as loop:
        await loop.execute(fact("web"))
        await told_of(loop, told, 2)
        assert loop.statistics().notices_dropped == 2
    assert notifier.asked == 2 * herald.ATTEMPTS_MAX
    assert [(one.key, one.ok, one.by) for one in told] == [("n0", False, "nobody"), ("n1", False, "nobody")]
    assert "RecordingNotifier: OSError('nobody listens')" in told[0].reason


async def test_a_queue_that_grows_gives_up_its_oldest() -> None:
    """Behind a dead notifier the newest notices are kept, and what is given up is told."""
    world = world_of(Deaf(), notices=10)
    told = watched(world)
    async with world.running() as loop:
        for _ in range(40):
            await loop.execute(fact("web"))
        await anyio.wait_all_tasks_blocked()
        assert len(told) >= 400 - herald.QUEUE_NOTICES - 12
        assert {one.reason for one in told} == {"Deaf: too many notices waited behind it"}


async def test_without_anybody_the_engine_is_told_at_once() -> None:
    """Nobody is to be told: no notice stays in the outbox for ever."""
    world = world_of()
    told = watched(world)
    async with world.running() as loop:
        await loop.execute(fact("web"))
        await told_of(loop, told, 1)
    assert [(one.key, one.by, one.ok) for one in told] == [("n0", "nobody", True)]
