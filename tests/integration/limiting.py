"""A process of test_shared_limit.py: takes from limits in a mapped file as fast as it can, and notes every admission.

Arguments: the file of words; where to note; seconds; slots of a table of keys, 0 for one limit; keys in all.
"""

import mmap
import sys
import time
from array import array
from pathlib import Path

from controlplane._native.guard import now_ns
from controlplane._native.limiter import KeyedRateLimiter, RateLimiter

INTERVAL_NS, BURST = 1_000_000, 10


def attach(path: Path, slots: int) -> RateLimiter | KeyedRateLimiter:
    """The limiter in the file: one limit with a burst, or keys without one."""
    with path.open("r+b") as file:
        memory = memoryview(mmap.mmap(file.fileno(), 0)).cast("q")
    if slots:
        return KeyedRateLimiter(INTERVAL_NS, 1, slots=slots, memory=memory)
    return RateLimiter(INTERVAL_NS, BURST, memory=memory)


def main(path: str, out: str, seconds: float, slots: int, keys: int) -> None:
    """Hammer; a row of the notes is: time before the call, time after it, key."""
    limiter = attach(Path(path), slots)
    with Path(out).open("wb", buffering=0) as notes:
        until = now_ns() + int(seconds * 1e9)
        turn = 0
        while (before := now_ns()) < until:
            turn += 1
            key = turn % keys
            admitted = limiter.try_acquire(key) if isinstance(limiter, KeyedRateLimiter) else limiter.try_acquire()
            if admitted:
                notes.write(array("q", [before, now_ns(), key]).tobytes())
            elif not turn % 1_000:
                time.sleep(0)  # two cores for four of us


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
