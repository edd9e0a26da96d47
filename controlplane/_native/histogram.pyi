"""HDR recorder over a flat int64 buffer; bucket for bucket the layout of HdrHistogram."""

from typing import Self, final

from typing_extensions import Buffer

@final
class Histogram:
    """Counts of integer values between `lowest` and `highest`, to `digits` significant decimal digits.

    A value is known to its bucket: values below 2 x 10^digits x `lowest` to within `lowest` (rounded down to a power of
    two), larger ones to one part in 10^digits. Every figure is read from the buckets, so it is exact to that and no
    more: a maximum is the highest value of its bucket, a mean takes each bucket's middle. Figures cost about a
    nanosecond a bucket; what must agree with each other is read from one `snapshot()` while others record.

    With `memory` (int64, writable, zeroed or laid out before by a histogram of this shape) the counts live there, and
    as many processes as map it record and read them, without a lock. Constructors on one memory must not run at once.

    Raises  ValueError when lowest < 1, highest < 2 * lowest, digits is not in 1..5, or memory is too small, begins
            inside a cache line, or holds something else. TypeError when memory does not hold int64.
    Source  HdrHistogram's bucket layout; equal to the `hdrhistogram` package bucket for bucket (property test).
    """

    def __new__(cls, lowest: int, highest: int, digits: int, *, memory: Buffer | None = None) -> Self: ...
    @staticmethod
    def words(lowest: int, highest: int, digits: int, /) -> int:
        """How many int64 words of memory a histogram of that shape needs."""
    def record(self, value: int, /) -> bool:
        """Count one value; False, and only `out_of_range` counts it, where it is negative or above the last bucket."""
    def record_times(self, value: int, times: int, /) -> bool:
        """Count one value `times` times."""
    def record_corrected(self, value: int, interval: int, /) -> bool:
        """Count a value measured while calls were intended every `interval`: also the calls that a stall hid."""
    def add(self, other: Histogram, /) -> None:
        """Merge another of the same shape. Raises ValueError where the shapes differ."""
    def add_counts(self, counts: Buffer, /) -> None:
        """Add int64 counts, one a bucket. Raises ValueError, with nothing added, at another length or below zero."""
    def move_to(self, other: Histogram, /) -> None:
        """Empty this one into another of the same shape: each value recorded meanwhile is in one of them, and once."""
    def snapshot(self) -> Histogram:
        """A copy in private memory, which nobody else changes."""
    def snapshot_and_reset(self) -> Histogram:
        """Everything recorded since the last time, moved (`move_to`) into a fresh one: an interval."""
    def reset(self) -> None:
        """Forget all counts. What is recorded meanwhile may be forgotten with them; `move_to` loses nothing."""
    @property
    def total(self) -> int:
        """Values in the buckets; those out of range are not among them."""
    @property
    def out_of_range(self) -> int: ...
    @property
    def minimum(self) -> int:
        """The lowest value of the lowest bucket that is not empty; 0 without a value."""
    @property
    def maximum(self) -> int:
        """The highest value of the highest bucket that is not empty; 0 without a value."""
    @property
    def mean(self) -> float:
        """Of the middles of the buckets; 0 without a value."""
    @property
    def deviation(self) -> float:
        """The standard deviation (of all values, not of a sample), of the middles of the buckets."""
    def quantile(self, permille: int, /) -> int:
        """The value that `permille` / 1000 of the values are at or below: `percentile`, in whole numbers."""
    def percentile(self, percent: float, /) -> int:
        """The value that `percent` % of the values are at or below, as the highest of its bucket (lowest for 0 %).

        The rank is rounded to the nearest, and is at least 1. Without a value 0.
        Raises  ValueError when percent is not between 0 and 100.
        """
    def percent_at_or_below(self, value: int, /) -> float:
        """How many % of the values are in the bucket of `value` or below it; 100 without a value."""
    def count_at(self, value: int, /) -> int:
        """Values in the bucket of `value`."""
    def count_between(self, low: int, high: int, /) -> int:
        """Values in the buckets from that of `low` to that of `high`, both included."""
    def bucket(self, value: int, /) -> tuple[int, int]:
        """(lowest, highest) value that cannot be told from `value` here. Raises ValueError where it is out of range."""
    @property
    def counts(self) -> memoryview:
        """The counts, one a bucket: live, read-only, without a copy."""
    @property
    def lowest(self) -> int: ...
    @property
    def highest(self) -> int: ...
    @property
    def digits(self) -> int: ...
