"""Blame and blast of one call graph, kept up to date while single figures change."""

from collections.abc import Iterable
from operator import index

import numpy as np
from numpy.typing import ArrayLike, NDArray

from controlplane._native.propagation import Spread
from controlplane.decide.propagation.callgraph import CallGraph, Floats, GraphLike, as_graph
from controlplane.decide.propagation.figures import (
    Blame,
    Blast,
    EdgeLike,
    flags_per_edge,
    known,
    masses,
    per_edge,
    per_service,
)

MASS_MAX = 1e300  # so that no sum of them is beyond a float


class Propagation:
    """Blame and blast radius of one graph; `update()` costs what the change reaches, not what the graph holds.

    Figures mean what they mean to `blame_flow` and `blast_radius`, and after `update()` the results equal theirs to
    rounding. What is not given begins with nothing wrong: no excess, nothing seen, no failure; `local` unknown. Edges
    are fixed: a graph that gains or loses one is a new CallGraph and a new Propagation. For one thread at a time.

    Shapes  fraction, calls, soft, edge_excess (E,) in CSR order; excess, local, source, failure, latency (n,).
    Memory  see `nbytes`; 188 bytes a service and 40 an edge, beside the CallGraph's own.
    Raises  ValueError naming the argument, as blame_flow and blast_radius do, and for a mass above 1e300; IndexError
            for a service or edge that is not there. What was kept then stays as it was.
    Source  docs/concepts/blame.md, "Keeping it up to date".
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
        self.graph: CallGraph = as_graph(graph)
        need = known("fraction", per_edge(self.graph, "fraction", fraction), 1.0)
        repeated = need if calls is None else known("calls", per_edge(self.graph, "calls", calls))
        falls_back = None if soft is None else flags_per_edge(self.graph, "soft", soft)
        flow = np.zeros(self.graph.edges) if edge_excess is None else per_edge(self.graph, "edge_excess", edge_excess)
        self._spread = Spread(self.graph.flows, need, repeated, falls_back, masses("edge_excess", flow, MASS_MAX))
        self._set_all(failure, latency, excess, local, source)
        self.update()

    def _set_all(
        self,
        failure: ArrayLike | None,
        latency: ArrayLike | None,
        excess: ArrayLike | None,
        local: ArrayLike | None,
        source: ArrayLike | None,
    ) -> None:
        def given(name: str, value: ArrayLike | None, otherwise: float = 0.0) -> Floats:
            n = self.graph.services
            return np.full(n, otherwise) if value is None else per_service(self.graph, name, value)

        failing, slower = known("failure", given("failure", failure), 1.0), known("latency", given("latency", latency))
        troubled = np.flatnonzero((failing > 0) | (slower > 0))
        for service in troubled.tolist():
            self._spread.set_trouble(service, failing[service], slower[service])
        mass = [
            masses(name, given(name, value, otherwise), MASS_MAX)
            for name, value, otherwise in (("excess", excess, 0.0), ("local", local, np.nan), ("source", source, 0.0))
        ]
        concerned = np.flatnonzero((mass[0] != 0) | ~np.isnan(mass[1]) | (mass[2] > 0))
        for service in concerned.tolist():
            self._spread.set_mass(service, *(float(values[service]) for values in mass))

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
        service = index(service)  # the compiled core would take 1.9 for 1
        trouble, mass = self._spread.trouble(service), self._spread.mass(service)
        failing = trouble[0] if failure is None else _known("failure", failure, 1.0)
        slower = trouble[1] if latency is None else _known("latency", latency)
        now = (
            mass[0] if excess is None else _mass("excess", excess),
            mass[1] if local is None else _mass("local", local),
            mass[2] if source is None else _mass("source", source),
        )
        if failure is not None or latency is not None:
            self._spread.set_trouble(service, failing, slower)
        if excess is not None or local is not None or source is not None:
            self._spread.set_mass(service, *now)

    def set_edge(
        self,
        edge: int,
        *,
        excess: float | None = None,
        fraction: float | None = None,
        calls: float | None = None,
        soft: bool | None = None,
    ) -> None:
        """New figures of one edge, by its number (`graph.edge`); what is not given stays. Shown after `update()`."""
        edge = index(edge)
        was = self._spread.need(edge)
        need = was[0] if fraction is None else _known("fraction", fraction, 1.0)
        repeated = was[1] if calls is None else _known("calls", calls)
        if excess is not None:
            self._spread.set_flow(edge, _mass("excess", excess))
        if fraction is not None or calls is not None or soft is not None:
            self._spread.set_need(edge, need, repeated, was[2] if soft is None else bool(soft))

    def set_services(self, services: Iterable[int], **figures: ArrayLike) -> None:
        """New figures of several services: arrays as long as `services`, by the names that set_service takes."""
        for service, values in _rows("services", services, figures):
            self.set_service(service, **values)

    def set_edges(self, edges: Iterable[int], **figures: ArrayLike) -> None:
        """New figures of several edges: arrays as long as `edges`, by the names that set_edge takes."""
        for edge, values in _rows("edges", edges, figures):
            self.set_edge(edge, **values)  # type: ignore[arg-type]  # soft: 0.0 and 1.0 will do

    def update(self) -> int:
        """Bring blame and blast up to date; how many services were worked out anew, each way counted."""
        return self._spread.update()

    def blamed(self) -> tuple[NDArray[np.int32], Floats, float]:
        """(services that blame reached, their shares, the unexplained rest), in no order: costs what it reached."""
        services = np.empty(self._spread.blamed_count, np.int32)
        share = np.empty(len(services))
        return services, share, self._spread.blamed(services, share)

    def hurt(self) -> tuple[NDArray[np.int32], Floats, Floats]:
        """(services in the blast radius, their failure, their latency), in no order: costs what is in it."""
        services = np.empty(self._spread.hurt_count, np.int32)
        failure, latency = np.empty(len(services)), np.empty(len(services))
        self._spread.hurt(services, failure, latency)
        return services, failure, latency

    def blame(self) -> Blame:
        """All shares, as of the last `update()`; costs the whole graph."""
        share = np.zeros(self.graph.services)
        services, shares, unexplained = self.blamed()
        share[services] = shares
        return Blame(share, unexplained)

    def blast(self) -> Blast:
        """All of the blast, as of the last `update()`; costs the whole graph."""
        n = self.graph.services
        failure, latency, origin = np.zeros(n), np.zeros(n), np.zeros(n, np.bool_)
        services, failing, slower = self.hurt()
        failure[services], latency[services] = failing, slower
        origin[services] = [max(self._spread.trouble(service)) > 0 for service in services.tolist()]
        return Blast(failure, latency, origin)

    @property
    def nbytes(self) -> int:
        """Memory that is kept up to date, in bytes; the CallGraph's own is not in it."""
        service, edge = self._spread.nbytes
        return service * self.graph.services + edge * self.graph.edges


def _mass(name: str, value: float) -> float:
    return float(masses(name, np.array([float(value)]), MASS_MAX)[0])


def _known(name: str, value: float, most: float = np.inf) -> float:
    return float(known(name, np.array([float(value)]), most)[0])


def _rows(name: str, which: Iterable[int], figures: dict[str, ArrayLike]) -> Iterable[tuple[int, dict[str, float]]]:
    places = np.asarray(which)
    columns = {key: np.asarray(value, np.float64) for key, value in figures.items()}
    for key, column in columns.items():
        if column.shape != places.shape:
            raise ValueError(f"{key}: shape {column.shape}; it takes {places.shape}, one for each of {name}")
    for row, place in enumerate(places.tolist()):
        yield place, {key: float(column[row]) for key, column in columns.items()}
