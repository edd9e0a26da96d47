"""The load generator: an open loop of constant rate, in a process of its own.

Requests are sent when they are due, whether or not earlier ones were answered, and their latency counts from when they
were due: a stall of the mesh, or of this process, is not hidden (coordinated omission).

    python -m controlplane.demo.load      (orders come through stdin: see `pipe`)
"""

import random
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import suppress
from itertools import accumulate

import anyio
import anyio.abc

from controlplane.adapters.clock import SystemClock
from controlplane.assembly.settle import settle
from controlplane.demo import mesh, pipe
from controlplane.demo.wire import Wire
from controlplane.model.unit import SECOND, Nanos

OUTSTANDING_MAX = 2_000
"""Beyond this a request is not sent but counted as failed: ten seconds of the default rate."""

KEPT_MAX = 200_000
"""Requests remembered; the supervisor asks for each window long before."""


def routes(seed: int) -> Iterator[str]:
    """The same endless sequence of routes for the same seed, in the shares of the mesh."""
    fronts = [part for part in mesh.PARTS if part.share]
    bounds = list(accumulate(part.share for part in fronts))
    draw = random.Random(seed)
    while True:
        yield fronts[bisect_left(bounds, draw.randrange(bounds[-1]) + 1)].name


def due(number: int, *, rate: int, at: Nanos) -> Nanos:
    """When request `number` (from 0) is to be sent."""
    return Nanos(at + number * SECOND // rate)


class Load:
    """Requests under way and done. One drive at a time; a new one replaces the old at its time `at`."""

    def __init__(self, tasks: anyio.abc.TaskGroup) -> None:
        self.clock = SystemClock()
        self._tasks, self._wire = tasks, Wire()
        self._scope: anyio.CancelScope | None = None
        self._sent: dict[int, pipe.Sent] = {}
        self._serial = self._outstanding = 0
        self._late_max_ns = Nanos(0)

    def drive(self, order: pipe.Drive) -> pipe.Done:
        """Send from `order.at` on, and what was driven before until then."""
        self._tasks.start_soon(self._drive, order)
        return pipe.Done()

    def rest(self) -> pipe.Done:
        """Send nothing more; what is under way goes on."""
        if self._scope is not None:
            self._scope.cancel()
        return pipe.Done()

    def gather(self, order: pipe.Gather) -> pipe.Gathered:
        """Requests due in [since, until), those without an answer included. What is older is forgotten."""
        self._sent = {serial: sent for serial, sent in self._sent.items() if sent.start >= order.since}
        chosen = sorted((sent for sent in self._sent.values() if sent.start < order.until), key=lambda sent: sent.start)
        late, self._late_max_ns = self._late_max_ns, Nanos(0)
        return pipe.Gathered(chosen, late)

    async def _drive(self, order: pipe.Drive) -> None:
        await anyio.sleep(max(0.0, (order.at - self.clock.now()) / 1e9))
        self.rest()
        with anyio.CancelScope() as self._scope:
            for number, route in enumerate(routes(order.seed)):
                at = due(number, rate=order.rate, at=order.at)
                wait_ns = at - self.clock.now()
                if wait_ns > 0:
                    await anyio.sleep(wait_ns / 1e9)
                self._send(order.port, at, route)

    def _send(self, port: int, at: Nanos, route: str) -> None:
        self._late_max_ns = Nanos(max(self._late_max_ns, self.clock.now() - at))
        self._serial += 1
        if len(self._sent) >= KEPT_MAX:
            del self._sent[next(iter(self._sent))]
        if self._outstanding >= OUTSTANDING_MAX:
            self._sent[self._serial] = pipe.Sent(at, at, 0, route)
            return
        self._sent[self._serial] = pipe.Sent(at, Nanos(0), 0, route)
        self._outstanding += 1
        self._tasks.start_soon(self._ask, self._serial, port, at, route)

    async def _ask(self, serial: int, port: int, at: Nanos, route: str) -> None:
        status = 0
        request = f"GET /{route} HTTP/1.1\r\nhost: gateway\r\n\r\n".encode()
        with anyio.move_on_after(max(0.0, mesh.USER_TIMEOUT_S - (self.clock.now() - at) / 1e9)):
            with suppress(OSError):  # no answer: status 0 says so
                status = (await self._wire.get("127.0.0.1", port, request)).status
        self._outstanding -= 1
        if serial in self._sent:
            self._sent[serial] = pipe.Sent(at, self.clock.now(), status, route)


async def main(answers: int) -> None:
    """Drive until stdin ends."""
    async with anyio.create_task_group() as tasks:
        load = Load(tasks)
        settle()
        async for order in pipe.orders():
            match order:
                case pipe.Drive():
                    pipe.answer(answers, load.drive(order))
                case pipe.Rest():
                    pipe.answer(answers, load.rest())
                case pipe.Gather():
                    pipe.answer(answers, load.gather(order))
                case _:
                    raise ValueError(f"the load generator does not take {order}")
        tasks.cancel_scope.cancel()


if __name__ == "__main__":
    anyio.run(main, pipe.claim_stdout(), backend="asyncio", backend_options={"use_uvloop": True})
