"""Whoever rings wakes all the others, on every loop, and never waits for anybody."""

import os
import select
from pathlib import Path

import anyio
import pytest

from controlplane.adapters.arena import Arena, bell
from tests.adapters.arena.conftest import Attach


def is_rung(arena: Arena) -> bool:
    """Whether its bell would wake a loop now."""
    return bool(select.select([arena], [], [], 0)[0])


@pytest.mark.anyio
async def test_a_ring_wakes_who_waits(attach: Attach) -> None:
    """Everybody but the one that rings; hushed, each waits for the next one."""
    ringing, *others = (attach() for _ in range(3))
    heard: list[int] = []

    async def listen(arena: Arena) -> None:
        for _ in range(2):
            await arena.wait_rung()
            arena.hush()
            heard.append(arena.worker)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            for other in others:
                tasks.start_soon(listen, other)
            for count in (2, 4):
                await anyio.wait_all_tasks_blocked()
                ringing.ring()
                while len(heard) < count:
                    await anyio.lowlevel.checkpoint()
                assert sorted(heard[count - 2 : count]) == [other.worker for other in others]
    assert not is_rung(ringing)


@pytest.mark.anyio
async def test_what_was_rung_before_is_heard(attach: Attach) -> None:
    """A ring is not lost on one that was busy."""
    ringing, other = attach(), attach()
    ringing.ring()
    with anyio.fail_after(10):
        await other.wait_rung()


@pytest.mark.anyio
async def test_a_wait_can_be_given_up(attach: Attach) -> None:
    """A cancelled wait leaves nothing behind: the next one works."""
    ringing, other = attach(), attach()
    with anyio.move_on_after(0.01) as scope:
        await other.wait_rung()
    assert scope.cancelled_caught
    ringing.ring()
    with anyio.fail_after(10):
        await other.wait_rung()


def test_a_bell_that_nobody_answers_fills_up_and_is_as_good_as_rung(attach: Attach) -> None:
    """More rings than a pipe holds neither wait nor raise; one hush forgets them all."""
    ringing, other = attach(), attach()
    for _ in range(70_000):
        ringing.ring()
    assert is_rung(other)
    other.hush()
    assert not is_rung(other)
    other.hush()
    ringing.ring()
    assert is_rung(other)


def test_who_takes_a_place_over_is_woken_by_those_who_knew_its_predecessor(attach: Attach) -> None:
    """The pipe of one that is gone is forgotten with it."""
    ringing, gone = attach(workers=2), attach(workers=2)
    ringing.ring()
    gone.close()
    ringing.ring()  # nobody hears it, and nobody minds
    heir = attach(workers=2)
    assert heir.worker == gone.worker
    assert not is_rung(heir)
    ringing.ring()
    assert is_rung(heir)


def test_a_pipe_that_a_dead_process_left_is_nobodys_bell(attach: Attach, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is seen has its bell: rung from the moment on that it is on record, it wakes."""
    ringing, stale = attach(workers=2), attach(workers=2)
    left = Path(f"{ringing.path}.bell.{stale.worker}")
    stale.close()
    os.mkfifo(left, 0o600)  # as one that was killed leaves it
    real = bell.remove_bell

    def rung_just_before(path: str, slot: int) -> None:
        ringing.ring()
        real(path, slot)

    monkeypatch.setattr(bell, "remove_bell", rung_just_before)
    heir = attach(workers=2)
    ringing.ring()
    assert is_rung(heir)


def test_what_lies_in_a_bells_place_is_not_rung(attach: Attach) -> None:
    """A file or a link there is neither written to nor followed, and no descriptor is left."""
    ringing, other = attach(), attach()
    place = Path(f"{other.path}.bell.{other.worker}")
    target = place.with_name("target")
    for make in (place.touch, lambda: place.symlink_to(target)):
        target.touch()
        place.unlink()
        make()
        before = sum(1 for _ in Path("/proc/self/fd").iterdir())
        ringing.ring()
        assert place.read_bytes() == target.read_bytes() == b""
        assert sum(1 for _ in Path("/proc/self/fd").iterdir()) == before
