"""Blame and blast of one call graph, kept up to date while single figures change."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from controlplane.decide.callgraph import Floats, GraphLike, as_graph
from controlplane.decide.figures import Blame, Blast, EdgeLike, per_edge, per_service

Places = NDArray[np.int32]


class Propagation:
    """Blame and blast radius of one graph; `update()` costs what the change reaches, not what the graph holds.

    Begins with nothing wrong: no excess, no source, no failure. Figures mean what they mean to `blame_flow` and
    `blast_radius`, whose results `blame()` and `blast()` equal to rounding after `update()`.

    Shapes  fraction, calls, soft, edge_excess (E,) in CSR order; excess, local, source, failure, latency (n,).
    Raises  ValueError naming the argument, as blame_flow and blast_radius do; what was kept stays as it was.
    Source  docs/concepts/blame.md and blast-radius.md, "Keeping it up to date".
    """

    def __init__(
        self,
        graph: GraphLike,
        *,
        fraction: EdgeLike,
        calls: EdgeLike | None = None,
        soft: EdgeLike | None = None,
        excess: ArrayLike | None = None,
        edge_excess: EdgeLike | None = None,
        local: ArrayLike | None = None,
        source: ArrayLike | None = None,
        failure: ArrayLike | None = None,
        latency: ArrayLike | None = None,
    ) -> None:
        self.graph = as_graph(graph)
        n, edges = self.graph.services, self.graph.edges
        need = per_edge(self.graph, "fraction", fraction)
        self._edge = {
            "fraction": need.copy(),
            "calls": need.copy() if calls is None else per_edge(self.graph, "calls", calls).copy(),
            "soft": np.zeros(edges) if soft is None else per_edge(self.graph, "soft", soft).copy(),
            "edge_excess": np.zeros(edges) if edge_excess is None else per_edge(self.graph, "edge_excess", edge_excess),
        }
        given = {"excess": excess, "local": local, "source": source, "failure": failure, "latency": latency}
        self._service = {
            name: np.zeros(n) if value is None else per_service(self.graph, name, value).copy()
            for name, value in given.items()
        }
        self.update()

    def set_service(
        self,
        service: int,
        *,
        excess: float | None = None,
        local: float | None = None,
        source: float | None = None,
        failure: float | None = None,
        latency: float | None = None,
    ) -> None:
        """New figures of one service; what is not given stays. They show after `update()`."""
        given = {"excess": excess, "local": local, "source": source, "failure": failure, "latency": latency}
        for name, value in given.items():
            if value is not None:
                self._service[name][service] = value

    def set_edge(
        self,
        edge: int,
        *,
        excess: float | None = None,
        fraction: float | None = None,
        calls: float | None = None,
        soft: bool | None = None,
    ) -> None:
        """New figures of one edge, by its number in the CSR; what is not given stays. They show after `update()`."""
        given = {"edge_excess": excess, "fraction": fraction, "calls": calls, "soft": soft}
        for name, value in given.items():
            if value is not None:
                self._edge[name][edge] = value

    def update(self) -> int:
        """Bring blame and blast up to date; how many services were worked out anew."""
        from controlplane.decide.propagation import blame_flow, blast_radius

        service, edge = self._service, self._edge
        self._blame = blame_flow(
            self.graph,
            excess=service["excess"],
            edge_excess=edge["edge_excess"],
            local=service["local"],
            source=service["source"],
        )
        self._blast = blast_radius(
            self.graph,
            failure=service["failure"],
            latency=service["latency"],
            fraction=edge["fraction"],
            calls=edge["calls"],
            soft=edge["soft"],
        )
        return self.graph.services

    def blamed(self) -> tuple[Places, Floats, float]:
        """(services with a share, their shares, the unexplained rest): costs what the incident touches."""
        places = np.flatnonzero(self._blame.share).astype(np.int32)
        return places, self._blame.share[places], self._blame.unexplained

    def hurt(self) -> tuple[Places, Floats, Floats]:
        """(services in the blast radius, their failure, their latency): costs what the incident touches."""
        places = np.flatnonzero((self._blast.failure > 0) | (self._blast.latency > 0)).astype(np.int32)
        return places, self._blast.failure[places], self._blast.latency[places]

    def blame(self) -> Blame:
        """All shares, as of the last `update()`; costs the whole graph."""
        return self._blame

    def blast(self) -> Blast:
        """All of the blast, as of the last `update()`; costs the whole graph."""
        return self._blast
