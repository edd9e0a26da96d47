"""A service in virtual time: calls arrive evenly, endpoints answer as they are told to, overdue calls are told."""

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import Literal, NamedTuple, cast

import anyio

from controlplane._native.guard import ERROR, TIMEOUT, Permit, set_test_clock
from controlplane.adapters.gateway.guards import GuardSet
from controlplane.adapters.gateway.inflight import Attempt
from controlplane.adapters.gateway.service import ServiceGuard
from controlplane.model.policy import GuardPolicy
from controlplane.model.topology import Endpoint, Service, Topology
from controlplane.model.unit import MILLISECOND, SECOND, to_seconds


class Answer(NamedTuple):
    """How one call goes: it ends after `latency_ns`."""

    latency_ns: int
    end: Literal["success", "error", "timeout", "relayed"] = "success"


class Block(NamedTuple):
    """What became of some calls in a row, and which share of them each endpoint had."""

    refused: int
    failed: int
    shares: tuple[float, ...]


Behaviour = Callable[[int], Answer]
"""Of the endpoint with that number."""


class World:
    """One caller of one service under the test clock, which the test has to give back."""

    def __init__(self, endpoints: int, *, enforced: int = 1) -> None:
        self.now = 1_000 * SECOND
        set_test_clock(self.now)
        declared = Service(
            name="orders", endpoints=tuple(Endpoint(name=f"o{n}", url=f"http://h:{n}") for n in range(endpoints))
        )
        # a second life would need a loop
        policies = {"default": GuardPolicy(redrive=False)}
        self.guards = GuardSet(Topology(services=(declared,)), policies, seed=7, enforced=enforced)
        self.service: ServiceGuard = self.guards.services["orders"]
        self._ends: list[tuple[int, int, Permit, Answer, Attempt]] = []
        self._number = count()

    def run(self, calls: int, every_ns: int, behave: Behaviour) -> Block:
        """Let so many calls arrive."""
        refused = failed = 0
        taken = [0] * len(self.service.endpoints)
        for _ in range(calls):
            self._pass(self.now + every_ns)
            permit = self.service.guard.try_acquire()
            if not isinstance(permit, Permit):
                refused += 1
                continue
            taken[permit.endpoint] += 1
            answer = behave(permit.endpoint)
            failed += answer.end != "success"
            scope = cast("anyio.CancelScope", None)  # nobody cancels here
            attempt = self.guards.stall.inflight.enter(
                self.service, permit, scope, to_seconds(self.now), redrivable=False
            )
            heappush(self._ends, (self.now + answer.latency_ns, next(self._number), permit, answer, attempt))
        total = sum(taken) or 1
        return Block(refused, failed, tuple(one / total for one in taken))

    def states(self) -> list[int]:
        """State of each endpoint."""
        return [self.service.guard.endpoint(index)["state"] for index in range(len(self.service.endpoints))]

    def _pass(self, until_ns: int) -> None:
        while self.now < until_ns:
            self.now = min(until_ns, self.now + MILLISECOND, self._ends[0][0] if self._ends else until_ns)
            set_test_clock(self.now)
            for lane in self.guards.stall.inflight.lanes():
                if (overdue := lane.stalled(to_seconds(self.now))) is not None:
                    self.service.stall(overdue.permit)
            while self._ends and self._ends[0][0] <= self.now:
                _, _, permit, answer, attempt = heappop(self._ends)
                self.guards.stall.inflight.leave(attempt)
                self._end(permit, answer)

    def _end(self, permit: Permit, answer: Answer) -> None:
        match answer.end:
            case "success":
                self.service.succeed(permit)
            case "relayed":
                self.service.relay(permit)
            case "error":
                self.service.fail(permit, ERROR)
            case "timeout":
                self.service.fail(permit, TIMEOUT)
