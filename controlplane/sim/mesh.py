"""A mesh as data: services with replicas, and who calls whom. `topology` is what a control plane is told of it."""

import msgspec

from controlplane.model.topology import Endpoint, Service, Topology

USERS = "users"


class Replica(msgspec.Struct, frozen=True, kw_only=True):
    """One process: so many requests at a time, so many more wait; `priority` above 0 stands by."""

    name: str
    workers: int
    queue_max: int
    zone: str = ""
    version: str = ""
    priority: int = 0


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """An edge. Of all requests, those whose own random number lies in [low, high) make this call; `soft`: a fallback
    answers where it fails. `timeout_s` of one attempt, `attempts` in all: what the client is configured to."""

    callee: str
    soft: bool = False
    low: float = 0.0
    high: float = 1.0
    timeout_s: float = 1.0
    attempts: int = 3


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A service. `work_s` on average, lognormal with `sigma`; `errors` is the share that fails when all is well. The
    calls come after the work, one by one, and hold the worker."""

    name: str
    replicas: tuple[Replica, ...]
    work_s: float
    sigma: float = 0.5
    errors: float = 0.001
    calls: tuple[Call, ...] = ()
    external: bool = False


class Mesh(msgspec.Struct, frozen=True, kw_only=True):
    """Services, of which `entry` is the one that users call."""

    nodes: tuple[Node, ...]
    entry: str
    net_s: float = 0.0005

    def node(self, name: str) -> Node:
        """The service of that name. Raises KeyError."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)

    def edges(self) -> list[tuple[str, Call]]:
        """(caller, call) in the order in which they are made."""
        return [(node.name, call) for node in self.nodes for call in node.calls]

    def callers(self) -> list[str]:
        """Services that call others."""
        return [node.name for node in self.nodes if node.calls]

    def topology(self, entry: str) -> Topology:
        """What the plane in `entry`'s processes is configured with: everybody's names and calls, and the endpoints of
        those whom it calls itself."""
        called = {call.callee for call in self.node(entry).calls}
        soft = {call.callee for node in self.nodes for call in node.calls if call.soft}
        return Topology(
            services=tuple(
                Service(
                    name=node.name,
                    endpoints=tuple(_endpoint(at, one) for at, one in enumerate(node.replicas))
                    if node.name in called
                    else (),
                    calls=tuple(call.callee for call in node.calls),
                    external=node.external,
                    fallback=node.name in soft,
                )
                for node in self.nodes
            ),
            entry=entry,
        )


def _endpoint(at: int, one: Replica) -> Endpoint:
    url = f"http://127.0.0.1:{at + 1}"
    return Endpoint(name=one.name, url=url, zone=one.zone, version=one.version, priority=one.priority)
