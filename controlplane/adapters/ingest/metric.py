"""Metrics as a source of signals: what counters of a service graph, or of HTTP requests, added becomes edges.

Several may tell of one edge: a service graph, clients, servers. The first of CHANNELS that does is believed, and the
others about it are left out, until nothing came by that one for SILENT_NS: so nobody's calls count twice.
"""

from collections.abc import Callable, Iterable
from typing import Final

import anyio
import msgspec

from controlplane.adapters.ingest.point import Metric, Point, wrong
from controlplane.adapters.ingest.series import SERIES_MAX, SeriesTable
from controlplane.model.signal import EDGE_COUNT_MAX, EDGE_SUM_NS_MAX, EdgeSampled, Signal
from controlplane.model.unit import SECOND, Nanos
from controlplane.ports import Clock

BEAT_S: Final = 1.0
SILENT_NS: Final = 150 * SECOND  # two exports a minute apart, one of them lost
EDGES_MAX: Final = 16_384
LINGER_NS: Final = 3 * SECOND
FORGET_NS: Final = 60 * SECOND

GRAPH, HTTP_CLIENT, HTTP_SERVER = range(3)
CHANNELS: Final = {
    Metric.REQUESTS: GRAPH,
    Metric.FAILED: GRAPH,
    Metric.SERVER: GRAPH,
    Metric.CLIENT: GRAPH,
    Metric.HTTP_CLIENT: HTTP_CLIENT,
    Metric.HTTP_SERVER: HTTP_SERVER,
}


class _Edge(msgspec.Struct):
    """What was told of one edge and not passed on yet."""

    channel: int
    told_at: Nanos  # by that channel, last
    window_ns: int = 0
    requests: float = 0.0
    failed: float = 0.0
    client: float = 0.0
    client_s: float = 0.0
    server: float = 0.0
    server_s: float = 0.0


