"""One service's plane: its guards and its engine, driven as `runtime.loop` drives them, in virtual time."""

from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, Protocol

from controlplane.adapters.gateway.guards import GuardSet
from controlplane.decide.engine import Engine
from controlplane.model.command import Command, RollBack
from controlplane.model.errors import ActuationError
from controlplane.model.outcome import Outcome
from controlplane.model.playbook import Playbook
from controlplane.model.policy import GuardPolicy, ResponsePolicy
from controlplane.model.signal import Acted, RolledBack, Signal, Told
from controlplane.model.topology import Topology
from controlplane.model.unit import MILLISECOND, SECOND, Nanos

BEAT_NS = 50 * MILLISECOND  # as the stall watch
EDGE_NS = SECOND  # as the beat that tells of edges


class Watch(Protocol):
    """Who is told everything that goes into an engine and comes out of it."""

    def decided(self, signal: Signal | None, outcome: Outcome, now: Nanos) -> None:
        """The engine's answer to `signal`; None: a start or a tick."""

    def applied(self, command: Command, now: Nanos) -> None:
        """The guards have taken `command`."""


class Plane:
    """Guards, engine and the time at which each wants to be asked."""

    def __init__(
        self,
        topology: Topology,
        guard_policy: GuardPolicy | Mapping[str, GuardPolicy],
        policy: ResponsePolicy,
        *,
        seed: int,
        now: int,
        rang: Callable[[], None],
        watch: Watch | None = None,
        playbooks: Iterable[Playbook] = (),
        rolled_back: Callable[[Command], None] | None = None,
    ) -> None:
        self.topology = topology
        policies = {"default": guard_policy} if isinstance(guard_policy, GuardPolicy) else dict(guard_policy)
        enforced = int(policy.mode == "enforce")
        self.guards = GuardSet(topology, policies, ring=self._ring, seed=seed, enforced=enforced)
        self.engine = Engine(topology, policy, playbooks=playbooks)
        self._rolled_back = rolled_back
        self.rung = False
        self._rang, self._watch = rang, watch
        self._wake_at: Nanos | None = None
        self._beat_at = self._edges_at = now + EDGE_NS
        self._waiting: deque[Signal] = deque()
        self.commands = 0
        self._done(None, self.engine.start(Nanos(now), boot="sim", wall_ns=now), Nanos(now))

    def wake_at(self) -> int:
        """When it wants to be asked."""
        at = self._edges_at
        if self._wake_at is not None:
            at = min(at, self._wake_at)
        return min(at, self._beat_at) if self.guards.stall.inflight.total else at

    def wake(self, now: Nanos) -> None:
        """Everything that is due or was rung for."""
        if now >= self._beat_at:
            self._beat_at = now + BEAT_NS
            self._look(now / SECOND)
        if self.rung or now >= self._edges_at:
            self.rung = False
            if now >= self._edges_at:
                self._edges_at = now + EDGE_NS
            self._waiting.extend(self.guards.drain())
        self._decide(now)
        if self._wake_at is not None and now >= self._wake_at:
            self._waiting.extend(self.guards.sample())
            self._decide(now)
            self._done(None, self.engine.tick(now), now)
            self._decide(now)

    def tell(self, signal: Signal) -> None:
        """A signal from outside."""
        self._waiting.append(signal)
        self._ring()

    def _decide(self, now: Nanos) -> None:
        while self._waiting:
            signal = self._waiting.popleft()
            self._done(signal, self.engine.step(signal, now), now)

    def _done(self, signal: Signal | None, outcome: Outcome, now: Nanos) -> None:
        self._wake_at = outcome.wake_at
        if self._watch is not None:
            self._watch.decided(signal, outcome, now)
        answers: list[Signal] = [self._apply(command, now) for command in outcome.commands]
        # nobody is to be told in this world, and the engine hears that at once, as from a loop without notifiers
        answers += [Told(at=now, key=notice.key, by="nobody") for notice in outcome.notices]
        self._waiting.extendleft(reversed(answers))

    def _apply(self, command: Command, now: Nanos) -> Acted:
        self.commands += 1
        if isinstance(command.intent, RollBack) and self._rolled_back is not None:
            self._rolled_back(command)
            self._waiting.append(RolledBack(at=now, command=command.id, ok=True))
            return Acted(at=now, command=command.id, ok=True)
        try:
            _at_once(self.guards.apply(command))
        except ActuationError as error:
            return Acted(at=now, command=command.id, ok=False, reason=str(error), retryable=error.retryable)
        if self._watch is not None:
            self._watch.applied(command, now)
        return Acted(at=now, command=command.id, ok=True)

    def _look(self, now_s: float) -> None:
        """The stall watch's look: of each endpoint, what has been awaited for too long."""
        for lane in tuple(self.guards.stall.inflight.lanes()):
            if (attempt := lane.stalled(now_s)) is not None:
                lane.service.stall(attempt.permit)

    def _ring(self) -> None:
        self.rung = True
        self._rang()


def _at_once(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run what never waits."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise RuntimeError("a data plane in virtual time must not wait")
