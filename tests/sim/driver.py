"""A mesh in a hundred lines: the dumbest world in which the policies' interface can be exercised.

Replicas with workers and a bounded queue; a worker is held while its callees are awaited; a client gives up after its
time-out, and the server works on in vain. Slow and obvious on purpose.
"""

import heapq
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any

ERROR, TIMEOUT, OVERLOAD = 1, 2, 3
MILLISECOND, SECOND = 1_000_000, 1_000_000_000
NET = MILLISECOND // 2

Done = Callable[[int], None]  # 0: well; else how it failed; -1: a failure that is passed on


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
        self.replicas = [Replica(workers, room) for _ in range(replicas)]


class Mesh:
    """Runs in time that is a number. `fleet`, which is set before it runs, gives every edge its policy."""

    def __init__(self, services: list[Service], seed: int) -> None:
        self.services = {service.name: service for service in services}
        self.random, self.now = Random(seed), 0
        self.fleet: Any = None
        self.served = self.failed = self.attempts = 0
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
            self.at(
                round((number + self.random.random()) / per_s * SECOND), lambda: self.call("users", callee, self._user)
            )

    def run(self) -> None:
        """Until nothing is left to happen."""
        while self._events:
            when, _, what = heapq.heappop(self._events)
            wake_at = self.fleet.wake_at()
            if wake_at is not None and wake_at <= when:
                self.now = max(self.now, wake_at)
                self.fleet.wake(self.now)
            self.now = when
            what()

    def call(self, caller: str, callee: str, done: Done) -> None:
        """One logical call under its edge's policy."""
        edge = self.fleet.edge(caller, callee)
        token = edge.begin(1, None)
        if token is None:
            done(-1)
        else:
            self._send(edge, token, callee, done)

    def _user(self, how: int) -> None:
        self.served += not how
        self.failed += bool(how)

    def _send(self, edge: Any, token: Any, callee: str, done: Done) -> None:
        self.attempts += 1
        open_ = [True]

        def ended(how: int) -> None:
            if not open_:
                return
            open_.clear()
            if how == 0:
                edge.succeed(token)
                done(0)
                return
            if how < 0:
                edge.relay(token)
            else:
                edge.fail(token, how)
            following = edge.again(token, token.endpoint)
            if following is None:
                done(-1 if how < 0 else how)
            else:
                self._send(edge, following, callee, done)

        self.at(self.now + edge.attempt_timeout_ns, lambda: ended(TIMEOUT))
        service = self.services[callee]
        self.at(self.now + NET, lambda: self._arrive(service, service.replicas[token.endpoint], ended))

    def _arrive(self, service: Service, replica: Replica, ended: Done) -> None:
        replica.arrived += 1

        def answer(how: int) -> None:
            self.at(self.now + NET, lambda: ended(how))

        if replica.down:
            answer(ERROR)
        elif replica.busy < replica.workers:
            self._begin(service, replica, answer)
        elif len(replica.waiting) < replica.room:
            replica.waiting.append(lambda: self._begin(service, replica, answer))
        else:
            answer(OVERLOAD)

    def _begin(self, service: Service, replica: Replica, answer: Done) -> None:
        replica.busy += 1
        if replica.hangs:
            return
        took = round(service.work_ns * replica.slow * self.random.lognormvariate(0.0, 0.3))
        error = self.random.random() < replica.errors
        self.at(self.now + took, lambda: self._ask(service, replica, list(service.calls) * (not error), answer, error))

    def _ask(self, service: Service, replica: Replica, left: list[str], answer: Done, error: bool) -> None:
        def next_one(how: int) -> None:
            if how:
                self._end(replica, answer, -1)
            else:
                self._ask(service, replica, left[1:], answer, error)

        if left:
            self.call(service.name, left[0], next_one)
        else:
            self._end(replica, answer, ERROR if error else 0)

    def _end(self, replica: Replica, answer: Done, how: int) -> None:
        answer(how)
        replica.busy -= 1
        if replica.waiting:
            replica.waiting.popleft()()
