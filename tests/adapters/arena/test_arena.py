"""What attached processes may rely on: the same words, a place each, at most one that steers.

Two arenas in one process are to each other what two processes are: locks belong to an open file, not to a process.
"""

import os
import threading
from itertools import pairwise
from pathlib import Path

import pytest

from controlplane.adapters.arena import Arena
from controlplane.adapters.arena import slots as places
from controlplane.model.errors import ArenaBusy, ArenaError, ArenaFull
from tests.adapters.arena.conftest import REGIONS, WORKERS, Attach


def descriptors() -> int:
    """Open ones of this process."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_all_see_the_same_words(attach: Attach) -> None:
    """What one writes into a region, the others read there, and nowhere else."""
    one, other = attach(), attach()
    one.region("guard cart")[99] = -5
    one.region("guard db")[0] = 1 << 62
    assert other.region("guard cart").tolist() == [0] * 99 + [-5]
    assert other.region("guard db").tolist() == [1 << 62, *[0] * 6]


def test_regions_have_their_size_and_lie_on_lines_of_their_own(attach: Attach) -> None:
    """Each is as long as asked for, begins at a multiple of 64 bytes, and overlaps no other."""
    arena = attach({f"region {words}": words for words in (1, 7, 8, 9, 64, 1000)})
    at = [(arena._offsets[name], words) for name, words in arena._geometry.regions.items()]
    assert [len(arena.region(name)) for name in arena._geometry.regions] == [words for _, words in at]
    assert [start % 64 for start, _ in at] == [0] * len(at)
    assert all(start + 8 * words <= following for (start, words), (following, _) in pairwise(at))
    assert at[-1][0] + 8 * at[-1][1] <= Path(arena.path).stat().st_size


def test_a_region_that_is_not_there_is_named(attach: Attach) -> None:
    """The error says what was asked for and what there is."""
    with pytest.raises(KeyError, match="no region 'guard web'; there are: guard cart, guard db"):
        attach().region("guard web")


def test_words_outlive_the_place(attach: Attach) -> None:
    """After `close` the memory is still there for whoever holds it: a call in flight may end late."""
    arena, other = attach(), attach()
    words = arena.region("guard db")
    arena.close()
    words[3] = 9
    assert other.region("guard db")[3] == 9


def test_words_outlive_all_processes(attach: Attach) -> None:
    """Who attaches when everybody has left finds what they left."""
    arena = attach()
    arena.region("guard db")[0] = 7
    arena.close()
    assert attach().region("guard db")[0] == 7


def test_every_process_has_a_place_of_its_own(attach: Attach) -> None:
    """As many as there are places, and no more; the refusal says what to do."""
    arenas = [attach() for _ in range(WORKERS)]
    assert sorted(arena.worker for arena in arenas) == list(range(WORKERS))
    with pytest.raises(ArenaFull, match=r"all 4 places of .* are taken: stop a process, or raise `workers`"):
        attach()
    arenas[2].close()
    assert attach().worker == arenas[2].worker


def test_a_place_that_nobody_left_behind_is_taken_first(attach: Attach) -> None:
    """What a dead process held is better given back by somebody who looks for it."""
    attach()
    gone = attach()
    gone.close()
    assert attach().worker not in {0, gone.worker}


def test_members_are_those_that_live(attach: Attach) -> None:
    """By place, with process id, role and since when."""
    one, other = attach(role="steers"), attach()
    assert [(member.slot, member.pid, member.role) for member in other.members()] == [
        (one.worker, os.getpid(), "steers"),
        (other.worker, os.getpid(), "follows"),
    ]
    assert one.members()[0].since <= one.members()[1].since
    one.close()
    assert [member.slot for member in other.members()] == [other.worker]
    assert [other.alive(slot) for slot in range(WORKERS)] == [False, True, False, False]


def test_one_steers(attach: Attach) -> None:
    """A second one that would is refused, told by whom, and takes no place; after the first it may."""
    first, follower = attach(role="steers"), attach()
    with pytest.raises(ArenaBusy, match=f"is steered by process {os.getpid()} already"):
        attach(role="steers")
    assert len(follower.members()) == 2
    first.close()
    assert attach(role="steers").worker not in {first.worker, follower.worker}


def test_the_dead_are_told_to_one(attach: Attach) -> None:
    """And to the next one, when that one dies before it has vacated the place."""
    gone, one, other = attach(), attach(), attach()
    gone.close()
    assert one.dead() == [gone.worker]
    assert (one.dead(), other.dead()) == ([], [])
    one.close()
    assert sorted(other.dead()) == [gone.worker, one.worker]
    other.vacate(gone.worker)
    other.vacate(one.worker)
    assert other.dead() == []


def test_a_dead_one_that_steered_is_in_nobodys_way(attach: Attach) -> None:
    """While a survivor clears up after it, its successor attaches, and nobody takes its place."""
    first, follower = attach(role="steers"), attach()
    first.close()
    assert follower.dead() == [first.worker]
    assert [member.role for member in follower.members()] == ["follows"]
    assert not follower.alive(first.worker)
    assert attach(role="steers").worker != first.worker


def test_a_place_is_vacated_by_whom_it_was_told(attach: Attach) -> None:
    """Nobody frees a living process's place, its own, one that does not exist, or the same one twice."""
    one, other, gone = attach(), attach(), attach()
    gone.close()
    for worker in (one.worker, other.worker, gone.worker, WORKERS, -1):
        with pytest.raises(ValueError, match=f"place {worker} is not this process's to vacate"):
            one.vacate(worker)
    assert one.dead() == [gone.worker]
    one.vacate(gone.worker)
    with pytest.raises(ValueError, match="`dead` did not name it"):
        one.vacate(gone.worker)
    assert {member.slot for member in other.members()} == {one.worker, other.worker}


