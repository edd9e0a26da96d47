"""Timing of what takes microseconds to milliseconds: in turns, the quickest of each; caches that hold none of it."""

import gc
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

Act = Callable[[], object]

LAST_LEVEL = Path("/sys/devices/system/cpu/cpu0/cache/index3/size")
LAST_LEVEL_BYTES = 64 << 20  # where the system does not say
EMPTY_CALLS = 10_000
TURN = 5  # calls in a row: the first of them finds the caches full of what the one before it needed


def seconds(act: Act) -> float:
    """What one call takes."""
    begin = time.perf_counter()
    act()
    return time.perf_counter() - begin


def in_turns(acts: Mapping[str, Act], rounds: int) -> dict[str, float]:
    """The quickest call of each in `rounds`, in seconds; a noisy moment falls on all of them."""
    took: dict[str, list[float]] = {name: [] for name in acts}
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            for name, act in acts.items():
                took[name] += [seconds(act) for _ in range(TURN)]
    finally:
        if collecting:
            gc.enable()
    return {name: min(times) for name, times in took.items()}


def floor() -> float:
    """An empty Python call, in seconds."""

    def nothing() -> None:
        pass

    def many() -> None:
        for _ in range(EMPTY_CALLS):
            nothing()

    return min(seconds(many) for _ in range(10)) / EMPTY_CALLS


class Streamed:
    """A buffer larger than the last level of cache: after a pass over it, nothing else is in any cache."""

    def __init__(self) -> None:
        size = LAST_LEVEL_BYTES
        if LAST_LEVEL.exists() and (said := re.fullmatch(r"(\d+)([KM])", LAST_LEVEL.read_text().strip())):
            size = int(said[1]) << (10 if said[2] == "K" else 20)
        self.buffer = np.zeros(size * 5 // 4 // 8)

    def pass_over(self) -> None:
        """Evict everything."""
        self.buffer += 1.0
