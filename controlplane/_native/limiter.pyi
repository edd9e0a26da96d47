"""Rate limiters of their own: one limit, or one for each key."""

from typing import Literal, Self, final

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

        Who is refused stays refused unless the burst grows; the wait becomes as many of the new intervals, and a full
        burst at most. Of processes that share memory only one may retune at a time; the others go on taking.
        """
    @property
    def interval_ns(self) -> int: ...
    @property
    def burst(self) -> int: ...

@final
class KeyedRateLimiter:
    """One limit for each key, as `RateLimiter` has it, in a table that never grows.

    A key that owes nothing needs no slot. A set of eight slots that all owe something has no room for another key: that
    is refused, or admitted unlimited when `on_full` is "admit"; the keys that have a slot are not touched. Keys are
    told apart by a secret 64-bit hash: any two are taken for one with a chance of 2**-64 (with fewer than 2**16 sets,
    2**-48 divided by the number of sets), and then share a limit. A str, bytes and an int are never the same key.

    Units   slots 8 to 2**30, rounded up to a power of two; 16 bytes each.
    Raises  as RateLimiter; ValueError when `memory` holds a table of another size.
    Source  _native/keyed.h
    """

    def __new__(
        cls,
        interval_ns: int,
        burst: int,
        *,
        slots: int,
        on_full: Literal["refuse", "admit"] = "refuse",
        memory: Buffer | None = None,
    ) -> Self: ...
    @staticmethod
    def words(slots: int, /) -> int:
        """Words of int64 that `memory` must hold. All zero means fresh."""
    def try_acquire(self, key: str | bytes | int, /) -> bool:
        """Take one call of `key`: True, or False and nothing is taken. An int key has at most 64 bits."""
    def acquire_wait_ns(self, key: str | bytes | int, /) -> int:
        """Take one call of `key`: 0, or after how many nanoseconds there would be one, and nothing is taken."""
    def wait_ns(self, key: str | bytes | int, /) -> int:
        """After how many nanoseconds a call of `key` would have room; takes nothing."""
    def retune(self, interval_ns: int, burst: int, /) -> None:
        """Put other terms in force, with calls under way; as `RateLimiter.retune`. Takes time for every slot."""
    def statistics(self) -> dict[str, int]:
        """`slots`; `live`: slots in debt now; `full`: calls that found no room. Looks at every slot."""
    @property
    def interval_ns(self) -> int: ...
    @property
    def burst(self) -> int: ...
