"""The aggregated discovery service: every stream of every proxy, served from one catalog."""

import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

import anyio

from controlplane.adapters.proxies.envoy.call import INVALID_ARGUMENT, Call, Handler, RpcError, cause
from controlplane.adapters.proxies.envoy.catalog import Catalog, Key
from controlplane.adapters.proxies.envoy.delta import DeltaSession
from controlplane.adapters.proxies.envoy.session import Memory, Session, Switch
from controlplane.adapters.proxies.envoy.wire import WireError
from controlplane.adapters.proxies.envoy.world import WorldSession
from controlplane.model.unit import Nanos
from controlplane.ports import Clock

logger = logging.getLogger(__name__)

_SERVICE: Final = "/envoy.service.discovery.v3.AggregatedDiscoveryService/"
NODES_MAX: Final = 1024  # whose refusals are remembered, a third of a megabyte each with a thousand services


class Peer:
    """One stream and who is behind it. `slow`: it was waited for in vain."""

    def __init__(self, session: Session, address: str, now: Nanos) -> None:
        self.session, self.address, self.since = session, address, now
        self.wake = anyio.Event()
        self.slow = False

    def __str__(self) -> str:
        return f"{self.session.node.id or 'unnamed'} ({self.address})"


class DiscoveryService:
    """Streams of proxies. `heard` is called after each request of one, and `left` when one has ended."""

    def __init__(
        self,
        catalog: Catalog,
        clock: Clock,
        *,
        heard: Callable[[Peer], None] = lambda _: None,
        left: Callable[[Peer], None] = lambda _: None,
        switch: Switch | None = None,
    ) -> None:
        self.catalog = catalog
        self.peers: dict[int, Peer] = {}
        self.malformed = 0
        self._clock, self._heard, self._left, self._switch = clock, heard, left, switch
        self._memories: dict[str, Memory] = {}

    @property
    def handlers(self) -> dict[str, Handler]:
        """What `GrpcServer` is to serve."""
        return {
            _SERVICE + "StreamAggregatedResources": partial(self._serve, WorldSession),
            _SERVICE + "DeltaAggregatedResources": partial(self._serve, DeltaSession),
        }

    def changed(self, keys: Iterable[Key]) -> None:
        """Those resources of the catalog are different now: send them to whoever asks for them."""
        keys = list(keys)
        for peer in self.peers.values():
            peer.session.touch(keys)
            peer.wake.set()

    async def beat(self, every_s: float) -> None:
        """Prolong what expires by itself, until cancelled."""
        while True:
            await anyio.sleep(every_s)
            for peer in self.peers.values():
                peer.session.prolong()
                peer.wake.set()

    async def _serve(self, variant: type[Session], call: Call) -> None:
        while len(self._memories) > NODES_MAX:
            self._memories.pop(next(iter(self._memories)))
        peer = Peer(variant(self.catalog, self._memories, switch=self._switch), call.peer, self._clock.now())
        self.peers[id(peer)] = peer
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._answer, peer, call)
                while (data := await call.receive()) is not None:
                    self._take(peer, data)
                    peer.wake.set()
                    self._heard(peer)
                tasks.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            raise cause(group) from None
        finally:
            del self.peers[id(peer)]
            self._left(peer)

    def _take(self, peer: Peer, data: bytes) -> None:
        try:
            peer.session.receive(data)
        except WireError as error:
            self.malformed += 1
            logger.warning("%s: what it asks cannot be read: %s", peer, error)
            raise RpcError(INVALID_ARGUMENT, str(error)) from error

    async def _answer(self, peer: Peer, call: Call) -> None:
        while True:
            while (answer := peer.session.take()) is not None:
                await call.send(answer)
            await peer.wake.wait()
            peer.wake = anyio.Event()
