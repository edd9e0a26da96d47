"""The doors of this process: what it serves itself fails closed, and its sensitive routes harden, by order.

The orders are kept in a native guard of their own, so that with an arena the doors of all processes of a host close and
open together; each sensitive route has one for its rate, which they share in the same way. Where nothing of this
process is guarded there is no door, and a request pays for the look at one attribute.
"""

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from controlplane._native.guard import CLOSED, PART_CLOSE, PART_HARDEN, REASONS, Guard, Permit
from controlplane.adapters.gateway.service import ALONE, Place
from controlplane.adapters.share import share_of
from controlplane.model.command import Close, Command, Harden, Restore
from controlplane.model.errors import ActuationError
from controlplane.model.policy import GuardPolicy
from controlplane.model.topology import Topology

HARDENED: Final = "hardened"
RETRY_AFTER_S: Final = 1.0  # a guard that is well again is known about so soon
SHUT: Final = 1
HARD: Final = 2
_SLASHES: Final = re.compile(r"/{2,}")


class Refused(NamedTuple):
    """Why a request is not let in, because of which guard, and when to ask again."""

    part: str
    guard: str
    retry_after_s: float


class Doors:
    """The door of `topology.entry` and its sensitive routes. `place` says where the guard of a name keeps its words."""

    def __init__(
        self,
        topology: Topology,
        *,
        enforced: int = 1,
        place: Callable[[str], Place] = lambda _: ALONE,
    ) -> None:
        self.topology = topology
        self._guard = next(iter(topology.guarded.get(topology.entry, ())), "")
        self.gate: Guard | None = None
        self._routes: list[tuple[str, Guard]] = []
        if not has_doors(topology):
            return
        self.gate = _native(topology.entry, GuardPolicy(), enforced, place(gate_name()))
        for route in sorted(topology.sensitive, key=lambda one: -len(one.path)):
            policy = GuardPolicy(rate_per_s=route.rate_per_s, rate_burst=route.burst)
            native = _native(route.path, policy, enforced, place(route_name(route.path)))
            self._routes.append((route.path.rstrip("/"), native))

    @property
    def guards(self) -> list[Guard]:
        """The native guards behind it, for who keeps house."""
        return [] if self.gate is None else [self.gate, *(guard for _, guard in self._routes)]

    def refuses(self, path: str) -> Refused | None:
        """Whether a request for `path` is not let in; None: it is."""
        if self.gate is None or not (found := self.gate.door()):
            return None
        if found == SHUT:
            return Refused(REASONS[CLOSED], self._guard, RETRY_AFTER_S)
        path = _SLASHES.sub("/", path)
        for prefix, guard in self._routes:
            if path != prefix and not path.startswith(f"{prefix}/"):
                continue
            answer = guard.try_acquire()
            if isinstance(answer, Permit):
                answer.success()
                return None
            return Refused(HARDENED, self._guard, answer.retry_after_ns / 1e9)
        return None

    def apply(self, command: Command, lease_ns: int) -> None:
        """Put an order about this process in force. Raises ActuationError where it is about no door."""
        intent = command.intent
        if self.gate is None or not isinstance(intent, Close | Harden | Restore):
            name = command.target.service
            raise ActuationError(f"no calls to {name!r} are guarded here", retryable=False)
        match intent:
            case Close(guard=guard):
                self._guard = guard
                self.gate.close(share_of(command), lease_ns, command.signal_at)
            case Harden(guard=guard):
                self._guard = guard
                self.gate.harden(share_of(command), lease_ns, command.signal_at)
            case Restore(what="close"):
                self.gate.restore_part(-1, PART_CLOSE)
            case Restore(what="harden"):
                self.gate.restore_part(-1, PART_HARDEN)
            case Restore():
                self.gate.restore(-1)


def has_doors(topology: Topology) -> bool:
    """Whether anything that this process serves itself is guarded, or sensitive."""
    return topology.entry in topology.guarded or bool(topology.sensitive)


def regions(topology: Topology) -> list[str]:
    """Names of the regions that its guards need, none of which has endpoints."""
    if not has_doors(topology):
        return []
    return [gate_name(), *(route_name(route.path) for route in topology.sensitive)]


def gate_name() -> str:
    """What the region of the door is called; no service has such a name."""
    return "door /"


def route_name(path: str) -> str:
    """What the region of a sensitive route is called."""
    return f"route {path}"


def _native(name: str, policy: GuardPolicy, enforced: int, place: Place) -> Guard:
    return Guard(
        endpoints=0,
        enforced=enforced,
        name=name,
        memory=place.memory,
        worker=place.worker,
        workers=place.workers,
        **policy.native(),
    )
