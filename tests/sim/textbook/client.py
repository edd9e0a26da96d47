"""A client's configuration, a clock that is set, and calls made by hand."""

from controlplane.sim.textbook.calls import ATTEMPTS, Call, Edge

SECOND = 1_000_000_000


class Client:
    """What an edge is told of the mesh."""

    def __init__(self, replicas: int = 4, priorities: tuple[int, ...] | None = None) -> None:
        self.attempts, self.attempt_timeout_ns = ATTEMPTS, SECOND
        self.priorities = priorities or (0,) * replicas


class Clock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


def sent(edge: Edge) -> Call:
    """A first attempt that was not refused."""
    call = edge.begin(1, None)
    assert call is not None
    return call


def sent_to(edge: Edge, endpoint: int, tries: int = 500) -> Call:
    """A first attempt at that replica; the others are taken back."""
    for _ in range(tries):
        call = sent(edge)
        if call.endpoint == endpoint:
            return call
        edge.cancel(call)
    raise AssertionError(f"no call goes to {endpoint}")


def reached(edge: Edge, tries: int = 300) -> set[int]:
    """Replicas that get calls now."""
    found = set()
    for _ in range(tries):
        call = sent(edge)
        found.add(call.endpoint)
        edge.cancel(call)
    return found
