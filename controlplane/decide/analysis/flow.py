"""Blame along any list of edges: pairs that stand twice, and services that call themselves, included."""

import numpy as np
from numpy.typing import NDArray

from controlplane.decide.analysis.prospect import merged, summed
from controlplane.decide.analysis.window import Floats
from controlplane.decide.propagation import blame_flow


def share_of_blame(
    edges: NDArray[np.int64], *, excess: Floats, edge_excess: Floats, local: Floats, source: Floats
) -> tuple[Floats, float]:
    """(share of each service, unexplained): what arrives stays in proportion to a service's own excess, and goes on
    along its calls in proportion to theirs.

    Shapes  edges (E, 2), edge_excess (E,); excess, local, source (n,). Semantics of `decide.propagation.blame_flow`.
    """
    graph, place = merged(len(excess), edges)
    carried = summed(graph, place, edge_excess)
    found = blame_flow(graph, excess=excess, edge_excess=carried, local=local, source=source)
    return found.share, found.unexplained
