"""A notifier with a name: gathered, held back, tried again, never forgotten, and nobody else's trouble."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import anyio
import pytest
import trio.testing

from controlplane.model.errors import NotifyError
from controlplane.model.notice import Notice
from controlplane.model.outcome import Outcome
from controlplane.model.signal import Told
from controlplane.model.unit import IncidentId, Nanos
from controlplane.runtime import channel
from controlplane.runtime.channel import Channel
from controlplane.runtime.loop import ControlLoop
from controlplane.testing import RecordingNotifier
from tests.runtime.scripted import World, fact
from tests.runtime.test_herald import watched

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Virtual time: a night passes at once."""
    return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}


class Recorded:
    """A notifier that keeps what it was asked, when, and fails as `meet` says."""

    def __init__(self, meet: Callable[[Sequence[Notice]], None] | None = None) -> None:
        self.asked: list[tuple[float, list[str]]] = []
        self.taken: list[str] = []
        self.stalls = False
        self._meet, self._began = meet, anyio.current_time()

    async def notify_group(self, notices: Sequence[Notice]) -> None:
        self.asked.append((round(anyio.current_time() - self._began, 3), [one.id for one in notices]))
        if self.stalls:
            await anyio.sleep_forever()
        if self._meet is not None:
            self._meet(notices)
        self.taken += [one.id for one in notices]


def told(
    name: str,
    severity: str = "warning",
    incident: str = "i1",
    *,
    what: str = "",
    to: tuple[str, ...] | None = None,
    had: tuple[str, ...] = (),
) -> Notice:
    """A notice with an id of its own."""
    key = f"{incident}:{what or name}"
    return Notice(key, IncidentId(incident), severity, name, Nanos(0), id=f"b-{name}", to=to, had=had)


class Telling:
    """A running loop, whose engine tells what the test wants told."""

    def __init__(self, world: World, loop: ControlLoop) -> None:
        self.answers = watched(world)
        self._world, self.loop = world, loop

    async def tell(self, *notices: Notice) -> None:
        self._world.engine.on["web"] = Outcome(notices=notices)
        await self.loop.execute(fact("web"))


def world_of(*channels: Channel, notifiers: Sequence[Any] = (), standing: Any = lambda _: ()) -> World:
    world = World(notifiers=notifiers)
    world.make_loop(channels=channels, standing=standing)  # type: ignore[arg-type]
    return world


def by(answers: Sequence[Told]) -> list[tuple[str, str, bool, bool]]:
    return [(one.key.partition(":")[2], one.by, one.ok, one.last) for one in answers]


async def test_updates_are_gathered_and_what_is_new_or_critical_is_not() -> None:
    """The first notice of an incident goes at once, so does a critical one, with all that had gathered before it."""
    chat = Recorded()
    world = world_of(Channel(name="chat", notifier=chat, group_wait_s=30))
    async with world.running() as loop:
        telling = Telling(world, loop)
        await telling.tell(told("a"))
        await anyio.sleep(10)
        await telling.tell(told("b"), told("x", incident="i2"))
        await anyio.sleep(10)
        await telling.tell(told("c"))
        await anyio.sleep(30)
        await telling.tell(told("d", "info"))
        await anyio.sleep(5)
        await telling.tell(told("e", "critical"))
        await anyio.sleep(100)
    assert chat.asked == [
        (0, ["b-a"]),
        (10, ["b-x"]),
        (40, ["b-b", "b-c"]),
        (55, ["b-d", "b-e"]),
    ]


async def test_quiet_hours_hold_back_what_may_wait_and_nothing_else() -> None:
    """Until they are over, warnings gather; a critical notice goes through, and takes along what waits about it."""
    chat = Recorded()
    ends_at = anyio.current_time() + 3600
    quiet = Channel(name="chat", notifier=chat, quiet_left_s=lambda _: max(ends_at - anyio.current_time(), 0))
    world = world_of(quiet)
    async with world.running() as loop:
        telling = Telling(world, loop)
        await telling.tell(told("a"), told("b", incident="i2"))
        await anyio.sleep(600)
        assert chat.asked == []
        await telling.tell(told("c", "critical"))
        await anyio.sleep(1)
        assert chat.asked == [(600, ["b-a", "b-c"])]
        await anyio.sleep(3600)
    assert chat.asked[1:] == [(3600, ["b-b"])]


