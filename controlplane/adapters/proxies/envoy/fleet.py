"""The proxies that ask, as they stand: what each has acknowledged of what is wanted, by the id of its node."""

from collections.abc import Callable, Sequence
from typing import Final

from controlplane.adapters.proxies.envoy.ads import Peer
from controlplane.adapters.proxies.envoy.catalog import Key
from controlplane.adapters.proxies.envoy.discovery import RUNTIME
from controlplane.adapters.proxies.reconcile import EffectiveState, EffectiveView
from controlplane.model.signal import Target
from controlplane.model.unit import SECOND, Nanos
from controlplane.ports import Clock

SHOWN_MAX: Final = 200  # proxies; those that were gone longest make room
FORGOTTEN_NS: Final = 300 * SECOND  # one that has been gone for so long was taken away, and is missed no more
KIND: Final = "envoy"


class Fleet:
    """`keys` says what an order about a service is made of. `unshown` proxies found no room."""

    def __init__(self, name: str, clock: Clock, keys: Callable[[str], Sequence[Key]]) -> None:
        self.unshown = 0
        self._name, self._clock, self._keys = name, clock, keys
        self._states: dict[str, EffectiveState] = {}
        self._peers: dict[str, list[Peer]] = {}
        self._waiting: dict[str, dict[Target, None]] = {}
        self._gone_at: dict[str, Nanos] = {}

    def ordered(self, target: Target, now: Nanos) -> None:
        """An order about `target` is on its way to all who have to do something about it."""
        keys = self._keys(target.service)
        for node, peers in self._peers.items():
            if node in self._states and not all(peer.session.settled(keys) for peer in peers):
                self._states[node].ordered(target, now)
                self._waiting[node][target] = None

    def heard(self, peer: Peer) -> None:
        """`peer` has said something: what it waited for may be in force."""
        node = peer.session.node.id
        peers = self._peers.setdefault(node, [])
        if peer not in peers:
            peers.append(peer)
            self._joined(node, peer)
        if node not in self._states:
            return
        state, refused = self._states[node], peer.session.refused()
        for target in list(self._waiting[node]):
            keys = self._keys(target.service)
            if not all(one.session.settled(keys) for one in peers):
                continue
            del self._waiting[node][target]
            if why := next((refused[key].why for key in keys if key in refused), ""):
                state.refused(target, why)
            else:
                state.acknowledged(target, self._clock.now())

    def left(self, peer: Peer) -> None:
        """The stream of `peer` has ended."""
        node = peer.session.node.id
        peers = self._peers.get(node, [])
        if peer in peers:
            peers.remove(peer)
            if not peers:
                del self._peers[node]
                if node in self._states:
                    self._states[node].gone("its stream ended")
                    self._gone_at[node] = self._clock.now()

    def observed(self, node: str, count: int) -> None:
        """The access log of that node has told of so many calls."""
        if node in self._states:
            self._states[node].observed += count

    def views(self) -> list[EffectiveView]:
        """Every proxy as it stands."""
        now = self._clock.now()
        for node in [node for node, at in self._gone_at.items() if now - at > FORGOTTEN_NS]:
            self._forget(node)
        return [state.view(now) for state in self._states.values()]

    def _joined(self, node: str, peer: Peer) -> None:
        if node not in self._states:
            if len(self._states) >= SHOWN_MAX:
                if not self._gone_at:
                    self.unshown += 1
                    return
                self._forget(next(iter(self._gone_at)))
            self._states[node] = EffectiveState(f"{self._name}/{node or 'unnamed'}", KIND)
            self._waiting[node] = {}
        self._gone_at.pop(node, None)
        state, streams = self._states[node], len(self._peers[node])
        twins = f"{streams} streams at once call themselves {node!r}: each proxy needs an id of its own"
        # one that resumes has lost its stream and not itself
        instance = state.instance if peer.session.resumed and state.instance else peer.address
        state.found(instance, twins if streams > 1 else "")

    def _forget(self, node: str) -> None:
        del self._states[node], self._waiting[node], self._gone_at[node]


def takes_no_layer(peer: Peer) -> bool:
    """Whether a proxy that has a runtime does not take ours: it cannot be led anywhere."""
    return peer.session.node.agent.startswith(KIND) and RUNTIME not in peer.session.subscriptions
