"""Outcomes made by hand: of an engine that keeps its promises, for a test to break one of them."""

from typing import Any

import msgspec

from controlplane.model import record as rec
from controlplane.model import signal as sig
from controlplane.model.command import Command, Eject, Intent
from controlplane.model.outcome import Outcome
from controlplane.model.policy import ResponsePolicy
from controlplane.model.signal import Cause, Target
from controlplane.model.topology import Endpoint, Service, Topology
from controlplane.model.unit import SECOND, CommandId, Epoch, IncidentId, Nanos
from controlplane.sim.invariant import Invariants

TOPOLOGY = Topology(
    services=(
        Service(name="web", calls=("a", "b")),
        Service(name="a", endpoints=tuple(Endpoint(name=f"a{n}", url="http://h:1") for n in range(4))),
        Service(name="b", endpoints=tuple(Endpoint(name=f"b{n}", url="http://h:1") for n in range(4))),
    ),
    entry="web",
)
A0, A1, A2 = (Target("a", f"a{n}") for n in range(3))


class Plane:
    """A watched plane whose engine is the test."""

    def __init__(self, policy: ResponsePolicy | None = None) -> None:
        self.policy = policy or ResponsePolicy()
        self.watch = Invariants("web", TOPOLOGY, self.policy)
        self.now = Nanos(1000 * SECOND)
        self.number = 0
        self.watch.decided(None, Outcome((self.begun(1),)), self.now)

    def begun(self, epoch: int) -> rec.EpochStarted:
        """An engine began to write."""
        return rec.EpochStarted(at=self.now, epoch=Epoch(epoch), boot="b", wall_ns=0)

    def command(self, target: Target, intent: Intent, **changes: Any) -> Command:
        """An order as it should be, but for `changes`."""
        self.number += 1
        sound = Command(
            id=CommandId(f"c{self.number}"),
            epoch=Epoch(1),
            incident=IncidentId("i1"),
            target=target,
            intent=intent,
            lease_until=Nanos(self.now + 30 * SECOND),
        )
        return msgspec.structs.replace(sound, **changes)

    def tell(self, signal: sig.Signal | None, *commands: Command) -> None:
        """The engine answers `signal` with `commands`, put on record."""
        records = tuple(rec.CommandIssued(at=self.now, command=command) for command in commands)
        self.watch.decided(signal, Outcome(records, commands), self.now)

    def tripped(self, target: Target, **changes: Any) -> sig.Tripped:
        """A verdict about `target`."""
        sound = sig.Tripped(at=self.now, target=target, cause=Cause.ERRORS, calls=9, failures=5)
        return msgspec.structs.replace(sound, **changes)

    def eject(self, target: Target = A0, **changes: Any) -> Command:
        """Tripped, and ejected for it."""
        command = self.command(target, Eject(), **changes)
        self.tell(self.tripped(target), command)
        return command

    def later(self, seconds: float) -> None:
        """Time passes."""
        self.now = Nanos(self.now + round(seconds * SECOND))

    @property
    def broken(self) -> list[str]:
        """The rules that broke, in order."""
        return [violation.rule for violation in self.watch.violations]
