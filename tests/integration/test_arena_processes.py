"""What only real processes can do to an arena: die in the middle, fork, come all at once, wake one another."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from controlplane._native.guard import Guard
from controlplane.adapters.arena import Arena
from controlplane.model.errors import ArenaBusy
from tests.integration.process import wait_for

pytestmark = pytest.mark.integration

WORKERS = 4
HELD = 3
REGIONS = {"guard": Guard.words(0, WORKERS), "scratch": 8}

PROGRAM = """
import os, random, sys, threading
import anyio
from controlplane._native.guard import Guard
from controlplane.adapters.arena import Arena
from controlplane.model.errors import ArenaError

WORKERS, HELD = 4, 3
REGIONS = {"guard": Guard.words(0, WORKERS), "scratch": 8}
path, what, *rest = sys.argv[1:]

def attach(**options):
    return Arena.attach(path, REGIONS, workers=WORKERS, **options)

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def until_told():
    sys.stdin.readline()

def hold():
    arena = attach(role="steers")
    with arena.exclusive():
        guard = Guard(memory=arena.region("guard"), worker=arena.worker, workers=WORKERS, concurrency_max=HELD)
    permits = [guard.try_acquire() for _ in range(HELD)]
    say(arena.worker, *map(bool, permits))
    until_told()

def exclude():
    arena = attach()
    with arena.exclusive():
        say(arena.worker)
        until_told()

def join():
    until_told()
    try:
        arena = attach(role=rest[0])
    except ArenaError as error:
        say(type(error).__name__)
    else:
        say(arena.worker)
        until_told()

def fork():
    arena = attach()
    arena.on_fork.append(lambda: say("forked", arena.is_attached, arena.members(), arena.dead()))
    if (child := os.fork()):
        say("parent", child)
    until_told()

def fork_amid_attaching():
    ending = threading.Event()
    def attach_again_and_again():
        while not ending.is_set():
            attach().close()
    thread = threading.Thread(target=attach_again_and_again)
    thread.start()
    for _ in range(20):
        if not os.fork():
            until_told()
            os._exit(0)
    ending.set()
    thread.join()
    say("forked")
    until_told()

def churn():
    say("ready")
    while True:
        try:
            arena = Arena.attach(path, {"guard": random.choice([10, 5000])}, workers=WORKERS)
        except ArenaError:
            continue
        for slot in arena.dead():
            arena.vacate(slot)
        arena.ring()
        arena.close()

def listen():
    arena = attach()
    async def main():
        say(arena.worker)
        for turn in range(3):
            await arena.wait_rung()
            arena.hush()
            say("rung", turn)
    anyio.run(main, backend=rest[0], backend_options={"use_uvloop": True} if rest[1:] else {})

globals()[what]()
"""


class Process:
    """One that runs a function of PROGRAM and is spoken to by lines."""

    def __init__(self, path: Path, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(path), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid

    def line(self) -> str:
        """The next one that it says."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def tell(self) -> None:
        """Let it go on."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        """As nobody can prevent."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def close(self) -> None:
        """It is gone, and so is every child that waits for a line."""
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()


Start = Callable[..., Process]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of the arena."""
    return tmp_path / "arena"


@pytest.fixture
def start(path: Path) -> Iterator[Start]:
    """Start a process that attaches the arena; none is left afterwards."""
    started: list[Process] = []

    def start(*arguments: str) -> Process:
        started.append(Process(path, *arguments))
        return started[-1]

    yield start
    for process in started:
        process.close()


@pytest.fixture
def arena(path: Path) -> Iterator[Arena]:
    """This process's place in it."""
    arena = Arena.attach(str(path), REGIONS, workers=WORKERS)
    yield arena
    arena.close()


def test_what_a_killed_process_held_is_given_back(arena: Arena, start: Start) -> None:
    """Its permits count until a survivor is told of it, and then no more; its place can be taken again."""
    guard = Guard(memory=arena.region("guard"), worker=arena.worker, workers=WORKERS, concurrency_max=HELD)
    holding = start("hold")
    place, *admitted = holding.line().split()
    assert admitted == ["True"] * HELD
    assert (guard.in_flight, bool(guard.try_acquire()), arena.dead()) == (HELD, False, [])
    holding.kill()
    assert guard.in_flight == HELD
    assert arena.dead() == [int(place)]
    guard.reclaim(int(place))
    arena.vacate(int(place))
    assert guard.in_flight == 0
    assert [bool(permit) for permit in [guard.try_acquire() for _ in range(HELD)]] == [True] * HELD


