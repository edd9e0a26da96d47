"""What a request brings along and its outgoing calls must know: its deadline, its priority, and whom to blame.

The middleware sets one object per request; calls made in the request's own tasks and in tasks they start find the same
object, because a child's context is a copy that shares its values.
"""

from contextvars import ContextVar

from controlplane.adapters.gateway.headers import Priority


class Inbound:
    """One incoming request. `deadline` is on the loop's clock, in seconds; `cause` the service that failed it last;
    `attempt` above 1: somewhere above somebody tries again."""

    __slots__ = ("attempt", "cause", "deadline", "priority")

    def __init__(self, deadline: float = float("inf"), priority: Priority = Priority.DEFAULT) -> None:
        self.deadline = deadline
        self.priority = priority
        self.cause: str | None = None
        self.attempt = 1


inbound: ContextVar[Inbound | None] = ContextVar("controlplane_inbound", default=None)


def blame(service: str) -> None:
    """Remember that a call to `service` failed during the current request, if there is one."""
    current = inbound.get()
    if current is not None:
        current.cause = service


def absolve(service: str) -> None:
    """The current request goes on without `service`: should it fail, it fails for another reason."""
    current = inbound.get()
    if current is not None and current.cause == service:
        current.cause = None
