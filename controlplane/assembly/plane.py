"""Configuration becomes wired objects: one `Plane` is all that a process needs, and the only place where rooms meet."""

import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

import anyio
from anyio.abc import TaskGroup, TaskStatus

from controlplane._native.guard import Guard
from controlplane.adapters.clock import SystemClock
from controlplane.adapters.deploy.build import deployers_of
from controlplane.adapters.gateway.guards import GuardSet
from controlplane.adapters.stores.memory import MemoryJournal
from controlplane.assembly.asking import Asking
from controlplane.assembly.changes import Changes
from controlplane.assembly.part import InMode, Started, enforced, host_of, journal_of, setup_of
from controlplane.assembly.people import acknowledgement, channels_of, standing_of
from controlplane.assembly.proxies import Proxies
from controlplane.assembly.telemetry import Telemetry
from controlplane.assembly.warm import warm_up
from controlplane.config import load_config
from controlplane.config.token import token_of
from controlplane.decide.engine import Engine
from controlplane.decide.feedback.storm import Storm
from controlplane.decide.gate import Verdict, verdict
from controlplane.decide.graph.live import DependencyGraph
from controlplane.decide.review.case import Case
from controlplane.decide.safety import NEVER, wrong_order
from controlplane.decide.state import State
from controlplane.decide.unfinished import recovering
from controlplane.model.config import Config
from controlplane.model.service_state import ServiceState
from controlplane.model.signal import Ordered, PersonOrder, Signal, Target
from controlplane.model.topology import Topology
from controlplane.model.unit import IncidentId, to_nanos
from controlplane.ports import Clock, Journal, Notifier
from controlplane.runtime.consistency import Ask
from controlplane.runtime.follow import Follower
from controlplane.runtime.loop import ControlLoop, LoopStatistics
from controlplane.runtime.recall import recall

if TYPE_CHECKING:
    import httpx
    from starlette.types import ASGIApp

    from controlplane.adapters.gateway.middleware import EntryOptions

logger = logging.getLogger("controlplane")

LINGER_S = 0.01  # what only tells that something has happened is put on record in company
LEAVE_S = 5.0  # what is decided is put on record before the plane is left; a disk that hangs does not hold the program


