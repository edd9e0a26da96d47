"""Which services and edges are known: names to numbers, in bounded memory whatever names come.

Declared and imported ones always fit and never go. Each other edge weighs as often as it was heard lately: every sample
adds one, and a weight halves in HALF_LIFE_BUCKETS buckets. While there is room every edge is taken in. When there is
none, a newcomer takes the place of the lightest one as soon as it has surely been heard more often than that one
weighs, and once more: invented names that come once push out nothing, however many they are. How often a newcomer was
heard is counted by the algorithm of Misra and Gries, which never counts too much.

Source  Misra, Gries: Finding repeated elements (1982). docs/concepts/dependency-graph.md has the bounds.
"""

from array import array
from collections.abc import Callable

import numpy as np

from controlplane.model.graph import Origin
from controlplane.model.topology import Topology
from controlplane.model.unit import Nanos

HALF_LIFE_BUCKETS = 10
NEWCOMERS_MAX = 256  # that are counted at a time
NAME_CHARS_MAX = 128  # as in configuration; names are memory, too
NEVER = Nanos(-1)
OUTSIDE = 0  # index of the caller without a name: users, or nobody knows who


class Register:
    """Services and edges by number; numbers of those that went are given again. `gone` is told of each such edge."""

    def __init__(
        self, topology: Topology, *, services_max: int, edges_max: int, gone: Callable[[int], None] = lambda _: None
    ) -> None:
        self.services_max = max(services_max, len(topology.services))
        self.edges_max = max(edges_max, len(topology.edges()))
        self.evicted = self.faded = self.refused = 0
        self.names: list[str] = [""]
        self.degree: list[int] = [1]
        self.pinned_names: set[str] = {""}
        self.number: dict[str, int] = {"": OUTSIDE}
        self.edges: dict[tuple[str, str], int] = {}
        self.out: dict[str, dict[str, int]] = {}  # of each caller, its callees and the numbers of those edges
        self.into: dict[str, dict[str, int]] = {}  # of each callee, its callers
        self.caller: list[int] = []
        self.callee: list[int] = []
        self.origin: list[Origin | None] = []  # None: the number is free
        self.heard_at = array("q")
        self.weight = array("d")
        self._free_services: list[int] = []
        self._free_edges: list[int] = []
        self._newcomers: dict[tuple[str, str], float] = {}
        self._floors = [0.0, 0.0]  # no edge, no service that could go weighs less: spares looking for each newcomer
        self._gone = gone
        for service in topology.services:
            self.pinned_names.add(service.name)
            self._service(service.name)
        for caller, callee in topology.edges():
            self.pin(caller, callee, "declared")

    @property
    def services(self) -> int:
        """How many are known; the nameless caller apart."""
        return len(self.number) - 1

    def pin(self, caller: str, callee: str, origin: Origin) -> bool:
        """Take an edge in for good; False: there is no room for it."""
        edge = self.edges.get((caller, callee))
        if edge is None:
            new = {name for name in (caller, callee) if name not in self.number}
            if len(self.edges) >= self.edges_max or self.services + len(new) > self.services_max:
                return False
            edge = self._edge(caller, callee)
        self.origin[edge] = origin
        self.pinned_names |= {caller, callee}
        return True

    def admit(self, caller: str, callee: str) -> int | None:
        """The number of an edge that was not known; None: there is no place for it, or not yet."""
        if not callee or caller == callee or max(len(caller), len(callee)) > NAME_CHARS_MAX:
            self.refused += 1
            return None
        if not self._make_room(caller, callee):
            self.refused += 1
            return None
        return self._edge(caller, callee)

    def fade(self, before: Nanos) -> None:
        """Forget learned edges that were heard last `before` that time."""
        if not self.heard_at:
            return
        for edge in np.flatnonzero(np.array(self.heard_at) < before).tolist():
            if self.origin[edge] == "learned":
                self.faded += 1
                self._drop(edge)

    def age(self, buckets: float) -> None:
        """So many buckets have passed: what was heard before weighs less."""
        factor = 0.5 ** (buckets / HALF_LIFE_BUCKETS)
        self._floors = [0.0, 0.0]
        if self.weight:
            weights = np.frombuffer(self.weight, dtype=np.float64)
            weights *= factor
        # a newcomer that was heard once, some time ago, is nobody
        self._newcomers = {key: heard * factor for key, heard in self._newcomers.items() if heard * factor >= 0.5}

    def _make_room(self, caller: str, callee: str) -> bool:
        wanted = [name for name in (caller, callee) if name not in self.number]
        short = self.services + len(wanted) - self.services_max
        if len(self.edges) < self.edges_max and short <= 0:
            return True
        limit = self._heard((caller, callee)) - 1
        if limit <= self._floors[short > 0]:
            return False
        going = self._edges_of_lightest_services(short, limit, (caller, callee)) if short > 0 else []
        if going is not None and not going:
            going = self._lightest_edge(limit)
        if going is None:
            return False
        self._newcomers.pop((caller, callee))
        for edge in going:
            self.evicted += 1
            self._drop(edge)
        return self.services + sum(name not in self.number for name in wanted) <= self.services_max

    def _heard(self, key: tuple[str, str]) -> float:
        """How often a newcomer has surely been heard, this time included."""
        newcomers, once = self._newcomers, 1.0
        if key not in newcomers and len(newcomers) >= NEWCOMERS_MAX:
            least = min(once, *newcomers.values())
            newcomers = {other: heard - least for other, heard in newcomers.items() if heard > least}
            self._newcomers, once = newcomers, once - least
        if once > 0.0:
            newcomers[key] = newcomers.get(key, 0.0) + once
        return newcomers.get(key, 0.0)

    def _lightest_edge(self, limit: float) -> list[int] | None:
        """The learned edge that weighs least, if that is less than `limit`."""
        weights = np.array(self.weight)
        weights[[edge for edge, origin in enumerate(self.origin) if origin != "learned"]] = np.inf
        edge = int(np.argmin(weights))
        if weights[edge] < limit:
            return [edge]
        self._floors[0] = float(weights[edge])
        return None

    def _edges_of_lightest_services(self, count: int, limit: float, apart: tuple[str, str]) -> list[int] | None:
        """All edges of the `count` learned services that weigh least; None: not so many weigh less than `limit`."""
        weights = np.zeros(len(self.names))
        live = list(self.edges.values())
        for end in (self.caller, self.callee):
            np.add.at(weights, [end[edge] for edge in live], [self.weight[edge] for edge in live])
        fixed = [number for name, number in self.number.items() if name in self.pinned_names or name in apart]
        weights[[*fixed, *self._free_services]] = np.inf
        lightest = np.argsort(weights, kind="stable")[:count].tolist()
        if len(lightest) < count or weights[lightest[-1]] >= limit:
            self._floors[1] = float(weights[lightest[0]])
            return None
        leaving = set(lightest)
        return [edge for edge in live if self.caller[edge] in leaving or self.callee[edge] in leaving]

    def _service(self, name: str) -> int:
        number = self.number.get(name)
        if number is None:
            if self._free_services:
                number = self._free_services.pop()
                self.names[number] = name
            else:
                number = len(self.names)
                self.names.append(name)
                self.degree.append(0)
            self.number[name] = number
        return number

    def _edge(self, caller: str, callee: str) -> int:
        ends = self._service(caller), self._service(callee)
        for end in ends:
            self.degree[end] += 1
        if self._free_edges:
            edge = self._free_edges.pop()
            self.caller[edge], self.callee[edge] = ends
            self.origin[edge], self.heard_at[edge], self.weight[edge] = "learned", NEVER, 0.0
        else:
            edge = len(self.origin)
            self.caller.append(ends[0])
            self.callee.append(ends[1])
            self.origin.append("learned")
            self.heard_at.append(NEVER)
            self.weight.append(0.0)
        self.edges[caller, callee] = edge
        self.out.setdefault(caller, {})[callee] = edge
        self.into.setdefault(callee, {})[caller] = edge
        self._floors = [0.0, 0.0]
        return edge

    def _drop(self, edge: int) -> None:
        caller, callee = self.caller[edge], self.callee[edge]
        one, other = self.names[caller], self.names[callee]
        del self.edges[one, other]
        for ends, this, that in ((self.out, one, other), (self.into, other, one)):
            del ends[this][that]
            if not ends[this]:
                del ends[this]
        self.origin[edge], self.heard_at[edge], self.weight[edge] = None, NEVER, 0.0
        self._free_edges.append(edge)
        for end in (caller, callee):
            self.degree[end] -= 1
            if not self.degree[end] and self.names[end] not in self.pinned_names:
                del self.number[self.names[end]]
                self.names[end] = ""
                self._free_services.append(end)
        self._gone(edge)
