"""What every client has: time-outs, bounded attempts, and the less busy one of two replicas. By itself: `plain`."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Protocol

ATTEMPTS = 3
"""In all. The SRE book's limit per request ("Handling Overload", 2016), Envoy's two retries in most published policies,
resilience4j's maxAttempts."""


class Client(Protocol):
    """What an edge is told of the mesh: how its client is configured, and who is called."""

    attempts: int
    attempt_timeout_ns: int
    priorities: Sequence[int]  # of each replica; 0: in use, more: stands by


class Call:
    """One attempt. `made` counts the attempts of the logical call, this one included."""

    __slots__ = ("attempt", "endpoint", "made")

    def __init__(self, endpoint: int, made: int) -> None:
        self.endpoint, self.made = endpoint, made


class Edge:
    """The calls of one caller to one callee, without any protection but time-outs and bounded retries.

    Balancing is least-request as Envoy has it (LEAST_REQUEST, choice_count 2, drawn with replacement).
    """

    names_causes = False

    def __init__(self, client: Client, clock: Callable[[], int], seed: int) -> None:
        self.attempts, self.attempt_timeout_ns = client.attempts, client.attempt_timeout_ns
        self.priorities = tuple(client.priorities)
        self._clock = clock
        self._random = Random(seed)
        self._draw = self._random.random
        self._active = [0] * len(self.priorities)
        self._usable = [at for at, priority in enumerate(self.priorities) if priority == min(self.priorities)]

    def begin(self, priority: int, deadline_ns: int | None) -> Call | None:
        """The first attempt of a call; None: refused."""
        return self._send(-1, 1)

    def again(self, call: Call, avoid: int) -> Call | None:
        """Another attempt, not at replica `avoid` where there is another one; None: no more."""
        if call.made >= self.attempts:
            return None
        return self._send(avoid, call.made + 1)

    def succeed(self, call: Call) -> None:
        """The attempt was answered, and well."""
        self._active[call.endpoint] -= 1

    def fail(self, call: Call, kind: int) -> None:
        """The attempt failed: `kind` as in the guard (ERROR, TIMEOUT, OVERLOAD)."""
        self._active[call.endpoint] -= 1

    def relay(self, call: Call) -> None:
        """The answer passes on somebody else's failure: a 5xx like any other."""
        self.fail(call, 1)

    def cancel(self, call: Call) -> None:
        """The caller went away: nothing is learned."""
        self._active[call.endpoint] -= 1

    def overdue(self, call: Call) -> None:
        """No textbook policy looks at calls that have not ended."""

    def _send(self, avoid: int, made: int) -> Call:
        endpoint = self._choose(avoid)
        self._active[endpoint] += 1
        return Call(endpoint, made)

    def _choose(self, avoid: int) -> int:
        usable = self._usable
        if avoid >= 0:
            usable = [at for at in usable if at != avoid] or usable
        size = len(usable)
        if size == 1:
            return usable[0]
        draw, active = self._draw, self._active
        one, other = usable[int(draw() * size)], usable[int(draw() * size)]
        return one if active[one] <= active[other] else other
