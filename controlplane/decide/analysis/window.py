"""Signals of services and edges over a stretch of time: what an analysis reads, recorded or live."""

import msgspec
import numpy as np
from numpy.typing import NDArray

from controlplane.model.recording import EdgeSignal, Metric, ServiceSignal

Floats = NDArray[np.float64]


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """T buckets of N services and E edges. NaN: nothing is known, which is never zero.

    Shapes  edges: (E, 2), caller and callee as indices of `services`; `service` signals (T, N); `edge` signals (T, E);
            soft (E,): whether the caller has a fallback.
    Units   requests and error_logs per bucket; error_ratio and saturation as shares, 0 to 1; latencies and self time in
            seconds, attempts per call, means over the bucket.
    Time    buckets before `incident_at` are normal operation; gaps between buckets are allowed.
    """

    bucket_s: float
    services: tuple[str, ...]
    edges: NDArray[np.int64]
    incident_at: int
    service: dict[ServiceSignal, Floats] = {}
    edge: dict[EdgeSignal, Floats] = {}
    entry: int | None = None
    metric: Metric | None = None
    time_s: Floats | None = None
    soft: NDArray[np.bool_] | None = None

    @property
    def buckets(self) -> int:
        """How many buckets it holds."""
        return max((len(rows) for rows in (*self.service.values(), *self.edge.values())), default=0)

    @property
    def compares(self) -> bool:
        """Whether it holds both normal operation and the incident: without one of them nothing can be said."""
        return 0 < self.incident_at < self.buckets
