"""What a containment costs to choose: it must not delay the response.

    python -m pytest bench/test_containment.py --benchmark-enable --benchmark-only

One incident of 50 services in a call graph of 2,000 services and 10,000 edges, with ten endpoints at the origin; the
same incident in a graph of 20,000 services shows that the cost follows the neighbourhood.
"""

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from controlplane.decide.plan.choose import choose
from controlplane.decide.plan.cut import minimum_cut
from controlplane.decide.plan.neighbourhood import callers_of, neighbourhood
from controlplane.model.situation import Replica, RetryCut

NEAR = 50
ENDPOINTS = 10
Ints = NDArray[np.int64]


def graph(services: int) -> tuple[Ints, Ints]:
    """CSR of 5 edges a service: the first 50 services form the incident's neighbourhood, whose last is the origin."""
    numbers = np.random.default_rng(7)
    rows: list[Ints] = []
    for caller in range(services):
        last = NEAR if caller < NEAR else services
        callees = numbers.integers(caller + 1, last, 5) if caller + 1 < last else np.array([], dtype=np.int64)
        rows.append(np.unique(np.append(callees, caller + 1) if caller + 1 < NEAR else callees))
    return np.concatenate([[0], np.cumsum([len(row) for row in rows])]), np.concatenate(rows)


@pytest.mark.parametrize("services", [2_000, 20_000])
def test_choose(benchmark, services):  # type: ignore[no-untyped-def]
    """From the arrays of a graph to a choice with its runner-up."""
    indptr, indices = graph(services)
    numbers = np.random.default_rng(8)
    names = [f"s{at}" for at in range(services)]
    traffic = numbers.uniform(1, 50, len(indices))
    requests = numbers.uniform(50, 100, services)
    soft = numbers.random(len(indices)) < 0.2
    impact = numbers.uniform(5, 120, services)
    callers = callers_of(indptr, indices)
    replicas = tuple(
        Replica(name=f"r{at}", load=10.0, capacity=12.0, failing=0.9 if at < 2 else 0.0) for at in range(ENDPOINTS)
    )
    retries = RetryCut(edges=(("s48", "s49"), ("s47", "s49")), before=0.9, after=0.4)

    def run() -> object:
        near = neighbourhood(
            names,
            indptr,
            indices,
            origin=NEAR - 1,
            traffic=traffic,
            requests=requests,
            soft=soft,
            impact_s=impact,
            callers=callers,
        )
        return choose(msgspec.structs.replace(near, replicas=replicas, endpoints=("r0", "r1"), retries=retries))

    choice = benchmark(run)
    assert choice.chosen is not None
    assert choice.runner_up is not None


@pytest.mark.parametrize("nodes", [50, 500, 5_000])
def test_cut(benchmark, nodes):  # type: ignore[no-untyped-def]
    """The cut alone, on layered graphs with five edges a node."""
    numbers = np.random.default_rng(9)
    tails = np.repeat(np.arange(nodes - 1), 5)
    heads = np.minimum(nodes - 1, tails + numbers.integers(1, max(2, nodes // 8), len(tails)))
    arcs = list(zip(tails.tolist(), heads.tolist(), strict=True))
    prices = numbers.integers(1, 10**8, len(arcs)).tolist()
    cut = benchmark(minimum_cut, nodes, arcs, prices, 0, [nodes - 1, nodes - 2])
    assert cut is not None