def test_exclusive_is_exclusive(attach: Attach, path: Path) -> None:
    """While one is inside, nobody enters or attaches; those outside wait and then may."""
    one, other = attach(), attach()
    order: list[str] = []
    started = threading.Event()

    def enter() -> None:
        started.set()
        with other.exclusive():
            order.append("other")

    thread = threading.Thread(target=enter)
    with one.exclusive():
        thread.start()
        assert started.wait(10)
        thread.join(0.05)
        order.append("one")
    thread.join(10)
    assert order == ["one", "other"]


def test_who_holds_on_is_not_waited_for_forever(attach: Attach, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is stopped while it lays out makes the others say so, not hang."""
    monkeypatch.setattr(places, "EXCLUSIVE_S", 0.02)
    one, other = attach(), attach()
    with one.exclusive():
        with pytest.raises(ArenaError, match=r"held by another process for 0\.02 s: is one stopped"), other.exclusive():
            pass
        with pytest.raises(ArenaError, match="held by another process"):
            attach()
    assert attach().is_attached


def test_who_has_left_touches_nothing(attach: Attach) -> None:
    """After `close`, which may be repeated, there is nobody to ring, to claim or to see, and no lock to take."""
    arena, gone = attach(), attach()
    gone.close()
    arena.close()
    arena.close()
    arena.ring()
    assert (arena.dead(), arena.members(), arena.alive(arena.worker)) == ([], [], False)
    with pytest.raises(ArenaError, match="was left by this process"), arena.exclusive():
        pass


def test_leaving_gives_all_descriptors_back(attach: Attach) -> None:
    """Attaching and leaving, or being refused, many times leaves as many open files as before, mappings apart."""
    attach()
    steering = attach(role="steers")
    steering.ring()
    before = descriptors()
    for _ in range(20):
        arena = Arena.attach(steering.path, REGIONS, workers=WORKERS)
        arena.ring()
        arena.close()
        del arena
        with pytest.raises(ArenaBusy):
            Arena.attach(steering.path, REGIONS, workers=WORKERS, role="steers")
    assert descriptors() == before


@pytest.mark.parametrize(
    ("workers", "regions", "role", "message"),
    [
        (0, REGIONS, "follows", "workers must be between 1 and 64, not 0"),
        (65, REGIONS, "follows", "workers must be between 1 and 64, not 65"),
        (4, {"guard cart": 0}, "follows", "region 'guard cart' must have at least 1 word, not 0"),
        (4, REGIONS, "", "role must be 1 to 16 ASCII characters, not ''"),
        (4, REGIONS, "a" * 17, "role must be 1 to 16 ASCII characters"),
        (4, REGIONS, "führt", "role must be 1 to 16 ASCII characters, not 'führt'"),
    ],
)
def test_what_no_arena_can_have_is_refused(
    path: Path, workers: int, regions: dict[str, int], role: str, message: str
) -> None:
    """The message names the argument, the value and what would be right; no file is made."""
    with pytest.raises(ValueError, match=message):
        Arena.attach(str(path), regions, workers=workers, role=role)
    assert not path.exists()
