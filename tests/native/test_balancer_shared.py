"""One set of endpoints under several balancers: in one process, in two, and after one of them was killed."""

import gc
import mmap
import os
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controlplane._native.balancer import Balancer

ROOT = Path(__file__).parent.parent.parent
EQUALS = [(1, 0, 0)] * 4
PEER = """
import mmap, sys
from controlplane._native.balancer import Balancer
with open(sys.argv[1], "r+b") as file:
    memory = memoryview(mmap.mmap(file.fileno(), 0)).cast("q")
balancer = Balancer([(1, 0, 0)] * 4, memory=memory, worker=1, workers=2, seed=9, ejected_percent_max=50)
for line in sys.stdin:
    word, *numbers = line.split()
    if word == "picks":
        held = [balancer.pick() for _ in range(int(numbers[0]))]
        print(*(held.count(k) for k in range(4)), flush=True)
    elif word == "churn":
        for _ in range(int(numbers[0])):
            balancer.done(balancer.pick(), 1000)
        print("done", flush=True)
    elif word == "eject":
        print(balancer.eject(int(numbers[0]), 1 << 61), flush=True)
"""


class Pages(mmap.mmap):
    """Memory that knows who uses it."""

    balancer: Balancer


def fresh(endpoints: int = 4, workers: int = 2) -> memoryview:
    """Zeroed memory for so many."""
    return memoryview(mmap.mmap(-1, 8 * Balancer.words(endpoints, workers))).cast("q")


