"""Spans as a source of signals: batches are paired natively, and what each edge did is told about once a second."""

from collections.abc import Callable
from typing import Final

import anyio

from controlplane._native.wire import SpanPairs
from controlplane.model.signal import EdgeSampled, Signal
from controlplane.model.unit import SECOND, Nanos, to_nanos
from controlplane.ports import Clock

BEAT_S: Final = 1.0
WAIT_S: Final = 10.0  # for the other side of a call: exporters batch for five seconds by default
WAITING_MAX: Final = 65_536  # spans


class SpanSource:
    """A `ports.SignalSource` over `pairs`. `ring` wakes the loop when there is something to tell."""

    def __init__(
        self,
        clock: Clock,
        *,
        ring: Callable[[], None],
        seed: int = 1,
        wait_s: float = WAIT_S,
        waiting_max: int = WAITING_MAX,
    ) -> None:
        self.pairs = SpanPairs(seed=seed, waiting_max=waiting_max)
        self._clock, self._ring, self._wait_ns = clock, ring, to_nanos(wait_s)
        self._told_at = clock.now()
        self._heard_at = Nanos(0)
        self._heard = anyio.Event()

    def heard(self) -> None:
        """A batch was taken in."""
        self._heard_at = self._clock.now()
        self._heard.set()

    def drain(self) -> list[Signal]:
        """What edges did since they were told last, once a second at most."""
        at = self._clock.now()
        since = at - self._told_at
        if since < SECOND - SECOND // 10:
            return []
        self._told_at = at
        return [
            sample
            for caller, callee, *sums in self.pairs.take(at - self._wait_ns)
            if (sample := _sample(at, since, caller, callee, *sums)) is not None
        ]

    def sample(self) -> list[Signal]:
        """The same."""
        return self.drain()

    async def beat(self) -> None:
        """Ring once a second for as long as spans come or wait for their other side, until cancelled."""
        while True:
            await self._heard.wait()
            self._heard = anyio.Event()
            while self._clock.now() - self._heard_at <= self._wait_ns + to_nanos(2 * BEAT_S):
                await anyio.sleep(BEAT_S)
                self._ring()


def _sample(
    at: Nanos,
    window_ns: int,
    caller: str,
    callee: str,
    calls: float,
    failures: float,
    timed: float,
    client_ns: float,
    served: float,
    server_ns: float,
) -> EdgeSampled | None:
    """What one edge did; sampled spans stand for many, so that sums are rounded. None: nothing that makes a call."""
    wanted = round(calls)
    if wanted < 1:
        return None
    # a latency is a sum over `timed` attempts; where both sides were timed a different number of times, the server's is
    # brought to the client's count, so that the two means stay what they are
    count = round(timed) if timed else round(served)
    return EdgeSampled(
        at=at,
        caller=caller,
        callee=callee,
        window_ns=max(1, window_ns),
        calls=wanted,
        failures=min(wanted, round(failures)),
        timed=count or None,
        client_latency_ns=round(client_ns) if timed else None,
        server_latency_ns=round(server_ns / served * count) if served and count else None,
        source="spans",
    )
