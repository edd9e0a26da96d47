"""The system's clocks."""

import time
from pathlib import Path

from controlplane.model.unit import SECOND, Nanos

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class SystemClock:
    """Time of this machine. Monotonic times of two clocks compare exactly when their `boot()` is equal."""

    def __init__(self) -> None:
        self._boot = _boot()

    def now(self) -> Nanos:
        """CLOCK_MONOTONIC, nanoseconds: the clock that the native guards read."""
        return Nanos(time.clock_gettime_ns(time.CLOCK_MONOTONIC))

    def wall_ns(self) -> int:
        """Unix time in nanoseconds, for people only: it may step."""
        return time.time_ns()

    def boot(self) -> str:
        """Identity of this boot, the same in every process of it."""
        return self._boot


def _boot(source: Path = _BOOT_ID) -> str:
    """The kernel's own boot id; without one, the minute in which this machine booted.

    The minute is reckoned from the wall clock, so a restart after that clock was set, or across the edge of a minute,
    looks like another boot. That errs on the safe side: the engine then reckons leases by the wall clock, and never
    longer. The opposite mistake would need two boots within one minute.
    """
    try:
        identity = source.read_text(encoding="ascii").strip()
    except OSError:
        identity = ""
    if identity:
        return identity
    booted_ns = time.time_ns() - time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    return f"booted-minute-{round(booted_ns / (60 * SECOND))}"
