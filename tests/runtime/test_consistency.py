"""Consistency is asked of who recovers, in bounded time, and of nobody else."""

import itertools
from typing import Any

import anyio
import pytest
import trio.testing

from controlplane.model.policy import ResponsePolicy
from controlplane.model.signal import Condition, Signal
from controlplane.runtime.consistency import Ask, ConsistencyProber
from controlplane.testing import VirtualClock

pytestmark = pytest.mark.anyio

POLICY = ResponsePolicy(probe_interval_s=2.0, probe_timeout_s=0.5)


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}


class Play:
    """A prober, and a loop that looks four times a second and keeps what it is told."""

    def __init__(self, **asks: Ask) -> None:
        self.recovering: set[str] = set()
        self.rings: list[int] = []
        self.told: list[tuple[str, bool, str]] = []
        self.prober = ConsistencyProber(
            asks,
            POLICY,
            recovering=lambda: self.recovering,
            ring=lambda: self.rings.append(1),
            clock=VirtualClock(),
        )

    async def look_for(self, seconds: float) -> None:
        async with anyio.create_task_group() as tasks:
            await tasks.start(self.prober.run)
            for _ in range(round(seconds * 4)):
                self._keep(self.prober.sample())
                await anyio.sleep(0.25)
                self._keep(self.prober.drain())
            tasks.cancel_scope.cancel()

    def _keep(self, signals: list[Signal]) -> None:
        for signal in signals:
            assert isinstance(signal, Condition)
            assert signal.what == "consistency"
            self.told.append((signal.service, signal.well, signal.reason))


async def test_nobody_is_asked_while_nothing_recovers() -> None:
    """Not once in a minute."""
    asked: list[str] = []

    async def ask() -> None:
        asked.append("orders")

    play = Play(orders=ask)
    await play.look_for(60)
    assert (asked, play.told) == ([], [])


async def test_who_recovers_is_not_well_until_the_first_answer_and_asked_at_a_bounded_rate() -> None:
    """Of two that recover the one with a probe is asked, once an interval."""
    asked: list[float] = []

    async def ask() -> None:
        asked.append(anyio.current_time())

    play = Play(orders=ask)
    play.recovering = {"orders", "stock"}
    await play.look_for(10)
    assert play.told[0] == ("orders", False, "the consistency probe of orders has not answered yet")
    assert play.told[1:] == [("orders", True, "")] * len(asked)
    assert 4 <= len(asked) <= 5
    assert all(later - earlier >= 2 for earlier, later in itertools.pairwise(asked))
    assert len(play.rings) == len(asked)


async def test_what_goes_wrong_is_the_reason() -> None:
    """An exception, its message cut; False; no answer in time; a function that is not async."""

    async def differs() -> None:
        raise ValueError("ledger and stock differ " + "x" * 1_000)

    async def says_no() -> bool:
        return False

    async def hangs() -> None:
        await anyio.sleep_forever()

    def plain() -> Any:
        return None

    play = Play(a=differs, b=says_no, c=hangs, d=plain)
    play.recovering = {"a", "b", "c", "d"}
    await play.look_for(1)
    reasons = {service: reason for service, well, reason in play.told if "not answered yet" not in reason and not well}
    assert reasons["a"].startswith("a: ValueError: ledger and stock differ xxx")
    assert len(reasons["a"]) < 220
    assert reasons["b"] == "b: its consistency probe answers that it is not"
    assert reasons["c"] == "c: its consistency probe did not answer within 0.5 s"
    assert reasons["d"] == "d: TypeError: a consistency probe is an async function"


async def test_one_that_hangs_is_not_asked_twice_at_a_time() -> None:
    """Even where it answers later than the interval, as one that cannot be cancelled does."""
    running, most = 0, 0

    async def stubborn() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        with anyio.CancelScope(shield=True):
            await anyio.sleep(5)
        running -= 1

    play = Play(orders=stubborn)
    play.recovering = {"orders"}
    await play.look_for(20)
    assert most == 1


async def test_the_next_incident_begins_unknown_again() -> None:
    """What was answered about an earlier recovery says nothing about this one."""

    async def ask() -> None:
        return None

    play = Play(orders=ask)
    for recovering in ({"orders"}, set[str](), {"orders"}):
        play.recovering = recovering
        await play.look_for(1)
    unknown = ("orders", False, "the consistency probe of orders has not answered yet")
    assert [told for told in play.told if not told[1]] == [unknown, unknown]
