"""One caller's calls to one callee, as `adapters.gateway.exchange` makes them: permits, retries within budget, one
redrive, no attempt beyond the caller's deadline, whose failure an answer is."""

from typing import Literal

from controlplane._native.guard import TIMEOUT, Permit, now_ns
from controlplane._native.world import World
from controlplane.adapters.gateway.guards import GuardSet
from controlplane.adapters.gateway.inflight import Attempt
from controlplane.adapters.gateway.refusal import DEADLINE
from controlplane.adapters.gateway.service import ServiceGuard
from controlplane.model.unit import SECOND
from controlplane.sim.mesh import Call

RELAYED = -1


class Ticket(Attempt):
    """An attempt under way, as the kernel and the stall watch see it. A redrive has it sent again at once."""

    __slots__ = ("attempt", "deadline_ns", "edge", "endpoint", "kind", "made")

    def __init__(self, edge: "GuardedEdge", permit: Permit, made: int, deadline_ns: int, *, redrivable: bool) -> None:
        self.edge, self.permit, self.made, self.redrivable = edge, permit, made, redrivable
        self.deadline_ns = deadline_ns  # of the call, as its caller's request has it
        self.endpoint = endpoint = permit.endpoint
        self.attempt, self.kind, self.relief = -1, 0, None
        self.lane, self.since = edge.lanes[endpoint], edge.world.now / SECOND
        edge.inflight.put(self)

    def give_up(self) -> None:
        """It is given up for another one, which has its permit by now."""
        self.edge.moved(self)


class GuardedEdge:
    """The edge policy of production."""

    names_causes = keeps_deadlines = True

    def __init__(self, guards: GuardSet, service: ServiceGuard, call: Call, world: World) -> None:
        self._guards, self._service, self._guard = guards, service, service.guard
        self.attempts, self.attempt_timeout_ns = call.attempts, round(call.timeout_s * 1e9)
        self.world, self.inflight = world, guards.stall.inflight
        self.lanes = [self.inflight.lane(service, endpoint) for endpoint in range(len(service.endpoints))]

    def begin(self, priority: int, deadline_ns: int) -> Ticket | Literal[False] | None:
        """A call; None: the guard refuses it, False: for want of time, which is no word about the callee."""
        permit = self._guard.try_acquire_for(priority, deadline_ns)
        if isinstance(permit, Permit):
            return Ticket(self, permit, 1, deadline_ns, redrivable=True)
        return False if permit.part == DEADLINE else None

    def again(self, ticket: Ticket, avoid: int) -> Ticket | None:
        """A second life on another endpoint where this one is out by now, else a retry within the budget."""
        if ticket.kind == RELAYED:
            return None
        guard = self._guard
        if ticket.redrivable and (ticket.permit.probe or guard.is_ejected(avoid) or guard.is_kept(avoid)):
            relief = guard.try_redrive(avoid)
            if isinstance(relief, Permit):
                return Ticket(self, relief, ticket.made, ticket.deadline_ns, redrivable=False)
        if ticket.made >= self.attempts or now_ns() >= ticket.deadline_ns:
            return None
        permit = guard.try_again(avoid)
        if not isinstance(permit, Permit):
            return None
        return Ticket(self, permit, ticket.made + 1, ticket.deadline_ns, redrivable=ticket.redrivable)

    def succeed(self, ticket: Ticket) -> None:
        """Answered, and well."""
        self.inflight.leave(ticket)
        permit = ticket.permit
        permit.answered()
        self._service.succeed(permit)

    def fail(self, ticket: Ticket, kind: int) -> None:
        """Failed, by the callee's own doing, unless nobody could have answered by the caller's deadline."""
        self.inflight.leave(ticket)
        ticket.kind = kind
        awaited_s = self.world.now / SECOND - ticket.since
        if kind == TIMEOUT and now_ns() >= ticket.deadline_ns and awaited_s < self._service.stall_s:
            self._service.cancel(ticket.permit)
        else:
            self._service.fail(ticket.permit, kind)

    def relay(self, ticket: Ticket, cause: str) -> None:
        """The answer names another service: no evidence against this one, and not worth a retry."""
        self.inflight.leave(ticket)
        ticket.kind = RELAYED
        self._service.relay(ticket.permit)
        self._guards.relayed(self._service.name, cause)

    def fell_back(self) -> None:
        """The caller went on without an answer."""
        self._guards.fell_back(self._service.name)

    def moved(self, ticket: Ticket) -> None:
        """Send the call of a redriven ticket again with the relief that it was given."""
        relief = ticket.relief
        assert relief is not None
        self.inflight.leave(ticket)
        self._service.cancel(ticket.permit)
        self.world.move(ticket, Ticket(self, relief, ticket.made, ticket.deadline_ns, redrivable=False))
