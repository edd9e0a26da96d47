"""Sequential change detection: failures and latency of many edges, each judged against what is normal there."""

from typing import Final, Self, final

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Buffer

HEALTHY: Final[int]
FAILING: Final[int]
LATE: Final[int]
SHARES: Final[tuple[float, float, float]]
FACTORS: Final[tuple[float, float, float]]

_Sums = tuple[int, int, int]

def bank(failure_share: float, false_alarm: float, /) -> tuple[float, _Sums, _Sums, _Sums]:
    """Base rate (the next of the table), what a failure and what a success move the three sums by, and their limits.

    Units   thousandths of a nat; `false_alarm` a call, shared by six sums.
    """

@final
class Detector:
    """Failures and latency of `rows` edges or endpoints, at one rate of false alarms a call.

    Each row learns what is normal from its own healthy calls, and does not learn it from an incident. Nothing here
    reads a clock: delays are in calls, at one call a minute as at 100,000 a second. Six sums a row (three sizes of
    change in the failure share, three in latency) share the false alarms. A verdict is told once; then the sums begin
    again at zero.

    Units   latency_ns in nanoseconds, below zero where unknown; false_alarm 1e-12 to 0.01 a call; sums in thousandths
            of a nat. Verdicts: HEALTHY; FAILING + 0, 1, 2: 5, 25, 80 % of the calls that succeeded fail now, whichever
            fits best; LATE + 0, 1, 2: answers take 1.5, 2, 5 times as long.
    Memory  1.8 KB a row, private or in `memory` that processes share.
    Raises  ValueError or TypeError that names the argument.
    Source  docs/concepts/detection.md
    """

    def __new__(cls, rows: int, *, false_alarm: float = 1e-6, memory: Buffer | None = None) -> Self: ...
    @staticmethod
    def words(rows: int, /) -> int:
        """How many int64 `memory` must hold; fresh memory is all zeros and begins at a multiple of 64 bytes."""
    @property
    def rows(self) -> int: ...
    def observe(self, row: int, failed: bool, latency_ns: int, /) -> int:
        """The verdict after one more call. What the control plane itself caused (a refusal, a cancelled call, a fault
        that it injected) is not to be passed here: it says nothing about the service."""
    def observe_many(
        self, row: int, failed: Buffer | NDArray[np.uint8], latency_ns: Buffer | NDArray[np.int64], /
    ) -> tuple[int, int]:
        """Take in calls in their order, up to the first verdict: its index and the verdict, or (-1, HEALTHY).

        `failed` is uint8, `latency_ns` int64, both one-dimensional and of one length; not copied.
        """
    def clear(self, row: int, /) -> None:
        """Drop what is held against the row, and the window that it was learning from; what is normal there stays."""
    def forget(self, row: int, /) -> None:
        """Drop that too: another version is behind it, or what it does now is accepted. Not while others observe it."""
    def describe(self, row: int, /) -> dict[str, object]:
        """Sums, limits, steps and what was learned, for people and tests."""
    def latency(self, row: int, /) -> list[tuple[float, int, int, int]]:
        """For each latency bin: the calls learned there, and the three steps of an answer that falls in it."""
