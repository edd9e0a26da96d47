"""A world of services in virtual time, in which policies are met by the same users and the same faults."""

from collections.abc import Callable, Sequence
from typing import Any, Final, final

# what a fault changes, of a replica (LOAD: of all users): World.fault(at_ns, what, replica, value)
SLOW: Final = 0  # factor on service times
ERRORS: Final = 1  # share of requests that fail beside the usual
DOWN: Final = 2  # refuses connections
HANGS: Final = 3  # takes requests and answers none
WORKERS: Final = 4  # so many requests at a time
LOAD: Final = 5  # factor on the rate of users; the replica is -1
PAUSE: Final = 6  # stands still for so many nanoseconds
SHARD: Final = 7  # share of the users whose requests fail at the replica's service, however often they are tried

@final
class World:
    """Users, services and the calls between them, from `begin_ns` on.

    services  rows of (name, work_ns, sigma, errors, replicas), and of each replica (workers, queue_max)
    edges     rows of (caller, callee, soft, timeout_ns, low, high), in the order in which a caller makes its calls
    react_ns  from a fleet's ring to its being woken

    Raises  ValueError when a caller has too many edges; IndexError, TypeError, OverflowError for numbers out of range.
    """

    def __new__(
        cls,
        services: Sequence[tuple[str, float, float, float, Sequence[tuple[int, int]]]],
        edges: Sequence[tuple[int, int, bool, int, float, float]],
        *,
        seed: int,
        entry: int,
        seconds: int,
        rate_per_s: float,
        amplitude: float,
        period_s: float,
        net_ns: int,
        patience_ns: int,
        slow_ns: int,
        react_ns: int,
        begin_ns: int,
    ) -> World: ...
    def set_fleet(
        self, fleet: Any, policies: Sequence[Any], ended: Sequence[Callable[[bool, bool], None] | None]
    ) -> None:
        """A policy for each edge, and who is told of each service's requests as they end: (failed, slow)."""

    def fault(self, at_ns: int, what: int, replica: int, value: float) -> None:
        """From `at_ns` on that replica, counted through all services, has `what` set to `value`."""

    def run(self, until_ns: int) -> None:
        """What happens up to that time. What a policy raises comes out of here, and the world must be left then."""

    def move(self, token: Any, other: Any) -> bool:
        """Give the attempt of `token` up and send its call again with `other`; False: it has ended."""

    @property
    def now(self) -> int: ...
    @property
    def attempts(self) -> int: ...
    @property
    def logical_calls(self) -> int: ...
    @property
    def users_failed(self) -> int: ...
    @property
    def users_slow(self) -> int: ...
    @property
    def events(self) -> int: ...
    @property
    def fallbacks(self) -> int: ...
    @property
    def users(self) -> int:
        """Users who have come."""

    def users_open(self) -> int:
        """How many of them have not been answered yet."""

    def counts(self, service_index: int) -> list[tuple[int, int]]:
        """(calls, failed) of each second, as callers of that service saw it; of the entry, users' requests."""

    def replica(self, index: int) -> dict[str, int]:
        """What a replica does now: busy, queued, workers, down, hangs."""