async def test_each_channel_hears_what_is_for_it() -> None:
    """By name; a name that is nobody's: everybody; no name yet: only those without one. Ends are always told."""
    chat, pager, log = Recorded(), Recorded(), RecordingNotifier()
    channels = Channel(name="chat", notifier=chat), Channel(name="pager", notifier=pager, least=("critical",))
    world = world_of(*channels, notifiers=[log])
    async with world.running() as loop:
        telling = Telling(world, loop)
        await telling.tell(
            told("all", "critical"),
            told("chat-only", "critical", to=("chat",)),
            told("mild", "info"),
            told("gone", "critical", to=("fax",)),
            told("later", "critical", to=()),
            told("had", "critical", had=("chat",)),
            told("over", "info", what="closed"),
        )
        await anyio.sleep(1)
    assert chat.taken == ["b-all", "b-chat-only", "b-mild", "b-gone", "b-over"]
    assert pager.taken == ["b-all", "b-gone", "b-had", "b-over"]
    assert len(log.delivered) == 7


async def test_the_engine_hears_of_each_channel_at_once() -> None:
    """Who has it is on record before the others have it; the outbox is rid of it with the last."""
    chat, pager, log = Recorded(), Recorded(), RecordingNotifier()
    pager.stalls = True
    world = world_of(
        Channel(name="chat", notifier=chat), Channel(name="pager", notifier=pager, timeout_s=10), notifiers=[log]
    )
    async with world.running() as loop:
        telling = Telling(world, loop)
        await telling.tell(told("a"))
        await anyio.sleep(1)
        assert by(telling.answers) == [("a", "chat", True, False)]
        pager.stalls = False
        await anyio.sleep(60)
        assert by(telling.answers)[1:] == [
            ("a", "pager", True, False),
            ("a", "RecordingNotifier", True, True),
        ]
        assert loop.statistics().degraded == ()


async def test_a_channel_that_fails_is_asked_later_each_time_and_loses_nothing() -> None:
    """Pauses double, less up to half by chance, to a minute at most; then all of it arrives, gathered, in order."""
    down = True

    def meet(_: Sequence[Notice]) -> None:
        if down:
            raise NotifyError("503", retryable=True)

    chat, other = Recorded(meet), Recorded()
    world = world_of(Channel(name="chat", notifier=chat), Channel(name="other", notifier=other))
    async with world.running() as loop:
        telling = Telling(world, loop)
        for number in range(8):
            await telling.tell(told(f"n{number}"))
            await anyio.sleep(0.01)
        await anyio.sleep(3600)
        assert other.taken == [f"b-n{number}" for number in range(8)]
        assert loop.statistics().degraded == ("the notifier chat does not deliver",)
        down = False
        await anyio.sleep(61)
    assert chat.taken == [f"b-n{number}" for number in range(8)]
    pauses = [after - before for (before, _), (after, _) in itertools.pairwise(chat.asked)]
    assert all(
        low <= pause <= high for pause, low, high in zip(pauses, (0.25, 0.5, 1, 2), (0.51, 1, 2, 4), strict=False)
    )
    assert all(30 <= pause <= 60.1 for pause in pauses[9:])
    assert len(set(pauses[9:])) > 10  # jitter
    assert {(one.by, one.ok) for one in telling.answers} == {("chat", True), ("other", True)}


async def test_nobody_is_asked_sooner_than_it_wants() -> None:
    """Retry-After is obeyed for all that waits, for an hour at most."""
    asked = 90.0

    def meet(_: Sequence[Notice]) -> None:
        if len(chat.asked) == 1:
            raise NotifyError("429", retryable=True, retry_after_s=asked)

    chat = Recorded(meet)
    world = world_of(Channel(name="chat", notifier=chat))
    async with world.running() as loop:
        telling = Telling(world, loop)
        await telling.tell(told("a"))
        await anyio.sleep(10)
        await telling.tell(told("x", "critical", incident="i2"))
        await anyio.sleep(200)
    assert [at for at, _ in chat.asked] == [0, 90, 90]
    assert set(chat.taken) == {"b-a", "b-x"}


