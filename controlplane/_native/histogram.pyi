"""HDR recorder over a flat int64 buffer; bucket for bucket the layout of HdrHistogram."""

from typing import Self, final

@final
class Histogram:
    """Counts of integer values between `lowest` and `highest`, to `digits` significant decimal digits.

    Raises  ValueError when lowest < 1, highest < 2 * lowest, or digits is not in 1..5.
    Source  HdrHistogram's bucket layout; equal to the `hdrhistogram` package bucket for bucket (property test).
    """

    def __new__(cls, lowest: int, highest: int, digits: int) -> Self: ...
    def record(self, value: int, /) -> int:
        """Count one value; returns 0 and counts nothing where it is out of range (see `out_of_range`)."""
    def record_corrected(self, value: int, interval: int, /) -> int:
        """Count a value measured while calls were intended every `interval`: also the calls that a stall hid."""
    def quantile(self, permille: int, /) -> int: ...
    @property
    def total(self) -> int: ...
    @property
    def maximum(self) -> int: ...
    @property
    def out_of_range(self) -> int: ...
    @property
    def counts(self) -> memoryview: ...
    @property
    def lowest(self) -> int: ...
    @property
    def highest(self) -> int: ...
    @property
    def digits(self) -> int: ...
    def add(self, other: Histogram, /) -> None:
        """Merge another of the same shape. Raises ValueError where the shapes differ."""
    def reset(self) -> None: ...
