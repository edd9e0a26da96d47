"""Rate limiters of their own: one limit, or one for each key."""

from typing import Self, final

from typing_extensions import Buffer

def set_test_clock(now_ns: int, /) -> None:
    """Tests only: from now on the limiters' clock stands at `now_ns`; -1 gives the real one back."""

@final
class RateLimiter:
    """One limit: a call each `interval_ns`, and up to `burst` at once.

    In any closed window of length T at most burst + floor(T / interval_ns) calls are admitted; a call's time is its
    reading of the monotonic clock. With `memory` the limit is one for all processes that map it; whoever comes first
    sets the terms, and those who come later find them.

    Units   interval_ns 1 to 10**15; burst 1 to 10**12, and burst * interval_ns at most 2**60.
    Raises  ValueError when `memory` is too short, not aligned to 64 bytes, or holds something else; TypeError when it
            does not hold int64.
    Source  GCRA, ITU-T I.371; _native/gcra.h
    """

    def __new__(cls, interval_ns: int, burst: int, *, memory: Buffer | None = None) -> Self: ...
    @staticmethod
    def words() -> int:
        """Words of int64 that `memory` must hold. All zero means fresh."""
    def try_acquire(self) -> bool:
        """Take one call: True, or False and nothing is taken."""
    def acquire_wait_ns(self) -> int:
        """Take one call: 0, or after how many nanoseconds there would be one, and nothing is taken."""
    def try_acquire_many(self, count: int, /) -> bool:
        """Take `count` calls at once or none. Raises ValueError when they are more than the burst: they never fit."""
    def wait_ns(self, count: int, /) -> int:
        """After how many nanoseconds `count` calls would be admitted; takes nothing."""
    def retune(self, interval_ns: int, burst: int, /) -> None:
        """Put other terms in force, with calls under way. What was taken stays taken, counted in calls.

        Who is refused stays refused unless the burst grows; the wait becomes as many of the new intervals, and a full burst
        at most. Of processes that share memory only one may retune at a time; the others go on taking.
        """
    @property
    def interval_ns(self) -> int: ...
    @property
    def burst(self) -> int: ...