class Peer:
    """Worker 1, in a process of its own."""

    def __init__(self, path: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PEER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip

    def tell(self, *words: object) -> None:
        """Give an order."""
        assert self.process.stdin
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()

    def ask(self, *words: object) -> list[str]:
        """Give an order and wait for its answer."""
        self.tell(*words)
        assert self.process.stdout
        return self.process.stdout.readline().split()


@pytest.fixture
def shared() -> Iterator[tuple[Balancer, Peer]]:
    """Worker 0 here and worker 1 elsewhere, over one file."""
    with tempfile.TemporaryFile(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as file:
        file.truncate(8 * Balancer.words(4, 2))
        memory = memoryview(mmap.mmap(file.fileno(), 0)).cast("q")
        here = Balancer(EQUALS, memory=memory, workers=2, ejected_percent_max=50)
        peer = Peer(f"/proc/{os.getpid()}/fd/{file.fileno()}")
        try:
            yield here, peer
        finally:
            peer.process.kill()
            peer.process.communicate()


def test_each_process_avoids_the_load_of_the_other(shared: tuple[Balancer, Peer]) -> None:
    """What is in flight is one sum: here the calls go where the peer has none."""
    here, peer = shared
    held = [int(count) for count in peer.ask("picks", 400)]
    assert [here.endpoint(k)["in_flight"] for k in range(4)] == held
    mine = Counter(here.pick() for _ in range(400))
    assert all(abs(mine[k] + held[k] - 200) <= 12 for k in range(4))


def test_an_ejection_is_in_force_in_the_next_pick_of_every_process(shared: tuple[Balancer, Peer]) -> None:
    """And the cap is one for all."""
    here, peer = shared
    here.pick()
    assert peer.ask("eject", 2) == ["1"]
    assert 2 not in {here.pick() for _ in range(200)}
    assert here.eject(0, 1 << 61) == 1
    assert peer.ask("eject", 1) == ["0"]
    assert here.eject(3, 1 << 61) == 0
    counts = peer.ask("picks", 200)
    assert counts[0] == counts[2] == "0"


def test_a_killed_process_gives_its_calls_back(shared: tuple[Balancer, Peer]) -> None:
    """`reclaim` forgets its calls and nobody else's; twice is as good as once."""
    here, peer = shared
    peer.ask("picks", 50)
    peer.tell("churn", 10_000_000)
    mine = [here.pick() for _ in range(8)]
    peer.process.send_signal(signal.SIGKILL)
    peer.process.wait(10)
    for _ in range(2):
        here.reclaim(1)
        assert here.describe()["in_flight"] == 8
    for endpoint in mine:
        assert here.done(endpoint, 1_000) == 1
    with pytest.raises(ValueError, match="worker 0 is this process itself"):
        here.reclaim(0)


def test_two_processes_lose_no_count(shared: tuple[Balancer, Peer]) -> None:
    """Both pick and end at once, 200,000 times each: in the end nothing is in flight."""
    here, peer = shared
    peer.ask("picks", 0)  # it runs
    peer.tell("churn", 200_000)
    for _ in range(200_000):
        here.done(here.pick(), 1_000)
    assert peer.process.stdout
    assert peer.process.stdout.readline() == "done\n"
    assert here.describe()["in_flight"] == 0


def test_threads_of_one_process_lose_no_count() -> None:
    """Four threads over one balancer, with tables rebuilt under them."""
    balancer = Balancer(EQUALS)
    seen = Counter[int]()

    def live(number: int) -> None:
        for index in range(5_000):
            endpoint = balancer.pick()
            if index % 50 == 0:
                balancer.set_weight(endpoint, 1 + index % 9)
            seen[number] += balancer.done(endpoint, 1_000)

    threads = [threading.Thread(target=live, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert dict(seen) == dict.fromkeys(range(4), 5_000)
    assert balancer.describe()["in_flight"] == 0


def test_who_comes_later_finds_what_is_there() -> None:
    """Weights, orders and ejections are those of the memory; seed and policy are each process's own."""
    memory = fresh()
    first = Balancer(EQUALS, memory=memory, workers=2)
    first.set_weight(1, 7)
    first.eject(0, 1 << 61)
    second = Balancer(EQUALS, memory=memory, worker=1, workers=2)
    assert second.endpoint(1)["weight"] == 7
    assert second.endpoint(0)["until_ns"] == 1 << 61
    assert list(second.table) == list(first.table)


@pytest.mark.parametrize(
    ("sites", "workers"),
    [(EQUALS[:3], 2), (EQUALS, 1), ([(1, 1, 0), *EQUALS[1:]], 2), ([(1, 0, 3), *EQUALS[1:]], 2)],
)
def test_another_geometry_is_refused(sites: list[tuple[int, int, int]], workers: int) -> None:
    """Other endpoints, priorities, localities or workers; the memory stays as it was."""
    memory = fresh()
    Balancer(EQUALS, memory=memory, workers=2).set_weight(0, 3)
    before = bytes(memory)
    with pytest.raises(ValueError, match=r"memory holds number \d+, not \d+: a balancer of \d endpoints"):
        Balancer(sites, memory=memory, workers=workers)
    assert bytes(memory) == before


def test_memory_that_does_not_fit_is_refused() -> None:
    """Too short, of bytes, read-only, or across cache lines."""
    with pytest.raises(ValueError, match=r"memory must hold \d+ words, not \d+"):
        Balancer(EQUALS, memory=fresh()[:-1], workers=2)
    with pytest.raises(TypeError, match="memory must hold int64"):
        Balancer(EQUALS, memory=fresh().cast("B"), workers=2)
    with pytest.raises(ValueError, match="multiple of 64 bytes"):
        Balancer(EQUALS, memory=fresh(40)[1:], workers=2)
    with pytest.raises(BufferError):
        Balancer(EQUALS, memory=fresh().toreadonly(), workers=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sites": []}, "the number of sites must be between 1 and 4096, not 0"),
        ({"sites": [(1, 0, 0)] * 4097}, "the number of sites must be between 1 and 4096, not 4097"),
        ({"sites": [(0, 0, 0)]}, r"sites\[0\] weight must be between 1 and 100000, not 0"),
        ({"sites": [(1, 0, 0), (1, 16, 0)]}, r"sites\[1\] priority must be between 0 and 15, not 16"),
        ({"sites": [(1, 0, 256)]}, r"sites\[0\] locality must be between 0 and 255, not 256"),
        ({"sites": [(1, 0)]}, r"sites\[0\] must be \(weight, priority, locality\), not \(1, 0\)"),
        ({"workers": 65}, "workers must be between 1 and 64, not 65"),
        ({"worker": 1}, "worker must be between 0 and 0, not 1"),
        ({"overprovision_percent": 99}, "overprovision_percent must be between 100 and 1000, not 99"),
        ({"panic_percent": 101}, "panic_percent must be between 0 and 100, not 101"),
        ({"local": 256}, "local must be between 0 and 255, not 256"),
        ({"local_percent": -1}, "local_percent must be between 0 and 100, not -1"),
        ({"ejected_percent_max": 101}, "ejected_percent_max must be between 0 and 100, not 101"),
        ({"slow_start_ns": -1}, "slow_start_ns must be between 0 and 1000000000000000, not -1"),
    ],
)
def test_a_bad_argument_is_refused_by_name(arguments: dict[str, Any], message: str) -> None:
    """With its bounds and its value."""
    with pytest.raises(ValueError, match=message):
        Balancer(**{"sites": EQUALS, **arguments})


def test_bad_calls_change_nothing() -> None:
    """No such endpoint, no such number, no number at all."""
    balancer = Balancer(EQUALS)
    for bad in (-1, 4, 1 << 80):
        for act in (balancer.pick_avoiding, balancer.failed, balancer.cancelled, balancer.recovered, balancer.endpoint):
            with pytest.raises(IndexError, match="endpoint must be between 0 and 3"):
                act(bad)
        with pytest.raises(IndexError, match="endpoint must be between 0 and 3"):
            balancer.done(bad, 1)
    for set_it, low, high in (
        (balancer.set_weight, 1, 100_000), (balancer.set_percent, 0, 100), (balancer.set_usable, 0, 1),
        (balancer.eject, 0, 1 << 62), (balancer.done, 0, 1 << 62),
    ):  # fmt: skip
        for value in (low - 1, high + 1):
            with pytest.raises(ValueError, match=f"must be between {low} and {high}, not {value}"):
                set_it(0, value)
        with pytest.raises(TypeError, match="must be an int"):
            set_it(0, 1.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="seed must be an int, not str"):
        Balancer(EQUALS, seed="7")  # type: ignore[arg-type]
    assert balancer.describe() == {
        "endpoints": 4, "drawable": 4, "in_flight": 0, "load_permille": [1000], "panic": [0], "due_ns": None
    }  # fmt: skip


@pytest.mark.parametrize("garbage", [0, -1, 1 << 62, -(1 << 63)])
def test_garbage_in_shared_words_gives_odd_shares_and_no_more(garbage: int) -> None:
    """Another process may write anything: no sum overflows, no index leaves the table."""
    memory = fresh()
    balancer = Balancer(EQUALS, memory=memory, workers=2)
    for at in range(len(memory) - 24, len(memory)):
        memory[at] = garbage
    memory[1] += 1  # the version
    assert all(-1 <= balancer.pick() < 4 for _ in range(100))
    assert balancer.describe()["drawable"] <= 4


def test_its_memory_is_there_as_long_as_it_is() -> None:
    """Also in a cycle that the collector finds: it clears nothing that is in use."""
    pages = Pages(-1, 8 * Balancer.words(4, 2))
    pages.balancer = Balancer(EQUALS, memory=memoryview(pages).cast("q"), workers=2)
    found = weakref.ref(pages)
    del pages
    gc.collect()
    still = found()
    assert still is not None
    assert still.balancer.pick() >= 0
