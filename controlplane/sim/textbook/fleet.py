"""A policy for every edge of a mesh: made on demand, woken every ten seconds where the source says so."""

from collections.abc import Callable, Mapping
from typing import Final
from zlib import crc32

from controlplane._native.guard import now_ns
from controlplane.sim.textbook.calls import Client, Edge
from controlplane.sim.textbook.outlier import INTERVAL_NS, ConsecutiveEdge, OutlierEdge
from controlplane.sim.textbook.ratio import RatioEdge
from controlplane.sim.textbook.throttle import ThrottleEdge

POLICIES: Final[Mapping[str, type[Edge]]] = {
    "plain": Edge,
    "consecutive_5xx": ConsecutiveEdge,
    "ratio_breaker": RatioEdge,
    "envoy_outlier": OutlierEdge,
    "adaptive_throttling": ThrottleEdge,
}
"""By the names that tables and plots use. `plain` protects nothing: what the others are worth is seen beside it."""


class Fleet:
    """One textbook policy at every edge. `client` tells of (caller, callee) what its client is told of the mesh."""

    rung = False  # nothing happens here between two sweeps that anybody would have to be woken for

    def __init__(
        self, policy: str, client: Callable[[str, str], Client], *, seed: int, clock: Callable[[], int] = now_ns
    ) -> None:
        self.name = policy
        self._make, self._client, self._clock, self._seed = POLICIES[policy], client, clock, seed
        self._edges: dict[tuple[str, str], Edge] = {}
        self._sweeping: list[ConsecutiveEdge] = []
        self._sweep_at = clock() + INTERVAL_NS

    def edge(self, caller: str, callee: str) -> Edge:
        """That edge's policy."""
        edge = self._edges.get((caller, callee))
        if edge is None:
            seed = self._seed ^ crc32(f"{caller} {callee}".encode())
            edge = self._edges[caller, callee] = self._make(self._client(caller, callee), self._clock, seed)
            if isinstance(edge, ConsecutiveEdge):
                self._sweeping.append(edge)
        return edge

    def wake_at(self) -> int | None:
        """When the next sweep is; None: there is none."""
        return self._sweep_at if self._sweeping else None

    def wake(self, now: int) -> None:
        """Sweep, where it is time."""
        while now >= self._sweep_at:
            for edge in self._sweeping:
                edge.sweep(now)
            self._sweep_at += INTERVAL_NS
