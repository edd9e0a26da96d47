"""How long something took, counted so that a monitoring system can make quantiles of it over any number of planes."""

import bisect

import msgspec

from controlplane.model.unit import to_nanos

BOUNDS_S = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0,
    1800.0, 3600.0,
)  # fmt: skip
"""From a reflex to an outage of an hour; what lasts longer counts beyond the last one."""

_BOUNDS_NS = [to_nanos(bound) for bound in BOUNDS_S]


class Tally(msgspec.Struct):
    """`counts[i]` values were at most BOUNDS_S[i] and above the bound before; the last count is of those beyond all."""

    counts: list[int] = msgspec.field(default_factory=lambda: [0] * (len(BOUNDS_S) + 1))
    total_ns: int = 0

    def add(self, taken_ns: int) -> None:
        """Count one value."""
        self.counts[bisect.bisect_left(_BOUNDS_NS, taken_ns)] += 1
        self.total_ns += taken_ns
