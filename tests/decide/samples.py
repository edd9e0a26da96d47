"""Samples of edges, as short as tests want them."""

from typing import Any

from controlplane.decide.graph.live import DependencyGraph
from controlplane.model.policy import GraphPolicy
from controlplane.model.signal import EdgeSampled
from controlplane.model.topology import Service, Topology
from controlplane.model.unit import SECOND, Nanos

BEGAN = Nanos(1_000 * 15 * SECOND)  # on the grid of 15 s


def at(seconds: float) -> Nanos:
    """A time so long after BEGAN."""
    return Nanos(BEGAN + round(seconds * SECOND))


def edge(caller: str, callee: str, calls: int, when: float, failures: int = 0, **more: Any) -> EdgeSampled:
    """What `caller` asked of `callee` in the second that ends `when`, in seconds after BEGAN."""
    more = {"window_ns": SECOND, "source": "gateway", **more}
    return EdgeSampled(at=at(when), caller=caller, callee=callee, calls=calls, failures=failures, **more)


def a_graph(*services: Service, **policy: Any) -> DependencyGraph:
    """A graph of `services`, the first of which is the entry."""
    topology = Topology(services=services, entry=services[0].name if services else "")
    return DependencyGraph(topology, GraphPolicy(**policy))


def steady(graph: DependencyGraph, caller: str, callee: str, seconds: range, **more: Any) -> None:
    """Ten calls a second, one sample a second, each 10 ms."""
    for second in seconds:
        more = {"attempts": 10, "client_latency_ns": 100_000_000, **more}
        graph.observe(edge(caller, callee, 10, second, **more))
