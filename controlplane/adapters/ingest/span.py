"""Spans as a source of signals: batches are paired natively, and what each edge did is told about once a second."""

import logging
from collections.abc import Callable
from typing import Final

import anyio
import anyio.lowlevel
import anyio.to_thread

from controlplane._native.wire import TOLD, SpanPairs
from controlplane.model.signal import EDGE_COUNT_MAX, EDGE_SUM_NS_MAX, EdgeSampled, Signal
from controlplane.model.unit import Nanos, to_nanos
from controlplane.ports import Clock

logger = logging.getLogger("controlplane")

BEAT_S: Final = 1.0
WAIT_S: Final = 10.0  # for the other side of a call: exporters batch for five seconds by default
WAITING_MAX: Final = 65_536  # spans
TURN_EDGES: Final = 128  # made into signals before others on the loop get their turn


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
        self._told: list[Signal] = []
        self._told_at = clock.now()
        self._heard_at = Nanos(0)
        self._heard = anyio.Event()

    def heard(self) -> None:
        """A batch was taken in."""
        self._heard_at = self._clock.now()
        self._heard.set()

    def drain(self) -> list[Signal]:
        """What edges did, as far as it has been taken stock of."""
        told, self._told = self._told, []
        return told

    def sample(self) -> list[Signal]:
        """The same."""
        return self.drain()

    @property
    def busy(self) -> bool:
        """Whether a batch that came now would wait for another thread."""
        return self.pairs.busy()

    async def take_stock(self) -> None:
        """Have `drain` tell what edges did since the last time; while nobody asks for that, nothing is added to it.

        Going through all that waits takes milliseconds, and so does whatever a thread is reading in: the loop, on which
        verdicts are due, waits for neither.
        """
        if self._told:
            return
        at = self._clock.now()
        since, self._told_at = at - self._told_at, at
        edges, names = await anyio.to_thread.run_sync(self.pairs.cut, at - self._wait_ns)
        for number, (caller, callee, *sums) in enumerate(TOLD.iter_unpack(edges), 1):
            if (sample := _sample(at, since, names[caller], names[callee], *sums)) is not None:
                self._told.append(sample)
            if number % TURN_EDGES == 0:
                await anyio.lowlevel.checkpoint()
        self._ring()

    async def beat(self) -> None:
        """Take stock once a second for as long as spans come or wait for their other side, until cancelled."""
        while True:
            await self._heard.wait()
            self._heard = anyio.Event()
            while self._clock.now() - self._heard_at <= self._wait_ns + to_nanos(2 * BEAT_S):
                await anyio.sleep(BEAT_S)
                try:
                    await self.take_stock()
                except Exception:  # no memory, no thread to be had: no ground to end the program around the plane
                    logger.exception("what spans told could not be taken stock of; it is tried again")


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
    count = min(round(timed) if timed else round(served), EDGE_COUNT_MAX)
    wanted = min(wanted, EDGE_COUNT_MAX)  # a sampled span stands for up to a million, and its times are its sender's
    return EdgeSampled(
        at=at,
        caller=caller,
        callee=callee,
        window_ns=max(1, window_ns),
        calls=wanted,
        failures=min(wanted, round(failures)),
        timed=count or None,
        client_latency_ns=min(round(client_ns), EDGE_SUM_NS_MAX) if timed else None,
        server_latency_ns=min(round(server_ns / served * count), EDGE_SUM_NS_MAX) if served and count else None,
        source="spans",
    )
