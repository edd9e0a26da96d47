"""What one proxy has subscribed to, was sent and has acknowledged, on one stream of the discovery service; no I/O.

Both variants of the protocol (`world`, `delta`) share this bookkeeping. A resource is dirty until the version that the
proxy is to have was sent, and settled when it was acknowledged or refused. Nothing is queued: an answer is made of the
newest state when there is room for it, at most `UNACKED_MAX` ahead of the proxy, so that one that never acknowledges
costs nothing.

Source  envoyproxy.io, "xDS REST and gRPC protocol"
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from controlplane.adapters.proxies.envoy.catalog import ORDER, Catalog, Key
from controlplane.adapters.proxies.envoy.discovery import CLUSTER, ENDPOINTS, LISTENER, RUNTIME, Node, Resource
from controlplane.adapters.proxies.envoy.wire import WireError

UNACKED_MAX: Final = 8
NAMES_MAX: Final = 50_000  # of one type
ALL: Final = "*"
WHOLE: Final = (CLUSTER, LISTENER)  # an answer of the state of the world has all of these; what is left out is removed


class Refused(msgspec.Struct, frozen=True):
    """A version that a proxy refused, and why, in its own words."""

    version: str
    why: str


class Memory:
    """What a node refused and what it accepted last. It outlives streams: nobody is sent twice what it refused."""

    def __init__(self) -> None:
        self.refused: dict[Key, Refused] = {}
        self.good: dict[Key, Resource] = {}


class Sent(msgspec.Struct, frozen=True):
    """What an answer held."""

    resources: tuple[Resource, ...]
    removed: tuple[str, ...] = ()


class Subscription:
    """One type of resource on one stream."""

    def __init__(self) -> None:
        self.names: dict[str, None] = {}
        self.all = False
        self.asked = False
        self.dirty: dict[str, None] = {}
        self.alone: set[str] = set()  # of the dirty ones, those that go in an answer of their own
        self.pending: dict[str, Sent] = {}  # by nonce, oldest first
        self.sent: dict[str, str] = {}  # versions, by name: sent last, and acknowledged
        self.acked: dict[str, str] = {}

    def wants(self, name: str) -> bool:
        """Whether the proxy is to be told of `name`."""
        return self.all or name in self.names

    def subscribe(self, names: Iterable[str]) -> None:
        """Tell of `names`, too. Raises WireError where there are too many."""
        for name in names:
            self.names[name] = self.dirty[name] = None
        if len(self.names) > NAMES_MAX:
            raise WireError(f"more than {NAMES_MAX} names of one type")

    def unsubscribe(self, names: Iterable[str]) -> None:
        """Tell of `names` no more."""
        for name in names:
            for table in (self.names, self.dirty, self.sent, self.acked):
                table.pop(name, None)

    def due(self) -> list[str]:
        """The dirty names that the next answer is about."""
        if self.alone:
            return [next(iter(self.alone))]
        return [*self.dirty]


Switch = Callable[[Resource, Callable[[str], bool]], Resource]
"""What a proxy is to have of a runtime layer, if it has the endpoints of those clusters: nothing leads to nobody."""


class Session(ABC):
    """One stream. Feed it requests, tell it what has changed, take answers until there are none."""

    def __init__(
        self, catalog: Catalog, memories: dict[str, Memory] | None = None, *, switch: Switch | None = None
    ) -> None:
        self.node = Node()
        self.memory = Memory()
        self.resumed = False  # the proxy had resources when it came: it has lost the stream, and not itself
        self.subscriptions: dict[str, Subscription] = {}
        self._catalog, self._switch = catalog, switch
        self._memories = {} if memories is None else memories
        self._number = 0
        self._prolonged: set[str] = set()

    @abstractmethod
    def receive(self, data: bytes) -> None:
        """Take in a request. Raises WireError where it is none, or asks for too much."""

    @abstractmethod
    def _answer(self, type_url: str, it: Subscription, names: list[str], nonce: str) -> tuple[Sent, bytes]:
        """What tells of `names`."""

    @abstractmethod
    def _repeat(self, type_url: str, kept: tuple[Resource, ...], nonce: str) -> bytes:
        """What says that `kept` stay as they are."""

    def touch(self, keys: Iterable[Key]) -> None:
        """Those resources have changed, or are no more."""
        for type_url, name in keys:
            it = self.subscriptions.get(type_url)
            if it is not None and it.wants(name):
                it.dirty[name] = None

    def take(self) -> bytes | None:
        """The next answer to send; None: everything was sent, or the proxy has to acknowledge something first."""
        for type_url in ORDER:
            it = self.subscriptions.get(type_url)
            if it is None or not it.dirty or len(it.pending) >= UNACKED_MAX:
                continue
            names = it.due()
            for name in names:
                del it.dirty[name]
            it.alone.difference_update(names)
            nonce = str(self._number + 1)
            sent, answer = self._answer(type_url, it, names, nonce)
            if sent.resources or sent.removed or ALL in names:
                self._number += 1
                it.pending[nonce] = sent
                it.sent.update((one.name, one.version) for one in sent.resources)
                return answer
        return self._prolongation()

    def prolong(self) -> None:
        """Have the next answers prolong what expires by itself."""
        self._prolonged = {type_url for type_url, it in self.subscriptions.items() if it.acked}

    def _prolongation(self) -> bytes | None:
        """An answer that prolongs what the proxy has, where that is what it is to have; None: nothing is left to."""
        while self._prolonged:
            type_url = self._prolonged.pop()
            it = self.subscriptions[type_url]
            kept = tuple(
                one
                for name, version in it.acked.items()
                if (one := self.offered(type_url, name)) is not None and one.ttl_ns and one.version == version
            )
            if kept and len(it.pending) < UNACKED_MAX:
                self._number += 1
                it.pending[str(self._number)] = Sent(kept)
                return self._repeat(type_url, kept, str(self._number))
        return None

    def offered(self, type_url: str, name: str) -> Resource | None:
        """What this proxy is to have: what is wanted; if it refused just that, what it accepted last."""
        wanted = self._catalog.get(type_url, name)
        refused = self.memory.refused.get((type_url, name))
        if wanted is not None and refused is not None and refused.version == wanted.version:
            return self.memory.good.get((type_url, name))
        if wanted is not None and type_url == RUNTIME and self._switch is not None:
            return self._switch(wanted, self._has)
        return wanted

    def settled(self, keys: Iterable[Key]) -> bool:
        """Whether the proxy has acknowledged, or refused, what is wanted now; what it does not ask for is settled."""
        for type_url, name in keys:
            it = self.subscriptions.get(type_url)
            if it is None or not it.wants(name):
                continue
            offered = self.offered(type_url, name)
            if it.acked.get(name) != (offered.version if offered else None):
                return False
        return True

    @property
    def unacknowledged(self) -> int:
        """How many answers the proxy has said nothing to yet."""
        return sum(len(it.pending) for it in self.subscriptions.values())

    def wants(self, type_url: str, name: str) -> bool:
        """Whether the proxy asks for that resource."""
        it = self.subscriptions.get(type_url)
        return it is not None and it.wants(name)

    def refused(self) -> dict[Key, Refused]:
        """What the proxy refuses of what is wanted now."""
        return {
            key: refused
            for key, refused in self.memory.refused.items()
            if (wanted := self._catalog.get(*key)) is not None and wanted.version == refused.version
        }

    def _accepted(self, type_url: str, resource: Resource) -> None:
        """The proxy has `resource`, and it is good."""
        is_new = (type_url, resource.name) not in self.memory.good
        self.memory.good[type_url, resource.name] = resource
        if is_new and type_url == ENDPOINTS:
            self._switch_again()

    def _has(self, cluster: str) -> bool:
        """Whether the proxy has endpoints of `cluster`, as far as it has said. One that has lost its stream and not
        itself has what it had, and it asks for the layer first: no call is to fall back to what is contained until
        then."""
        if (ENDPOINTS, cluster) in self.memory.good:
            return True
        return self.resumed and (ENDPOINTS not in self.subscriptions or self.wants(ENDPOINTS, cluster))

    def _switch_again(self) -> None:
        """What the proxy has, or says that it has, is different: so may be where it is led."""
        runtime = self.subscriptions.get(RUNTIME)
        if runtime is None:
            return
        for name in runtime.names:
            offered = self.offered(RUNTIME, name)
            if offered is not None and runtime.sent.get(name) != offered.version:
                runtime.dirty[name] = None

    def _begin(self, type_url: str, node: Node | None) -> Subscription | None:
        """The subscription that a request is about; None: of a type that is not served, which is not answered."""
        if node is not None and not self.node.id:
            self.node = node
            self.memory = self._memories.setdefault(node.id, self.memory)
        if type_url not in ORDER:
            return None
        return self.subscriptions.setdefault(type_url, Subscription())

    def _acknowledge(self, type_url: str, it: Subscription, nonce: str, why: str | None) -> None:
        """The proxy has accepted the answer numbered `nonce`, or refused it."""
        sent = it.pending.pop(nonce, Sent(()))
        taken = sent.resources
        if why is not None:
            # Envoy names what it refuses. If it does not, each goes in an answer of its own, and that tells which it is
            named = [one for one in taken if _names(why, one.name)]
            if type_url in WHOLE or len(taken) == 1:
                named = named or [*taken]
            for one in named:
                self.memory.refused[type_url, one.name] = Refused(one.version, why)
            rest = [one for one in taken if one not in named]
            if type_url not in WHOLE:  # one after the refused one was perhaps not looked at
                it.dirty.update((one.name, None) for one in rest)
                it.alone.update(one.name for one in rest)
                rest = []
            taken = tuple(rest)
        for one in taken:
            if it.wants(one.name):
                it.acked[one.name] = one.version
            self._accepted(type_url, one)
        for name in sent.removed:
            it.acked.pop(name, None)


def _names(why: str, name: str) -> bool:
    """Whether a refusal names `name`, and not a longer one that begins or ends like it."""
    return re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w.-])", why) is not None
