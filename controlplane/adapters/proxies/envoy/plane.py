"""Every Envoy that asks this control plane, as one data plane: what is wanted is in force when those that carry the
calls have acknowledged it."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import anyio
from anyio.abc import ByteStream, Listener, TaskStatus

from controlplane.adapters.proxies.envoy.accesslog import AccessLogService
from controlplane.adapters.proxies.envoy.ads import DiscoveryService, Peer
from controlplane.adapters.proxies.envoy.call import Limits
from controlplane.adapters.proxies.envoy.catalog import Key
from controlplane.adapters.proxies.envoy.discovery import ENDPOINTS
from controlplane.adapters.proxies.envoy.fleet import KIND, Fleet, takes_no_layer
from controlplane.adapters.proxies.envoy.grpc import GrpcServer
from controlplane.adapters.proxies.envoy.health import HealthService
from controlplane.adapters.proxies.envoy.resources.address import literals, resolved
from controlplane.adapters.proxies.envoy.resources.name import LAYER, contained
from controlplane.adapters.proxies.envoy.served import Served
from controlplane.adapters.proxies.pace import Pace
from controlplane.adapters.proxies.reconcile import EffectiveState, EffectiveView
from controlplane.adapters.proxies.wanted import Wanted
from controlplane.model.command import Command, FailOver, Restore, RollBack, Shed, Tighten
from controlplane.model.errors import ActuationError
from controlplane.model.policy import GuardPolicy
from controlplane.model.signal import Effective, Signal
from controlplane.model.topology import Service
from controlplane.model.unit import to_nanos, to_seconds
from controlplane.ports import CallJudge, Clock

logger = logging.getLogger(__name__)

TTL_S: Final = 15.0  # longer than a restart of the plane and the pause after which a proxy dials again
BEATS: Final = 3  # in a time to live
RESOLVE_S: Final = 30.0
ACK_S: Final = 1.0  # a proxy that has not acknowledged by then is not waited for again before it has


class EnvoyPlane:
    """A `ports.DataPlane` and `ports.SignalSource`. `services` are those whose calls pass these proxies; `policies`
    go by service; `ring` says that there are signals.

    `routes` leads prefixes to services, for proxies that take their routes from here. What contains ends in a proxy
    `ttl_s` after it last heard of the plane. `entry`: what these proxies are asked, users ask. Proxies that ask for it
    are told to probe endpoints every `probe_interval_s`.
    """

    def __init__(
        self,
        name: str,
        services: Sequence[Service],
        policies: Mapping[str, GuardPolicy],
        *,
        clock: Clock,
        judge: CallJudge,
        ring: Callable[[], None] = lambda: None,
        routes: Mapping[str, str] | None = None,
        ttl_s: float = TTL_S,
        entry: bool = False,
        limits: Limits | None = None,
        probe_interval_s: float = 1.0,
        probe_timeout_s: float = 1.0,
    ) -> None:
        self.name = name
        self._services, self._clock, self._ring, self._ttl_s = services, clock, ring, ttl_s
        self.wanted = Wanted({one.name: tuple(endpoint.name for endpoint in one.endpoints) for one in services})
        self._literals = literals(services)
        self._addresses = dict(self._literals)
        self._served = Served(services, policies, routes or {}, ttl_ns=to_nanos(ttl_s))
        self._served.place(self._addresses, self.wanted)
        self._fleet = Fleet(name, clock, self._served.keys)
        self.discovery = DiscoveryService(
            self._served.catalog, clock, heard=self._heard, left=self._left, switch=self._served.switch
        )
        self._pace = Pace(judge, self.wanted)
        self.logs = AccessLogService(
            self._pace, lambda: self._served.endpoints, clock, entry=entry, heard=self._fleet.observed
        )
        self.health = HealthService(
            services,
            lambda: self._addresses,
            clock,
            every_ns=to_nanos(probe_interval_s),
            timeout_ns=to_nanos(probe_timeout_s),
            ring=ring,
        )
        self.server = GrpcServer({**self.discovery.handlers, **self.logs.handlers, **self.health.handlers}, limits)
        self._moved = anyio.Event()  # a proxy has said something, or left
        self._leased = anyio.Event()  # leases are different
        self._open = False
        self._signals: list[Signal] = []

    # ports.SignalSource

    def drain(self) -> list[Signal]:
        """When orders came into force here, and how proxies found endpoints that they asked."""
        signals, self._signals = self._signals, []
        return [*signals, *self.health.take()]

    def sample(self) -> list[Signal]:
        """The same."""
        return self.drain()

    # ports.DataPlane

    async def apply(self, command: Command) -> None:
        """Return when the proxies that carry the service have acknowledged `command`. Before any is answered it is
        taken on trust: whoever comes gets it first of all.

        Raises  NotHere, StaleEpoch, StaleCommand, LeaseLapsed as `Wanted.check`; ActuationError for what proxies
        refuse, and, retryable, where none is there: those that come get it all the same.
        """
        now = self._clock.now()
        self.wanted.check(command, now)
        service = command.target.service
        self._check_possible(command)
        changed = self.wanted.apply(command, now)
        if isinstance(command.intent, RollBack) or command.enforcement == "shadow":
            return
        self._leased.set()
        self._pace.ordered()
        self._tell(self._served.render(service, self.wanted))
        self._fleet.ordered(command.target, now)
        if not self._open:
            return
        await self._in_force(service)
        if changed and not isinstance(command.intent, Restore) and command.signal_at:
            self._signals.append(Effective(at=self._clock.now(), target=command.target, signal_at=command.signal_at))
            self._ring()

    async def run(
        self, listener: Listener[ByteStream], *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve proxies until cancelled."""
        await self._resolve()
        self._open = True
        async with anyio.create_task_group() as tasks:
            await tasks.start(self.server.serve, listener)
            tasks.start_soon(self.discovery.beat, self._ttl_s / BEATS)
            tasks.start_soon(self._expire)
            tasks.start_soon(self._pace.run, lambda service: self._tell(self._served.render(service, self.wanted)))
            tasks.start_soon(self._follow_names)
            task_status.started()

    def views(self) -> list[EffectiveView]:
        """Every proxy as it stands; as long as none has come, one that is new."""
        return self._fleet.views() or [EffectiveState(self.name, KIND).view(self._clock.now())]

    def _check_possible(self, command: Command) -> None:
        service = command.target.service
        if isinstance(command.intent, RollBack):
            return
        if isinstance(command.intent, Shed | Tighten) and not self._served.routed(service):
            what = type(command.intent).__name__
            reason = f"{what} needs the routes to {service} to be taken from here: name them in `routes`"
            raise ActuationError(reason, retryable=False)
        if isinstance(command.intent, FailOver) and not self._served.stands_by(service):
            reason = f"no endpoint of {service} stands by: all have the same priority"
            raise ActuationError(reason, retryable=False)
        if not self._served.expressible(service):
            raise ActuationError(f"no endpoint of {service} has a known address", retryable=True)

    async def _in_force(self, service: str) -> None:
        """Return when the proxies that carry `service` have acknowledged what is wanted of it. Raises
        ActuationError."""
        keys = self._served.keys(service)
        with anyio.move_on_after(ACK_S):
            while any(not peer.slow for peer in self._late(service, keys)):
                await self._moved.wait()
        late = self._late(service, keys)
        for peer in late:
            peer.slow = True
        carriers = self._carriers(service)
        if not carriers:
            raise ActuationError(f"no proxy takes {contained(service)} from {self.name}", retryable=True)
        for peer in carriers:
            if takes_no_layer(peer):
                reason = f"{peer} takes no runtime layer {LAYER!r} from here, so that nothing leads its calls anywhere"
                raise ActuationError(reason, retryable=False)
            refused = peer.session.refused()
            if why := next((refused[key].why for key in keys if key in refused), ""):
                raise ActuationError(f"{peer} refuses it: {why}", retryable=False)
        if len(late) == len(carriers):
            raise ActuationError(f"not acknowledged within {ACK_S:g} s by {_listed(late)}", retryable=True)

    def _carriers(self, service: str) -> list[Peer]:
        return [peer for peer in self.discovery.peers.values() if peer.session.wants(ENDPOINTS, contained(service))]

    def _late(self, service: str, keys: Sequence[Key]) -> list[Peer]:
        return [peer for peer in self._carriers(service) if not peer.session.settled(keys)]

    def _tell(self, keys: Iterable[Key]) -> None:
        if keys := list(keys):
            self.discovery.changed(keys)

    def _heard(self, peer: Peer) -> None:
        if not peer.session.unacknowledged:
            peer.slow = False
        self._fleet.heard(peer)
        self._wake()

    def _left(self, peer: Peer) -> None:
        self._fleet.left(peer)
        self._wake()

    def _wake(self) -> None:
        self._moved.set()
        self._moved = anyio.Event()

    async def _expire(self) -> None:
        """Take back what is not renewed, until cancelled."""
        while True:
            self._leased = anyio.Event()
            now, at = self._clock.now(), self.wanted.expires_at()
            if at is None or at > now:
                with anyio.move_on_after(None if at is None else to_seconds(at - now)):
                    await self._leased.wait()
                continue
            over = {order.command.target.service for order in self.wanted.expire(now)}
            for service in over:
                self._tell(self._served.render(service, self.wanted))

    async def _follow_names(self) -> None:
        """Look names of endpoints up again and again, until cancelled; addresses need none."""
        if len(self._literals) == sum(len(service.endpoints) for service in self._services):
            return
        while True:
            await anyio.sleep(RESOLVE_S)
            await self._resolve()

    async def _resolve(self) -> None:
        before = self._addresses
        self._addresses = {**self._literals, **await resolved(self._services, self._addresses)}
        if self._addresses != before:
            self.health.moved()
        self._tell(self._served.place(self._addresses, self.wanted))
        for service in self._services:
            if not self._served.expressible(service.name) and service.endpoints:
                logger.warning("no endpoint of %s has a known address; proxies get none from here", service.name)


def _listed(peers: Iterable[Peer]) -> str:
    return ", ".join(str(peer) for peer in peers)
