"""A mesh in a hundred lines: the dumbest world in which the policies' interface can be exercised.

Replicas with workers and a bounded queue; a worker is held while its callees are awaited; a client gives up after its
time-out, and the server works on in vain. Slow and obvious on purpose.
"""

import heapq
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any
from zlib import crc32

WELL, ERROR, TIMEOUT, OVERLOAD, RELAYED = range(5)
MILLISECOND, SECOND = 1_000_000, 1_000_000_000
NET = MILLISECOND // 2

Done = Callable[[int, str], None]
"""How a call ended, and whose failure it is, where it is not the callee's own."""


class Replica:
    """`workers` serve, `room` wait. Faults are set from outside: `down`, `hangs`, `errors` (share), `slow` (factor)."""

    def __init__(self, workers: int, room: int) -> None:
        self.workers, self.room = workers, room
        self.busy = 0
        self.waiting: deque[Callable[[], None]] = deque()
        self.down = self.hangs = False
        self.errors, self.slow = 0.0, 1.0
        self.arrived = 0


class Service:
    """Replicas and whom they call, one after the other, once their own work is done."""

    def __init__(
        self, name: str, *, replicas: int, workers: int, room: int, work_ns: int, calls: tuple[str, ...]
    ) -> None:
        self.name, self.work_ns, self.calls = name, work_ns, calls
        self.odds: dict[str, float] = {}  # that a request needs that callee; not named: always
        self.replicas = [Replica(workers, room) for _ in range(replicas)]

    def needs(self, callee: str, request: int) -> bool:
        """Whether that request of a user needs `callee` here: tried again, it needs the same."""
        return crc32(f"{request} {self.name} {callee}".encode()) < self.odds.get(callee, 1.0) * 2**32


class Attempt:
    """One attempt under way. Its policy may `move` it: another token takes its place, the old one is given up."""

    def __init__(self, mesh: "Mesh", edge: Any, token: Any, callee: str, request: int, done: Done) -> None:
        self.mesh, self.edge, self.token, self.callee, self.done = mesh, edge, token, callee, done
        self.request = request
        self.open = True

    def move(self, token: Any) -> None:
        """Go on with `token` elsewhere."""
        if self.open:
            self.open = False
            self.edge.cancel(self.token)
            self.mesh.send(self.edge, token, self.callee, self.request, self.done)

    def ended(self, how: int, cause: str) -> None:
        """The answer, or the time-out: whichever is first."""
        if not self.open:
            return
        self.open = False
        edge, token = self.edge, self.token
        if how == WELL:
            edge.succeed(token)
        elif how == RELAYED:
            edge.relay(token, cause) if edge.names_causes else edge.relay(token)
        else:
            edge.fail(token, how)
        following = None if how == WELL else edge.again(token, token.endpoint)
        if following is None:
            self.done(how, cause or self.callee)
        else:
            self.mesh.send(edge, following, self.callee, self.request, self.done)


class Mesh:
    """Runs in time that is a number. `fleet`, which is set before it runs, gives every edge its policy."""

    def __init__(self, services: list[Service], seed: int) -> None:
        self.services = {service.name: service for service in services}
        self.random, self.now = Random(seed), 0
        self.fleet: Any = None
        self.served = self.failed = self.attempts = 0
        self.told: Callable[[bool], None] = lambda well: None  # each user request, as it ends
        self.tick: Callable[[int], object] = lambda now: None  # the clock has moved
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._number = 0

    def __call__(self) -> int:
        """The clock of the policies."""
        return self.now

    def at(self, when: int, what: Callable[[], None]) -> None:
        """Do `what` then; what falls together happens in the order in which it was asked for."""
        self._number += 1
        heapq.heappush(self._events, (when, self._number, what))

    def load(self, callee: str, per_s: float, seconds: float) -> None:
        """Users, evenly spread with a jitter."""
        for number in range(round(per_s * seconds)):
            when = round((number + self.random.random()) / per_s * SECOND)
            self.at(when, lambda request=number: self.call("users", callee, request, self._user))

    def run(self) -> None:
        """Until nothing is left to happen."""
        while self._events:
            wake_at = self.fleet.wake_at()
            if self.fleet.rung or (wake_at is not None and wake_at <= self._events[0][0]):
                self.now = self.now if self.fleet.rung else max(self.now, wake_at)
                self.fleet.wake(self.now)
                continue
            self.now, _, what = heapq.heappop(self._events)
            self.tick(self.now)
            what()

    def call(self, caller: str, callee: str, request: int, done: Done) -> None:
        """One logical call under its edge's policy."""
        edge = self.fleet.edge(caller, callee)
        token = edge.begin(1, None)
        if token is None:
            done(RELAYED, callee)
        else:
            self.send(edge, token, callee, request, done)

    def send(self, edge: Any, token: Any, callee: str, request: int, done: Done) -> None:
        """One attempt."""
        self.attempts += 1
        attempt = Attempt(self, edge, token, callee, request, done)
        token.attempt = attempt
        self.at(self.now + edge.attempt_timeout_ns, lambda: attempt.ended(TIMEOUT, ""))
        service = self.services[callee]
        self.at(self.now + NET, lambda: self._arrive(service, service.replicas[token.endpoint], request, attempt.ended))

    def _user(self, how: int, cause: str) -> None:
        self.served += not how
        self.failed += bool(how)
        self.told(not how)

    def _arrive(self, service: Service, replica: Replica, request: int, ended: Done) -> None:
        replica.arrived += 1

        def answer(how: int, cause: str = "") -> None:
            self.at(self.now + NET, lambda: ended(how, cause))

        if replica.down:
            answer(ERROR)
        elif replica.busy < replica.workers:
            self._begin(service, replica, request, answer)
        elif len(replica.waiting) < replica.room:
            replica.waiting.append(lambda: self._begin(service, replica, request, answer))
        else:
            answer(OVERLOAD)

    def _begin(self, service: Service, replica: Replica, request: int, answer: Callable[..., None]) -> None:
        replica.busy += 1
        if replica.hangs:
            return
        took = round(service.work_ns * replica.slow * self.random.lognormvariate(0.0, 0.3))
        if self.random.random() < replica.errors:
            self.at(self.now + took, lambda: self._end(replica, answer, ERROR, ""))
        else:
            calls = tuple(name for name in service.calls if service.needs(name, request))
            self.at(self.now + took, lambda: self._ask(service, replica, calls, request, answer))

    def _ask(
        self, service: Service, replica: Replica, left: tuple[str, ...], request: int, answer: Callable[..., None]
    ) -> None:
        def next_one(how: int, cause: str) -> None:
            if how:
                self._end(replica, answer, RELAYED, cause)
            else:
                self._ask(service, replica, left[1:], request, answer)

        if left:
            self.call(service.name, left[0], request, next_one)
        else:
            self._end(replica, answer, WELL, "")

    def _end(self, replica: Replica, answer: Callable[..., None], how: int, cause: str) -> None:
        answer(how, cause)
        replica.busy -= 1
        if replica.waiting:
            replica.waiting.popleft()()
