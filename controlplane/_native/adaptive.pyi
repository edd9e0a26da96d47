"""A concurrency limit that adapts to what the service bears."""

from typing import Self, final

from typing_extensions import Buffer

@final
class AdaptiveLimit:
    """How many calls a service can bear at a time, learned from how they end.

    Units   limits in whole calls; `window_ns`, `check_ns` and all times in nanoseconds of one monotonic clock;
            `slack_percent` of the limit's square root may wait, and one call more.
    Raises  ValueError or TypeError that names the argument, when one is out of bounds or `memory` holds something else.
    Source  docs/concepts/adaptive-concurrency.md
    """

    def __new__(
        cls,
        now_ns: int,
        *,
        limit_min: int = 1,
        limit_max: int = 1000,
        limit_initial: int = 20,
        window_ns: int = 100_000_000,
        samples_min: int = 48,
        slack_percent: int = 150,
        check_ns: int = 10_000_000_000,
        memory: Buffer | None = None,
    ) -> Self: ...
    @property
    def limit(self) -> int: ...
    @staticmethod
    def words() -> int:
        """How many int64 `memory` must hold; fresh memory is all zeros and begins at a multiple of 64 bytes."""
    def learn(self, start_ns: int, now_ns: int, latency_ns: int, outcome: int, in_flight: int, /) -> None:
        """Take in how a call ended: 0 success, 1 error, 2 timeout, 3 overload, 4 stalled; it is one of `in_flight`."""
    def retune(
        self,
        *,
        limit_min: int | None = None,
        limit_max: int | None = None,
        limit_initial: int | None = None,
        window_ns: int | None = None,
        samples_min: int | None = None,
        slack_percent: int | None = None,
        check_ns: int | None = None,
    ) -> None:
        """Change what is named; what was learned stays, and the limit comes between the new bounds."""
    def describe(self) -> dict[str, int]:
        """Limit, latency without a queue and of the last window; windows judged, cuts by calls in vain, rises."""
