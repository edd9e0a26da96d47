"""What the dependency graph costs: one sample told, a window asked for, memory; with an empty method call as the floor.

    python bench/graph.py [edges] [services]

Every edge is told of once a second, as the gateway does; times are per sample, the median over the seconds. `step_us`
is the same sample through `Engine.step`, with all that a step does besides. A flood is of names that come once, against
a full graph. Memory is what `tracemalloc` counts for graph and buckets, over the number of edges.
"""

import json
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable

import numpy as np

from controlplane.decide.engine import Engine
from controlplane.decide.graph.live import DependencyGraph
from controlplane.model.policy import GraphPolicy, ResponsePolicy
from controlplane.model.signal import EdgeSampled
from controlplane.model.topology import Service, Topology
from controlplane.model.unit import SECOND, Nanos

BEGAN = 10**6 * SECOND
SEED = 4
TOPOLOGY = Topology(services=(Service(name="web"),), entry="web")


class Floor:
    """What calling anything costs."""

    def observe(self, signal: EdgeSampled) -> None:
        """Nothing."""


def pairs(edges: int, services: int) -> list[tuple[str, str]]:
    """So many edges between so many services, each drawn at random."""
    drawn = np.random.default_rng(SEED).integers(0, services, (4 * edges, 2)).tolist()
    found = dict.fromkeys((f"s{one}", f"s{other}") for one, other in drawn if one != other)
    return list(found)[:edges]


def told(edges: list[tuple[str, str]], second: int) -> list[EdgeSampled]:
    """One second of all of them."""
    return [
        EdgeSampled(
            at=Nanos(BEGAN + second * SECOND),
            caller=caller,
            callee=callee,
            window_ns=SECOND,
            calls=10,
            attempts=11,
            failures=0,
            timed=11,
            client_latency_ns=110_000_000,
            in_flight=1,
            source="gateway",
        )
        for caller, callee in edges
    ]


def per_sample_us(observe: Callable[[EdgeSampled], object], edges: list[tuple[str, str]], seconds: range) -> float:
    """The median over the seconds."""
    rounds = []
    for second in seconds:
        samples = told(edges, second)
        began = time.perf_counter()
        for sample in samples:
            observe(sample)
        rounds.append((time.perf_counter() - began) / len(samples) * 1e6)
    return statistics.median(rounds)


def once_ms(ask: Callable[[], object]) -> float:
    """The quickest of five."""
    rounds = []
    for _ in range(5):
        began = time.perf_counter()
        ask()
        rounds.append((time.perf_counter() - began) * 1e3)
    return min(rounds)


def main(edges: int = 5_000, services: int = 1_000) -> dict[str, float]:
    """All figures."""
    known = pairs(edges, services)
    policy = GraphPolicy(edges_max=max(edges, 1), services_max=services + 1)
    tracemalloc.start()
    graph = DependencyGraph(TOPOLOGY, policy)
    for second in range(0, 40 * 15, 15):
        for sample in told(known, second):
            graph.observe(sample)
    memory = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    now = Nanos(BEGAN + 700 * SECOND)
    engine = Engine(TOPOLOGY, ResponsePolicy(), policy)
    floor = per_sample_us(Floor().observe, known, range(20))
    observe = per_sample_us(graph.observe, known, range(600, 640))
    flood = [(f"x{number}", f"y{number}") for number in range(20_000)]
    return {
        "edges": len(known),
        "floor_us": floor,
        "observe_us": observe,
        "observe_floors": observe / floor,
        "step_us": per_sample_us(lambda sample: engine.step(sample, sample.at), known, range(20)),
        "flood_us": per_sample_us(graph.observe, flood, range(640, 643)),
        "window_ms": once_ms(lambda: graph.window(now)),
        "csr_ms": once_ms(lambda: graph.to_csr(now)),
        "coverage_ms": once_ms(lambda: graph.coverage(now)),
        "bytes_per_edge": memory / len(known),
    }


if __name__ == "__main__":
    figures = main(*(int(argument) for argument in sys.argv[1:]))
    sys.stdout.write(json.dumps({name: round(value, 3) for name, value in figures.items()}, indent=2) + "\n")
