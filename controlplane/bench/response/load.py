"""Calls through the guards of a plane, at random times, answered at once by what is true of each endpoint."""

import heapq
import random
from collections.abc import Iterable

import anyio

from controlplane._native.guard import Refused, now_ns
from controlplane.assembly import Plane
from controlplane.bench.response.mesh import Fault
from controlplane.model.unit import MILLISECOND

PAUSE_S = 0.001  # between two looks at who is due: calls keep their own times, to a millisecond
TURN = 8  # calls, after which the loop's other tasks get their turn: in a gateway each call is a task of its own


class Failed(Exception):
    """What a sick endpoint answers."""


class Load:
    """So many calls a second to each service, Poisson, with a generator of its own."""

    def __init__(self, plane: Plane, rates: dict[str, float], *, seed: int) -> None:
        self._plane, self._rates = plane, rates
        self._random = random.Random(seed)
        self._sick: dict[str, frozenset[int]] = {}
        self.calls = 0

    def begin(self, faults: Iterable[Fault]) -> None:
        """From now on these fail."""
        for fault in faults:
            if fault.kind != "reported":
                self._sick[fault.service] = frozenset((0,) if fault.kind == "replica" else range(16))

    async def run(self) -> None:
        """Call until cancelled."""
        due = [(now_ns() + self._gap_ns(rate), name) for name, rate in self._rates.items()]
        heapq.heapify(due)
        while True:
            await anyio.sleep(PAUSE_S)
            now, done = now_ns(), 0
            while due[0][0] <= now:
                at, name = due[0]
                heapq.heapreplace(due, (at + self._gap_ns(self._rates[name]), name))
                self._call(name)
                done += 1
                if done % TURN == 0:
                    await anyio.lowlevel.checkpoint()

    def _call(self, name: str) -> None:
        self.calls += 1
        try:
            with self._plane.guard(name).acquire() as permit:
                if permit.endpoint in self._sick.get(name, ()):
                    raise Failed
        except (Refused, Failed):
            pass

    def _gap_ns(self, rate: float) -> int:
        return max(1, round(self._random.expovariate(rate) * 1000 * MILLISECOND))
