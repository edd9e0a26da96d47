"""A service and its callers in virtual time: a queue before the servers, Poisson arrivals, limits that may refuse.

Nothing here knows about the limit under test but its face (`limit`, `learn`), so rivals run in the same world.
"""

import heapq
import random
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol

SUCCESS, ERROR, TIMEOUT, OVERLOAD = 0, 1, 2, 3
SECOND = 1_000_000_000
MILLISECOND = 1_000_000


class Limit(Protocol):
    """What decides how many calls may be in flight."""

    @property
    def limit(self) -> int:
        """Whole calls."""

    def learn(self, start_ns: int, now_ns: int, latency_ns: int, outcome: int, in_flight: int, /) -> None:
        """A call ended; `in_flight` includes it."""


def exponential(mean_ns: float) -> Callable[[random.Random], int]:
    """Service times as of independent work: coefficient of variation 1."""
    return lambda chance: int(chance.expovariate(1 / mean_ns))


def steady(mean_ns: float) -> Callable[[random.Random], int]:
    """Service times that hardly vary (give or take a tenth)."""
    return lambda chance: int(mean_ns * chance.uniform(0.9, 1.1))


def bimodal(quick_ns: float, slow_ns: float, slow_share: float) -> Callable[[random.Random], int]:
    """A cache in front: most calls are quick, some go all the way."""
    return lambda chance: int(chance.expovariate(1 / (slow_ns if chance.random() < slow_share else quick_ns)))


class Ended(NamedTuple):
    """One call as its caller saw it."""

    t_ns: int
    latency_ns: int
    outcome: int


class Caller:
    """Poisson arrivals at `rate` a second; what the limit admits is sent, the rest is refused."""

    def __init__(self, limit: Limit, rate: float, timeout_ns: int = 0) -> None:
        self.limit, self.rate, self.timeout_ns = limit, rate, timeout_ns
        self.in_flight = self.refused = 0
        self.ended: list[Ended] = []
        self.limits: list[tuple[int, int]] = []

    def end(self, start_ns: int, now_ns: int, outcome: int) -> None:
        """The caller hears of its call, or has given it up."""
        self.limit.learn(start_ns, now_ns, now_ns - start_ns, outcome, self.in_flight)
        self.in_flight -= 1
        self.ended.append(Ended(now_ns, now_ns - start_ns, outcome))

    def answered_per_s(self, since_ns: int, until_ns: int) -> float:
        """Answers in time, a second."""
        count = sum(1 for call in self.ended if since_ns <= call.t_ns < until_ns and call.outcome == SUCCESS)
        return count * SECOND / (until_ns - since_ns)

    def mean_latency_ns(self, since_ns: int, until_ns: int) -> float:
        """Mean latency of the answers."""
        took = [call.latency_ns for call in self.ended if since_ns <= call.t_ns < until_ns and call.outcome == SUCCESS]
        return sum(took) / max(1, len(took))

    def limits_seen(self, since_ns: int, until_ns: int) -> list[int]:
        """The limit at each hundredth of a second."""
        return [limit for at_ns, limit in self.limits if since_ns <= at_ns < until_ns]


class _Call:
    def __init__(self, caller: Caller, start_ns: int) -> None:
        self.caller, self.start_ns, self.over = caller, start_ns, False


class World:
    """A service with a queue, its callers, and what is planned to happen to it."""

    def __init__(
        self,
        servers: int,
        service: Callable[[random.Random], int],
        callers: list[Caller],
        *,
        seed: int = 1,
        queue_max: int = 1_000_000,
    ) -> None:
        self.servers, self.service, self.callers, self.queue_max = servers, service, callers, queue_max
        self.chance = random.Random(seed)
        self.now_ns = SECOND
        self.busy = 0
        self.queue: deque[_Call] = deque()
        self.sequence = 0
        self.agenda: list[tuple[int, int, Callable[[], None]]] = []
        for caller in callers:
            self.arrive_later(caller)
        self.look()

    def at(self, t_ns: int, act: Callable[[], None]) -> None:
        """Let something happen at a time."""
        self.sequence += 1
        heapq.heappush(self.agenda, (t_ns, self.sequence, act))

    def run(self, seconds: float) -> tuple[int, int]:
        """Let time pass; returns the span, for what is asked about it."""
        since_ns = self.now_ns
        until_ns = since_ns + int(seconds * SECOND)
        while self.agenda and self.agenda[0][0] < until_ns:
            self.now_ns, _, act = heapq.heappop(self.agenda)
            act()
        self.now_ns = until_ns
        return since_ns, until_ns

    def look(self) -> None:
        """Write down the limits."""
        for caller in self.callers:
            caller.limits.append((self.now_ns, caller.limit.limit))
        self.at(self.now_ns + 10 * MILLISECOND, self.look)

    def arrive_later(self, caller: Caller) -> None:
        """Plan the caller's next arrival."""
        rate = caller.rate or 1e-3
        self.at(self.now_ns + int(self.chance.expovariate(rate) * SECOND), lambda: self.arrive(caller))

    def arrive(self, caller: Caller) -> None:
        """A call wants to be made."""
        self.arrive_later(caller)
        if not caller.rate:
            return
        if caller.in_flight >= caller.limit.limit:
            caller.refused += 1
            return
        caller.in_flight += 1
        call = _Call(caller, self.now_ns)
        if self.busy < self.servers:
            self.serve(call)
        elif len(self.queue) >= self.queue_max:
            self.at(self.now_ns + MILLISECOND // 10, lambda: self.finish(call, OVERLOAD))
            return
        else:
            self.queue.append(call)
        if caller.timeout_ns:
            self.at(self.now_ns + caller.timeout_ns, lambda: self.finish(call, TIMEOUT))

    def serve(self, call: _Call) -> None:
        """A server takes the call; that the caller has given it up it does not know."""
        self.busy += 1
        self.at(self.now_ns + self.service(self.chance), lambda: self.served(call))

    def served(self, call: _Call) -> None:
        """A server is done; with fewer servers than before it may be gone now."""
        self.busy -= 1
        self.finish(call, SUCCESS)
        while self.queue and self.busy < self.servers:
            self.serve(self.queue.popleft())

    def finish(self, call: _Call, outcome: int) -> None:
        """What ends a call first, ends it."""
        if not call.over:
            call.over = True
            call.caller.end(call.start_ns, self.now_ns, outcome)
