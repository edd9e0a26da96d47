"""One edge's change while an incident touches a thousand services, on graphs of three sizes; caches warm, and cold.

The incident begins at a service that about a thousand others need, however large the graph is. The change is that of
the edge among them whose change reaches the most: its excess and its fraction, so that both blame and blast follow.
"""

import statistics
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from controlplane.bench.propagation import clock
from controlplane.bench.propagation.full import CURVE
from controlplane.bench.propagation.graphs import call_graph
from controlplane.bench.result import Result
from controlplane.decide.propagation import CallGraph, Propagation, blame_flow, blast_radius

SEED = 1
TOUCHED = range(900, 1_101)
WARM_ROUNDS, COLD_ROUNDS = 300, 11
WARM_QUICK, COLD_QUICK = 60, 3
WHOLE_ROUNDS = 3


class Incident:
    """A propagation with trouble at one service and mass on every edge between those that it touches."""

    def __init__(self, services: int, edges: int) -> None:
        self.dice = np.random.default_rng(SEED + 2)
        self.graph = call_graph(services, edges, SEED)
        self.fraction = self.dice.random(self.graph.edges) * 0.5
        self.calls = self.dice.random(self.graph.edges)
        self.edge_excess = np.zeros(self.graph.edges)
        self.propagation = Propagation(self.graph, fraction=self.fraction, calls=self.calls)
        self.origin, self.touched = self._begin()
        self.inside = self._between()
        self._spread()
        self.edge = max(self.inside.tolist(), key=self.change)

    def _begin(self) -> tuple[int, NDArray[np.int32]]:
        for service in self.dice.permutation(self.graph.services).tolist():
            self.propagation.set_service(service, failure=0.5, latency=1.0)
            self.propagation.update()
            touched = self.propagation.hurt()[0]
            if len(touched) in TOUCHED:
                return service, touched
            self.propagation.set_service(service, failure=0.0, latency=0.0)
        raise ValueError(f"no service of this graph is needed by {TOUCHED.start} to {TOUCHED.stop - 1} others")

    def _between(self) -> NDArray[np.int64]:
        member = np.zeros(self.graph.services, np.bool_)
        member[self.touched] = True
        return np.flatnonzero(member[self.graph.callers] & member[self.graph.indices])

    def _spread(self) -> None:
        called = np.zeros(self.graph.services, np.bool_)
        called[self.graph.indices[self.inside]] = True
        self.edge_excess[self.inside] = self.dice.exponential(1.0, len(self.inside))
        self.propagation.set_edges(self.inside, excess=self.edge_excess[self.inside])
        for service in self.touched.tolist():
            source = 0.0 if called[service] else 1.0
            self.propagation.set_service(service, excess=float(self.dice.exponential(3.0)), source=source)
        self.propagation.update()

    def change(self, edge: int) -> int:
        """Another excess and another fraction on `edge`; how many services that reaches."""
        self.propagation.set_edge(edge, excess=float(self.dice.random()), fraction=float(self.dice.random()))
        return self.propagation.update()

    def seconds(self) -> float:
        """What `update` takes after one change; telling it the change is part of it."""
        excess, fraction = float(self.dice.random()), float(self.dice.random())

        def act() -> None:
            self.propagation.set_edge(self.edge, excess=excess, fraction=fraction)
            self.propagation.update()

        return clock.seconds(act)


def whole(graph: CallGraph) -> clock.Act:
    """Our own evaluation of the whole graph: what following changes saves."""
    dice = np.random.default_rng(SEED)
    on_edges, at = dice.random(graph.edges), dice.random(graph.services)

    def act() -> None:
        blame_flow(graph, excess=at, edge_excess=on_edges, source=at)
        blast_radius(graph, failure=at, latency=at, fraction=on_edges)

    return act


def figures(*, quick: bool) -> Iterator[Result]:
    """`propagation.incremental.*`, `.cold` beside each, `propagation.whole.*` and the memory of an edge."""
    floor_s = clock.floor()
    streamed = clock.Streamed()
    for label, services, edges in CURVE:
        incident = Incident(services, edges)
        anew = min(clock.seconds(whole(incident.graph)) for _ in range(WHOLE_ROUNDS))
        warm = statistics.median(incident.seconds() for _ in range(WARM_QUICK if quick else WARM_ROUNDS))
        cold = []
        for _ in range(COLD_QUICK if quick else COLD_ROUNDS):
            streamed.pass_over()
            cold.append(incident.seconds())
        for name, value in ((label, warm), (f"{label}.cold", statistics.median(cold))):
            yield Result(
                name=f"propagation.incremental.{name}",
                value=value * 1e9,
                unit="ns",
                floor_ratio=value / floor_s,
                rival="our own sweep over the whole graph",
                rival_value=anew * 1e9,
                peer_ratio=anew / value,
            )
        yield Result(name=f"propagation.whole.{label}", value=anew * 1e9, unit="ns", floor_ratio=anew / floor_s)
        memory = incident.propagation.nbytes / incident.graph.edges
        yield Result(name=f"propagation.memory.{label}", value=memory, unit="bytes per edge, services included")