class Plane:
    """One process's control plane: guards for the calls it makes, and the loop that deliberates about them.

    `async with plane` starts the loop; before and after it guards, transport and middleware work by reflex alone.
    A plane belongs to one event loop and is entered once. A `journal` that is passed in is closed with the plane.
    `probes` asks every endpoint of a service with a `probe_path`, for processes with little traffic of their own.
    With `[arena]` the guards are those of the whole host, and one process `steers`: by default not this one but
    `controlplane serve`. A plane that does not steer acts by reflex, and deliberates about nothing.
    Raises  ConfigError when `config` contradicts itself; ArenaError when the host's memory cannot be shared.
    """

    def __init__(
        self,
        config: Config,
        *,
        journal: Journal | None = None,
        clock: Clock | None = None,
        notifiers: Sequence[Notifier] = (),
        seed: int | None = None,
        probes: bool = False,
        steers: bool | None = None,
    ) -> None:
        self.config = config
        self.steers = config.arena is None if steers is None else steers
        self.topology: Topology = config.topology()
        self.clock: Clock = clock or SystemClock()
        self.trouble = ""
        seed = seed if seed is not None else int.from_bytes(os.urandom(4))
        self._engine = Engine(
            self.topology, config.response_policy(), config.graph, playbooks=config.playbooks, people=config.people()
        )
        self._host = host_of(config, self.topology, steers=self.steers)
        with self._host.exclusive() if self._host is not None else nullcontext():
            self._guards = GuardSet(
                self.topology,
                config.policies,
                ring=self._ring,
                seed=seed,
                enforced=enforced(self.state),
                host=self._host,
            )
        for name, guarded in self._guards.services.items():  # results that come by `with`, in whatever thread
            guarded.guard.ring = partial(self._ring_threadsafe, name)
        self._enforced = enforced(self.state)
        self._asking = Asking(
            self.topology,
            config.response_policy(),
            probes=probes,
            transport=self.transport,
            recovering=lambda: recovering(self.state),
            ring=self._ring,
            clock=self.clock,
            seed=seed,
        )
        self.changes = Changes(self._guards, self.clock, self.submit_nowait)
        self.telemetry = Telemetry(config, self.clock, self._ring)
        self._journal = journal if journal is not None else journal_of(config, steers=self.steers)
        self._deployers, self._gates = deployers_of(
            config.services, config.deployers, token_of=token_of, clock=self.clock, ring=self._ring
        )
        self.proxies = Proxies(config, self._guards, clock=self.clock, ring=self._ring, seed=seed, steers=self.steers)
        self._loop = ControlLoop(
            self._engine,
            clock=self.clock,
            journal=self._journal,
            at_once=[InMode(self)],
            linger_s=LINGER_S,
            data_planes=self.proxies.planes,
            sources=[
                self._guards,
                *self.proxies.planes,
                self.proxies.compared,
                self._deployers,
                *self._asking.sources,
                *self.telemetry.sources,
            ],
            notifiers=notifiers,
            channels=channels_of(config, self.clock) if self.steers else (),
            standing=standing_of(lambda: self.state),
            setup=None if isinstance(self._journal, MemoryJournal) else setup_of(config, self.topology),
        )
        self._entered = False
        self._running = False
        self._tasks: TaskGroup | None = None

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], *, notifiers: Sequence[Notifier] = (), seed: int | None = None
    ) -> "Plane":
        """The plane of a configuration file. Raises ConfigError."""
        return cls(load_config(path), notifiers=notifiers, seed=seed)

    # life

    async def __aenter__(self) -> Self:
        """Own the journal, fold it, put what it holds in force again. Raises JournalBusy, JournalError."""
        if self._entered:
            raise RuntimeError("this Plane was entered before; a plane is entered once, make a new one")
        self._entered = True
        tasks = anyio.create_task_group()
        await tasks.__aenter__()
        self._tasks = tasks
        try:
            if self.steers:
                await tasks.start(self._deployers.run)
                self.proxies.start(tasks)  # before the loop, which orders again what is on record
                await tasks.start(self._run_loop)
                self.proxies.open(tasks)
                tasks.start_soon(self._guards.beat, self._loop.ring)
            else:
                self._running = True
            await tasks.start(self._guards.watch)
            self.telemetry.start(tasks, steers=self.steers)
            if self._host is not None:
                tasks.start_soon(self._host.attend, self._heard, self._guards.reclaim, self._guards.look)
            if self.steers:
                self._asking.start(tasks)
        except BaseException:
            await self._leave()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop deliberating and give the journal back. Whatever ended the body goes on as it was, never in a group."""
        await self._leave()

    async def _leave(self) -> None:
        assert self._tasks is not None
        self._tasks.cancel_scope.cancel()
        try:
            # the body's own exception is not handed in: a task group would wrap it
            await self._tasks.__aexit__(None, None, None)
        finally:
            self._running = False
            self.proxies.close()
            if self._host is not None:
                self._guards.leave()
                self._host.close()
            with anyio.CancelScope(shield=True), anyio.move_on_after(LEAVE_S):
                await self._journal.aclose()

    async def _run_loop(self, *, task_status: TaskStatus[None]) -> None:
        """Run the control loop. Should it break, the program around it goes on, protected by reflexes alone."""
        started = Started(self, task_status)
        try:
            await self._loop.run(task_status=started)
        except Exception as error:
            if not self._running:
                raise
            self.trouble = f"the control loop broke: {error!r}"
            logger.critical("%s; reflexes go on, orders in force run out", self.trouble, exc_info=error)
        finally:
            self._running = False

    def _on_started(self) -> None:
        warm_up()
        self.changes.follow(self.state)
        self._running = True
        if self._host is not None:  # who attached before us may have another policy or mode in force
            self._guards.retune(self.config.policies)
            self._enforced = -1
        self._follow_mode()  # an order on record may have changed the configured mode

    @property
    def ready(self) -> bool:
        """Whether the loop runs: the journal is folded, what it holds is in force. If not, `trouble` may say why."""
        return self._running

    @property
    def state(self) -> State:
        """What the engine knows. Read it, never write it."""
        return self._engine.state

    @property
    def graph(self) -> DependencyGraph:
        """Who calls whom, as declared and as heard. Read it, never write it."""
        return self._engine.graph

    def service_states(self, *, notable: bool = False) -> list[ServiceState]:
        """Every service as users see it, and as it is inside; `notable`: those of which there is something to say."""
        return self._engine.service_states(self.clock.now(), notable=notable)

    def storms(self) -> list[Storm]:
        """Edges on which far more is sent than was asked for."""
        return self._engine.storms()

    # the request path

    def transport(self, wrapped: "httpx.AsyncBaseTransport | None" = None) -> "httpx.AsyncBaseTransport":
        """A transport for `httpx.AsyncClient`: the URL's host names the service, the guard picks the endpoint.

        Hosts that are no service go through `wrapped` (default: httpx's own) untouched.
        """
        from controlplane.adapters.gateway.transport import GuardedTransport

        return GuardedTransport(self._guards, wrapped)

    def middleware(self, app: "ASGIApp", options: "EntryOptions | None" = None) -> "ASGIApp":
        """`app`, its incoming side observed and shed by priority."""
        from controlplane.adapters.gateway.middleware import EntryOptions, GuardMiddleware

        return GuardMiddleware(app, self._guards, options or EntryOptions())

    def gateway(self) -> "AbstractAsyncContextManager[ASGIApp]":
        """The reverse proxy of `[gateway]`, an ASGI application. Leaving closes its connections."""
        from controlplane.assembly.gateway import gateway_of

        return gateway_of(self)

    def guard(self, service: str) -> Guard:
        """The native guard of the calls to `service`. Raises KeyError, naming those there are."""
        guard = self.guard_or_none(service)
        if guard is None:
            raise KeyError(
                f"no calls to {service!r} are guarded; guarded: {', '.join(self._guards.services) or 'none'}"
            )
        return guard

    def guard_or_none(self, service: str) -> Guard | None:
        """The native guard of the calls to `service`; None for this process itself and for what nobody declared."""
        guarded = self._guards.services.get(service)
        return None if guarded is None else guarded.guard

    def members(self) -> list[Mapping[str, object]]:
        """The processes of this host that share its guards: slot, pid, role, since. Empty without `[arena]`."""
        return [] if self._host is None else self._host.members()

    def fell_back(self, service: str, count: int = 1) -> None:
        """Say that `count` requests were answered without `service`: its failure is masked, not absent."""
        self._guards.fell_back(service, count)

    def consistency_probe(self, service: str, ask: Ask) -> None:
        """Have the async function `ask` say whether `service` is consistent again, while an incident about it recovers.

        Raising, or answering False, says that it is not, and keeps the incident open. It is asked at most once in
        `probe_interval_s`, each time for `probe_timeout_s`, by the process that steers, and replaces what was to be
        asked before. Raises KeyError where nobody declared the service.
        """
        self._asking.ask_for(service, ask)

    # the deliberate path

    def submit_nowait(self, signal: Signal) -> None:
        """Hand a fact to the engine. Raises anyio.WouldBlock: the inbox is full; RuntimeError: outside `async with`."""
        self._check_running()
        self._loop.submit_nowait(signal)

    async def order(
        self,
        order: PersonOrder,
        *,
        by: str,
        reason: str = "",
        target: Target | None = None,
        rule: str = "",
        for_s: float = 0.0,
    ) -> None:
        """Give a person's order; on return it is on record and in force.

        hold, release       automation leaves `target` as it is (None: everything), for `for_s` (0: until released)
        override, revoke    break-glass: the safety `rule` is set aside for acts about `target`, for `for_s`
        Raises  ValueError when the order makes no sense; JournalError when it is in force but not on record;
                RuntimeError outside `async with`.
        """
        for_ns = to_nanos(for_s)
        if wrong := wrong_order(order, target, rule, for_ns, topology=self.topology, never=NEVER):
            raise ValueError(wrong)
        self._check_running()
        signal = Ordered(
            at=self.clock.now(), order=order, by=by, reason=reason, target=target, rule=rule, for_ns=for_ns
        )
        try:
            await self._loop.execute(signal)
        finally:  # also where the journal did not take it: the engine goes by it from now on
            self._follow_mode()

    async def acknowledge(self, incident: IncidentId, *, by: str, reason: str = "") -> None:
        """A person takes `incident`: its ladder is climbed no further while containment holds.

        Raises  KeyError for one that is not known; ValueError for one that is over; what `order` raises.
        """
        signal = acknowledgement(self.state, incident, by=by, reason=reason, now=self.clock.now())
        self._check_running()
        await self._loop.execute(signal)

    def gate(self, service: str, version: str = "") -> Verdict:
        """Whether a rollout of `service` may go on; its deployer, where that is a gate, counts as told."""
        answer = verdict(self.state, self.config.response_policy(), service, version)
        if answer.roll_back and (asked := self._gates.get(service)) is not None:
            asked.told(self.state.withdrawn[service].version)
        return answer

    def follow(self, after: int = 0) -> Follower:
        """Numbered records after the one numbered `after`, first those on record, then each as it is made.

        An async context manager and a stream; `statistics().last_number` begins with what comes next.
        """
        return self._loop.follow(after)

    async def recall(self, incident: IncidentId) -> Case | None:
        """What is on record about `incident`, however long ago it closed; None: nothing. Raises JournalError."""
        return await recall(self._journal, incident)

    def statistics(self) -> LoopStatistics:
        """Counts and response times of the control loop."""
        return self._loop.statistics()

    def _follow_mode(self) -> None:
        wanted = enforced(self.state)
        if wanted != self._enforced:
            self._enforced = wanted
            self._guards.enforce(wanted)

    def _ring(self) -> None:
        """A reflex here changed something: for the loop, and for the other processes of this host."""
        if self._host is not None:
            self._host.ring()
        if self._running and self.steers:
            self._loop.ring()

    def _ring_threadsafe(self, service: str) -> None:
        self._guards.rung(service)
        if self._host is not None:
            self._host.ring()
        if self._running and self.steers:
            self._loop.ring_threadsafe()

    def _heard(self) -> None:
        """Another process changed something."""
        self._guards.heed()
        if self.steers:
            self._loop.ring()
        else:
            self._guards.forget_rows()

    def _check_running(self) -> None:
        if not self.steers:
            raise RuntimeError("this process does not steer: the control plane of its host is `controlplane serve`")
        if not self._running:
            raise RuntimeError(self.trouble or "the plane is not running: enter it first, `async with plane`")