def test_a_killed_steerer_has_a_successor_at_once(arena: Arena, start: Start) -> None:
    """The kernel tells that it is gone; nothing has to expire, nobody has to clear up first."""
    first = start("hold")
    first.line()
    second = start("join", "steers")
    second.tell()
    assert second.line() == "ArenaBusy"
    first.kill()
    third = start("join", "steers")
    third.tell()
    third.line()
    assert [member.pid for member in arena.members() if member.role == "steers"] == [third.pid]
    with pytest.raises(ArenaBusy, match=f"is steered by process {third.pid} already"):
        Arena.attach(arena.path, REGIONS, workers=WORKERS, role="steers")


def test_who_is_killed_while_it_excludes_the_others_excludes_them_no_more(arena: Arena, start: Start) -> None:
    """The lock was the kernel's."""
    excluding = start("exclude")
    place = int(excluding.line())
    excluding.kill()
    with arena.exclusive():
        assert arena.dead() == [place]


@pytest.mark.parametrize(("role", "attached"), [("follows", WORKERS), ("steers", 1)])
def test_of_many_that_come_at_once_each_has_a_place_or_a_reason(
    path: Path, start: Start, role: str, attached: int
) -> None:
    """The first lays the file out, no two have one place, no two steer."""
    processes = [start("join", role) for _ in range(6)]
    for process in processes:
        process.tell()
    answers = [process.line() for process in processes]
    places = [int(answer) for answer in answers if answer.isdigit()]
    assert len(places) == len(set(places)) == attached
    refused = {answer for answer in answers if not answer.isdigit()}
    assert refused == {"ArenaFull" if role == "follows" else "ArenaBusy"}


def test_the_child_of_a_fork_has_no_place(arena: Arena, start: Start) -> None:
    """It is told so; the place is its parent's alone, and dead with it although the child lives on."""
    parent = start("fork")
    said = {parent.line(), parent.line()}
    assert "forked False [] []" in said
    assert parent.pid in {member.pid for member in arena.members()}
    child = next(int(line.split()[1]) for line in said if line.startswith("parent"))
    parent.kill()
    assert Path(f"/proc/{child}").exists()
    assert len(arena.dead()) == 1
    assert [member.slot for member in arena.members()] == [arena.worker]


def test_a_fork_amid_attaching_keeps_no_place(arena: Arena, start: Start) -> None:
    """Of children that were born while another thread attached, none holds what that thread has given up."""
    forking = start("fork_amid_attaching")
    assert forking.line() == "forked"
    wait_for("every child has run", lambda: len(arena.members()) == 1)


def test_killed_at_any_moment_they_leave_nothing_in_the_way(path: Path, start: Start) -> None:
    """Processes that attach, lay out, replace and leave without pause, killed one by one: whoever comes can attach."""
    living = [start("churn") for _ in range(2)]
    for turn in range(8):
        oldest = living.pop(0)
        assert oldest.line() == "ready"
        time.sleep(0.013 * turn)  # real time: another process is interrupted wherever it is
        oldest.kill()
        living.append(start("churn"))
    for process in living:
        process.kill()
    arena = Arena.attach(str(path), REGIONS, workers=WORKERS)
    assert arena.region("scratch").tolist() == [0] * 8
    assert [member.slot for member in arena.members()] == [arena.worker]
    arena.close()


@pytest.mark.parametrize("loop", ["trio", "asyncio", "asyncio uvloop"])
def test_a_ring_reaches_another_process_on_every_loop(arena: Arena, start: Start, loop: str) -> None:
    """Each time that it waits."""
    listening = start("listen", *loop.split())
    listening.line()
    for turn in range(3):
        arena.ring()
        assert listening.line() == f"rung {turn}"


def test_a_ring_for_the_dead_is_no_error(arena: Arena, start: Start) -> None:
    """Between its death and its being found dead there is nobody to wake."""
    listening = start("listen", "asyncio")
    listening.line()
    arena.ring()
    assert listening.line() == "rung 0"
    listening.kill()
    for _ in range(70_000):
        arena.ring()
    assert wait_for("it is found dead", arena.dead)