async def test_what_is_refused_is_given_up_and_said_and_holds_up_nothing() -> None:
    """A notice that will never be taken costs one attempt; the reason goes on record."""

    def meet(notices: Sequence[Notice]) -> None:
        if notices[0].incident == "i1":
            raise NotifyError("hooks answers 400: bad", retryable=False)

    chat = Recorded(meet)
    world = world_of(Channel(name="chat", notifier=chat))
    async with world.running() as loop:
        telling = Telling(world, loop)
        await telling.tell(told("a"), told("b", incident="i2"))
        await anyio.sleep(100)
        assert loop.statistics().notices_dropped == 1
    assert len(chat.asked) == 2
    assert by(telling.answers) == [("a", "chat", False, True), ("b", "chat", True, True)]
    assert telling.answers[0].reason == "chat: hooks answers 400: bad"


async def test_an_incident_whose_notices_are_not_taken_holds_up_no_other() -> None:
    """One group fails for ever, as with a text that a receiver chokes on; the others arrive, and it is tried on."""

    def meet(notices: Sequence[Notice]) -> None:
        if notices[0].incident == "i1":
            raise NotifyError("500", retryable=True)

    chat = Recorded(meet)
    world = world_of(Channel(name="chat", notifier=chat))
    async with world.running() as loop:
        telling = Telling(world, loop)
        await telling.tell(told("poison"))
        for number in range(5):
            await telling.tell(told(f"n{number}", incident=f"i{number + 2}"))
            await anyio.sleep(20)
    assert chat.taken == [f"b-n{number}" for number in range(5)]
    assert sum(ids == ["b-poison"] for _, ids in chat.asked) >= 4


async def test_after_a_day_nobody_wants_to_be_woken_by_it() -> None:
    """Patience ends, and that is said."""

    def meet(_: Sequence[Notice]) -> None:
        raise NotifyError("503", retryable=True)

    chat = Recorded(meet)
    world = world_of(Channel(name="chat", notifier=chat))
    async with world.running() as loop:
        telling = Telling(world, loop)
        await telling.tell(told("a"))
        await anyio.sleep(channel.PATIENCE_S - 100)
        assert telling.answers == []
        await anyio.sleep(200)
    assert by(telling.answers) == [("a", "chat", False, True)]


async def test_a_queue_that_is_full_gives_up_what_is_not_critical() -> None:
    """A storm behind a dead notifier: the bound holds, and the critical notices are among what is kept."""
    chat = Recorded()
    chat.stalls = True
    world = world_of(Channel(name="chat", notifier=chat, timeout_s=1))
    async with world.running() as loop:
        telling = Telling(world, loop)
        await telling.tell(told("first", incident="i0"))
        await anyio.sleep(0.1)
        await telling.tell(*(told(f"c{number}", "critical", incident=f"i{number}") for number in range(1, 50)))
        await telling.tell(*(told(f"w{number}", incident=f"i{number}") for number in range(1, 400)))
        await anyio.sleep(0.5)
        given_up = [one.key for one in telling.answers if not one.ok]
        assert len(given_up) == 49 + 399 - channel.WAITING_MAX
        assert not any(":c" in key for key in given_up)
        chat.stalls = False
        await anyio.sleep(600)
    assert {f"b-c{number}" for number in range(1, 50)} <= set(chat.taken)


async def test_what_stands_is_said_again() -> None:
    """Every `repeat_s`, as long as it stands; for the engine that is nothing new."""
    standing = [told("a", "critical")]
    alerts, chat = Recorded(), Recorded()
    channels = Channel(name="alerts", notifier=alerts, repeat_s=60), Channel(name="chat", notifier=chat)
    world = world_of(*channels, standing=lambda name: standing if name == "alerts" else ())
    async with world.running() as loop:
        telling = Telling(world, loop)
        await telling.tell(told("a", "critical"))
        await anyio.sleep(130)
        standing.clear()
        await anyio.sleep(300)
        assert len(telling.answers) == 2
    assert alerts.asked == [(0, ["b-a"]), (60, ["b-a"]), (120, ["b-a"])]
    assert len(chat.asked) == 1
