"""Whether a call leaves or takes anything: allocations per 1,000 guarded calls, counted and not guessed.

Three counters, because each is blind to something. `controlplane._native.allocations` sees every block asked of
CPython's allocators, also one that is freed within the same call; `sys.getallocatedblocks` sees what stays; the C
library's `mallinfo2` sees what native code takes with malloc() and keeps.
"""

import ctypes
import gc
import sys
from collections.abc import Callable
from itertools import repeat

from controlplane._native import allocations
from controlplane._native.guard import Guard
from controlplane.bench.entry import Row, Target

CALLS = 1_000
ROUNDS = 5
NOTHING = Target(value_max=0)
UNIT = "per 1,000 calls"


class _Mallinfo2(ctypes.Structure):
    """glibc's `struct mallinfo2`: ten size_t. uordblks: bytes handed out; hblkhd: bytes in blocks of their own."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "top",
        )
    ]


def malloc_counter() -> Callable[[], int] | None:
    """Bytes that malloc() has handed out; None where the C library cannot tell."""
    try:
        mallinfo2 = ctypes.CDLL(None).mallinfo2
    except (OSError, AttributeError):
        return None
    mallinfo2.restype = _Mallinfo2

    def held() -> int:
        info = mallinfo2()
        return int(info.uordblks) + int(info.hblkhd)

    return held


def taken(act: Callable[[], object]) -> int:
    """Blocks asked of Python's allocators during one `act`, the fewest of several: other threads may ask, too."""

    def once() -> int:
        allocations.start()
        try:
            act()
        finally:
            found = allocations.stop()
        return found

    return min(once() for _ in range(ROUNDS))


def growth(counter: Callable[[], int], act: Callable[[], object]) -> int:
    """What `counter` grew by, the least of several: growth that belongs to the calls is there every time."""

    def once() -> int:
        before = counter()
        act()
        return counter() - before

    return min(once() for _ in range(ROUNDS))


def idle() -> None:
    """The loop that calls nothing: what counting itself takes, and is taken off."""
    for _ in repeat(None, CALLS):  # a range would allocate the numbers it counts with
        pass


def rows(policy: dict[str, int]) -> list[Row]:
    """The counters as rows of the table; what is promised is nothing at all."""
    guard = Guard(endpoints=1, **policy)  # type: ignore[arg-type]

    def act() -> None:
        for _ in repeat(None, CALLS):
            guard.try_acquire().success()  # type: ignore[union-attr]

    act()
    collecting = gc.isenabled()
    gc.disable()
    try:
        asked = taken(act) - taken(idle)
        kept = growth(sys.getallocatedblocks, act) - growth(sys.getallocatedblocks, idle)
        counter = malloc_counter()
        held = growth(counter, act) - growth(counter, idle) if counter else None
    finally:
        if collecting:
            gc.enable()
    return [
        Row("allocations.fused", asked, unit=f"allocations {UNIT}", target=NOTHING),
        Row("allocations.kept", kept, unit=f"blocks {UNIT}", target=NOTHING),
        Row("allocations.malloc", held, unit=f"bytes {UNIT}", target=NOTHING)
        if held is not None
        else Row("allocations.malloc", target=NOTHING, why="not told: this C library has no mallinfo2"),
    ]
