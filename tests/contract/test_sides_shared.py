"""Side orders across processes: one orders, all follow, one of them tells that it took effect."""

import mmap
import multiprocessing
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from controlplane._native.guard import (
    EFFECTIVE,
    PART_CAP_RETRIES,
    PART_FAIL_OVER,
    PART_SHED,
    PART_TIGHTEN,
    SHED,
    SHEDDABLE,
    Guard,
    Permit,
)
from tests.native.traffic import MILLISECOND, SECOND, drain

WORKERS = 3
CALLS = 400
SITES = [(1, 0, 0), (1, 1, 0)]
LEASE_NS = 600 * SECOND


def attached(path: str, worker: int) -> Guard:
    """The guard in the file, by that place."""
    with Path(path).open("r+b") as file:
        memory = memoryview(mmap.mmap(file.fileno(), 0)).cast("q")
    return Guard(
        endpoints=2, sites=SITES, memory=memory, worker=worker, workers=WORKERS, seed=11, retry_floor_per_s=1_000_000
    )


def follow(path: str, worker: int, barrier: Barrier, results: "multiprocessing.Queue[tuple[int, ...]]") -> None:
    """Make calls of little importance, retry each, and count what became of them."""
    guard = attached(path, worker)
    barrier.wait()
    shed = stood_by = retries = hurried = 0
    for _ in range(CALLS):
        answer = guard.try_acquire_for(SHEDDABLE, None)
        if isinstance(answer, Permit):
            stood_by += answer.endpoint == 1
            hurried += guard.deadline_ns() == MILLISECOND
            answer.cancel()
        else:
            shed += answer.reason == SHED
        again = guard.try_again(-1)
        retries += isinstance(again, Permit)
        if isinstance(again, Permit):
            again.cancel()
    results.put((shed, stood_by, retries, hurried))


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A file for one guard."""
    made = tmp_path / "guard"
    made.write_bytes(bytes(8 * Guard.words(2, WORKERS)))
    return str(made)


def test_what_one_process_orders_all_follow(path: str) -> None:
    """Each sheds an even half of its own calls; the cap is one for all of them; each order took effect once."""
    first = attached(path, 0)
    first.shed(0, 50, LEASE_NS, 41)
    first.cap_retries(10, LEASE_NS, 42)
    first.tighten(MILLISECOND, LEASE_NS, 43)
    first.fail_over(100, LEASE_NS, 44)
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(WORKERS - 1), context.Queue()
    processes = [context.Process(target=follow, args=(path, worker, barrier, results)) for worker in range(1, WORKERS)]
    for process in processes:
        process.start()
    told = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(timeout=60)
    admitted = sum(CALLS - shed for shed, *_ in told)
    assert [shed for shed, *_ in told] == [CALLS // 2] * len(told)
    assert sum(stood_by for _, stood_by, *_ in told) == admitted
    assert admitted * 10 // 100 - 1 <= sum(retries for *_, retries, _ in told) <= admitted * 10 // 100
    assert sum(hurried for *_, hurried in told) == admitted
    effective = [(row.a, row.b) for row in drain(first) if row.kind == EFFECTIVE]
    assert sorted(effective) == [
        (41, PART_SHED), (42, PART_CAP_RETRIES), (43, PART_TIGHTEN), (44, PART_FAIL_OVER)
    ]  # fmt: skip


def test_who_attaches_later_follows_too_and_so_does_who_leaves(path: str) -> None:
    """The orders are in the words; a private copy keeps them until their leases end."""
    one = attached(path, 0)
    one.shed(0, 100, LEASE_NS, 0)
    one.cap_retries(0, LEASE_NS, 0)
    other = attached(path, 1)
    assert not other.try_acquire()
    assert not other.may_retry()
    other.leave()
    one.restore(-1)
    assert one.try_acquire()
    assert not other.try_acquire()
    assert other.describe()["shed"] == 100