class MetricSource:
    """A `ports.SignalSource` over points of metrics. `ring` wakes the loop when there is something to tell."""

    def __init__(self, clock: Clock, *, ring: Callable[[], None], series_max: int = SERIES_MAX) -> None:
        self.points = self.wrong = self.without_place = 0
        self.series = SeriesTable(clock.wall_ns(), series_max=series_max)
        self._clock, self._ring = clock, ring
        self._edges: dict[tuple[str, str], _Edge] = {}
        self._named_at: dict[str, Nanos] = {}  # when somebody with a name last called it
        self._told_at = self._forgot_at = clock.now()
        self._heard_at = Nanos(0)
        self._heard = anyio.Event()

    def take_in(
        self, points: Iterable[Point], now: Nanos, *, origin: str = "", complete: bool = False
    ) -> tuple[int, str]:
        """Fold `points` that came together from `origin`; (how many make no sense, why the first one does not).

        `complete`: they are all that their senders have; else part of it may come on its own.
        """
        refused, why = 0, ""
        self.series.begin(complete=complete)
        for point in sorted(points, key=_by_metric):  # those who know the caller before those who do not
            self.points += 1
            if reason := wrong(point):
                refused += 1
                why = why or f"a point of {Metric(point.metric).name.lower()}: {reason}"
                continue
            self._add(point, now, origin)
        self.wrong += refused
        self._heard_at = now
        self._heard.set()
        return refused, why

    def _add(self, point: Point, now: Nanos, origin: str) -> None:
        step = self.series.step((origin, point.sender), point, now)
        channel = CHANNELS[Metric(point.metric)]
        edge = self._edge(point, channel, now)
        if step is None or edge is None:
            return
        edge.window_ns = max(edge.window_ns, step.window_ns)
        match point.metric:
            case Metric.REQUESTS:
                edge.requests += step.value
            case Metric.FAILED:
                edge.failed += step.value
            case Metric.CLIENT:
                edge.client, edge.client_s = edge.client + step.value, edge.client_s + step.sum_s
            case Metric.SERVER:
                edge.server, edge.server_s = edge.server + step.value, edge.server_s + step.sum_s
            case Metric.HTTP_CLIENT | Metric.HTTP_SERVER:
                edge.requests += step.value
                edge.failed += step.value if point.failed else 0.0
                if point.metric == Metric.HTTP_CLIENT:
                    edge.client, edge.client_s = edge.client + step.value, edge.client_s + step.sum_s
                else:
                    edge.server, edge.server_s = edge.server + step.value, edge.server_s + step.sum_s

    def _edge(self, point: Point, channel: int, now: Nanos) -> _Edge | None:
        """The edge that `point` adds to; None: who tells of it is not believed, or there is no room."""
        if point.client == point.server:
            return None
        if (
            not point.client
            and channel == HTTP_SERVER
            and now - self._named_at.get(point.server, Nanos(-SILENT_NS)) < SILENT_NS
        ):
            return None  # all its requests, of which others have told who makes them
        key = point.client, point.server
        edge = self._edges.get(key)
        if edge is None:
            if len(self._edges) >= EDGES_MAX:
                self.without_place += 1
                return None
            edge = self._edges[key] = _Edge(channel, now)
        if channel != edge.channel:
            if channel > edge.channel and now - edge.told_at < SILENT_NS:
                return None
            edge = self._edges[key] = _Edge(channel, now)
        edge.told_at = now
        if point.client:
            self._named_at[point.server] = now
        return edge

    def drain(self) -> list[Signal]:
        """What edges did since they were told last, once a second at most."""
        now = self._clock.now()
        if now - self._told_at < SECOND - SECOND // 10:
            return []
        self._told_at = now
        found: list[Signal] = []
        for (caller, callee), edge in self._edges.items():
            if (sample := _sample(now, caller, callee, edge)) is not None:
                found.append(sample)
                self._edges[caller, callee] = _Edge(edge.channel, edge.told_at)
        if now - self._forgot_at >= FORGET_NS:
            self._forget(now)
        return found

    def sample(self) -> list[Signal]:
        """The same."""
        return self.drain()

    def _forget(self, now: Nanos) -> None:
        self._forgot_at = now
        self.series.forget_stale(now)
        for key in [key for key, edge in self._edges.items() if now - edge.told_at > SILENT_NS]:
            del self._edges[key]
        for name in [name for name, at in self._named_at.items() if now - at > SILENT_NS]:
            del self._named_at[name]

    async def beat(self) -> None:
        """Ring once a second for as long as points come, until cancelled."""
        while True:
            await self._heard.wait()
            self._heard = anyio.Event()
            while self._clock.now() - self._heard_at <= LINGER_NS:
                await anyio.sleep(BEAT_S)
                self._ring()


def _by_metric(point: Point) -> int:
    return point.metric


def _sample(at: Nanos, caller: str, callee: str, edge: _Edge) -> EdgeSampled | None:
    """What one edge did; None: nothing that makes a call. Where no counter says how many, the histograms do."""
    calls = round(edge.requests or max(edge.client, edge.server, edge.failed))
    if calls < 1:
        return None
    # a latency is a sum over `timed` calls: where both sides were timed, the server's is brought to the client's count
    timed = min(round(edge.client or edge.server), EDGE_COUNT_MAX)
    calls = min(calls, EDGE_COUNT_MAX)  # counters are their sender's, and up to 2^53
    served = edge.server_s / edge.server * timed if edge.server else None
    return EdgeSampled(
        at=at,
        caller=caller,
        callee=callee,
        window_ns=max(1, edge.window_ns),
        calls=calls,
        failures=min(calls, round(edge.failed)),
        timed=timed or None,
        client_latency_ns=min(round(edge.client_s * SECOND), EDGE_SUM_NS_MAX) if edge.client and timed else None,
        server_latency_ns=min(round(served * SECOND), EDGE_SUM_NS_MAX) if served is not None and timed else None,
        source="metrics",
    )
