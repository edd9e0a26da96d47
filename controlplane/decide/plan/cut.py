"""The cheapest set of edges that parts the origin of a failure from what is to be protected.

Minimum cut by maximum flow (Dinic): level the residual network by breadth-first search, fill it with blocking flow,
until the sinks cannot be reached any more. The largest flow equals the smallest cut, so the flow that comes back with
the cut is a certificate: whoever adds it up need not believe the search.

Among equally cheap cuts it is the one nearest to the source: its side is what the residual network still reaches from
the source. Minimum cuts form a lattice, and that set lies within the source side of every one of them; it is the same
for every maximum flow, hence for every order of nodes and arcs.

Capacities are integers, so that nothing hangs on rounding: the sums that must agree do so exactly.

Cost: O(nodes^2 x arcs) in the worst case. Call graphs are shallow and need a handful of levels: 50 nodes take half a
millisecond, thousands of arcs tens of them (docs/concepts/containment.md has the figures).
"""

from collections.abc import Sequence

import msgspec


class Cut(msgspec.Struct, frozen=True, kw_only=True):
    """Arcs to cut (ascending indices), what they cost, the nodes left on the source's side, the flow of each arc."""

    arcs: tuple[int, ...]
    value: int
    side: frozenset[int]
    flow: tuple[int, ...]


def minimum_cut(
    nodes: int, arcs: Sequence[tuple[int, int]], capacity: Sequence[int | None], source: int, sinks: Sequence[int]
) -> Cut | None:
    """The cheapest arcs without which no path leads from `source` to any of `sinks`, nearest to `source`.

    `capacity` is the price of each arc, None where it must not be cut. None is returned where only forbidden arcs would
    part them, or `source` is itself a sink. Arcs that lead nowhere, double arcs and loops are allowed.

    Raises  ValueError when an arc, the source or a sink is not a node, or a price is negative.
    """
    _check(nodes, arcs, capacity, source, sinks)
    if source in sinks:
        return None
    endless = 1 + sum(price for price in capacity if price is not None)
    network = _Network(nodes + 1)
    for (tail, head), price in zip(arcs, capacity, strict=True):
        network.add(tail, head, endless if price is None else price)
    for sink in dict.fromkeys(sinks):
        network.add(sink, nodes, endless)
    value = 0
    while value < endless and network.level(source)[nodes] >= 0:
        value += network.fill(source, nodes)
    if value >= endless:
        return None
    level = network.level(source)
    side = frozenset(node for node in range(nodes) if level[node] >= 0)
    crossing = tuple(at for at, (tail, head) in enumerate(arcs) if tail in side and head not in side)
    assert value == sum(capacity[at] or 0 for at in crossing), "a maximum flow fills the minimum cut"
    return Cut(arcs=crossing, value=value, side=side, flow=tuple(network.rest[2 * at + 1] for at in range(len(arcs))))


class _Network:
    """A residual network: arc 2k and its reverse 2k + 1, `rest` is what each can still carry."""

    def __init__(self, nodes: int) -> None:
        self.out: list[list[int]] = [[] for _ in range(nodes)]
        self.head: list[int] = []
        self.rest: list[int] = []
        self._level: list[int] = []

    def add(self, tail: int, head: int, capacity: int) -> None:
        self.out[tail].append(len(self.head))
        self.out[head].append(len(self.head) + 1)
        self.head += (head, tail)
        self.rest += (capacity, 0)

    def level(self, source: int) -> list[int]:
        """Steps from `source` to each node in the residual network; -1: out of reach."""
        self._level = level = [-1] * len(self.out)
        level[source] = 0
        queue = [source]
        for node in queue:
            for arc in self.out[node]:
                if self.rest[arc] and level[self.head[arc]] < 0:
                    level[self.head[arc]] = level[node] + 1
                    queue.append(self.head[arc])
        return level

    def fill(self, source: int, sink: int) -> int:
        """Send flow along shortest paths until each of them has a full arc; returns how much."""
        tried, sent = [0] * len(self.out), 0  # arcs already found to lead nowhere, per node
        path: list[int] = []
        node = source
        while True:
            if node == sink:
                amount = min(self.rest[arc] for arc in path)
                sent += amount
                full = len(path)
                for at, arc in enumerate(path):
                    self.rest[arc] -= amount
                    self.rest[arc ^ 1] += amount
                    if not self.rest[arc]:
                        full = min(full, at)
                node = self.head[path[full] ^ 1]  # go on from the tail of the first full arc
                del path[full:]
            elif (arc := self._onward(node, tried)) >= 0:
                path.append(arc)
                node = self.head[arc]
            elif path:
                node = self.head[path.pop() ^ 1]
                tried[node] += 1
            else:
                return sent

    def _onward(self, node: int, tried: list[int]) -> int:
        """The next arc of `node` that leads one level on; -1 without."""
        out = self.out[node]
        while tried[node] < len(out):
            arc = out[tried[node]]
            if self.rest[arc] and self._level[self.head[arc]] == self._level[node] + 1:
                return arc
            tried[node] += 1
        return -1


def _check(
    nodes: int, arcs: Sequence[tuple[int, int]], capacity: Sequence[int | None], source: int, sinks: Sequence[int]
) -> None:
    if len(capacity) != len(arcs):
        raise ValueError(f"{len(capacity)} prices for {len(arcs)} arcs")
    for node in (source, *sinks, *(node for arc in arcs for node in arc)):
        if not 0 <= node < nodes:
            raise ValueError(f"node {node} is not among the {nodes} nodes 0 to {nodes - 1}")
    for at, price in enumerate(capacity):
        if price is not None and price < 0:
            raise ValueError(
                f"the price of arc {at} is {price}: it must be 0 or more, or None where it must not be cut"
            )
